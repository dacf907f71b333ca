// The vocabulary of formulas on float and double: what formula.py writes its text in.
//
// Elementary functions are those of CUDA's mathematical library, in the emulator those of libm.
// Largest error in units in the last place that NVIDIA documents (CUDA C++ Programming Guide,
// "Mathematical Functions"), float / double:
//     exp 1/1   expm1 1/1   log 1/1   log1p 1/1   tanh 2/1   erf 2/2   normcdf 5/5
//     sqrt and division 0.5   fast_sqrt 1 (relative 2^-23)   fast_divide 2 (|b| < 2^126)
// CuPy compiles with -ftz=true: float arguments and results below 2^-126 count as zeros of their
// sign, in every operation. These figures hold where neither is subnormal.
#pragma once
#include "device.cuh"

namespace fnn {

template <class T>
FNN_DEVICE T infinity();
template <>
FNN_DEVICE float infinity<float>() {
  return __int_as_float(0x7f800000);
}
template <>
FNN_DEVICE double infinity<double>() {
  return __longlong_as_double(0x7ff0000000000000LL);
}

template <class T>
FNN_DEVICE T not_a_number() {
  return infinity<T>() - infinity<T>();
}

#define FNN_WORD(name, of_float, of_double)                 \
  FNN_DEVICE float name(float x) { return of_float(x); }    \
  FNN_DEVICE double name(double x) { return of_double(x); }
FNN_WORD(exp, ::expf, ::exp)
FNN_WORD(expm1, ::expm1f, ::expm1)
FNN_WORD(log, ::logf, ::log)
FNN_WORD(log1p, ::log1pf, ::log1p)
FNN_WORD(tanh, ::tanhf, ::tanh)
FNN_WORD(erf, ::erff, ::erf)
#ifdef FNN_EMULATOR
FNN_DEVICE double normal_cdf(double x) {
  if (x - x != 0) return x > 0 ? 1 : x < 0 ? 0 : x;
  // erfc at -x / sqrt(2), of which the argument keeps only the upper half of its digits
  double upper = -x * 0.70710678118654752440;
  double lower = ::fma(-x, 0.70710678118654752440, -upper) - x * -4.8336466567264567e-17;
  return (::erfc(upper) - lower * 1.1283791670955126 * ::exp(-upper * upper)) / 2;
}
FNN_DEVICE float normal_cdf(float x) { return static_cast<float>(normal_cdf(double(x))); }
#else
FNN_WORD(normal_cdf, ::normcdff, ::normcdf)
#endif
FNN_WORD(sqrt, ::sqrtf, ::sqrt)
FNN_WORD(abs, ::fabsf, ::fabs)
#undef FNN_WORD

FNN_DEVICE float copysign(float x, float sign) { return ::copysignf(x, sign); }
FNN_DEVICE double copysign(double x, double sign) { return ::copysign(x, sign); }
FNN_DEVICE float fma(float a, float b, float c) { return ::fmaf(a, b, c); }
FNN_DEVICE double fma(double a, double b, double c) { return ::fma(a, b, c); }

// nan if either is, as in NumPy.
template <class T>
FNN_DEVICE T maximum(T a, T b) {
  return a > b || a != a ? a : b;
}
template <class T>
FNN_DEVICE T minimum(T a, T b) {
  return a < b || a != a ? a : b;
}

FNN_DEVICE double fast_sqrt(double x) { return ::sqrt(x); }
FNN_DEVICE double fast_divide(double a, double b) { return a / b; }
FNN_DEVICE float fast_divide(float a, float b) { return ::__fdividef(a, b); }
FNN_DEVICE float fast_sqrt(float x) {
#ifndef FNN_EMULATOR
  float root;
  asm("sqrt.approx.f32 %0, %1;" : "=f"(root) : "f"(x));
  return root;
#else
  return ::sqrtf(x);
#endif
}

}  // namespace fnn

// float16 and bfloat16 as CUDA's headers have them: conversions round to nearest, ties to even, and
// an operation is one in float32 that is rounded once more, which for + - * / gives the exact
// result's rounding.
#pragma once
#include <cstdint>

namespace fnn::emulator {

template <class To, class From>
inline To reinterpret(From from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  __builtin_memcpy(&to, &from, sizeof(To));
  return to;
}

// Integer arithmetic only: the flush of subnormals to zero does not concern conversions.
struct Float16 {
  static uint16_t encode(float value) {
    uint32_t bits = reinterpret<uint32_t>(value), sign = bits >> 16 & 0x8000, x = bits & 0x7fffffff;
    if (x > 0x7f800000) return 0x7fff;               // NaN
    if (x >= 0x477ff000) return sign | 0x7c00;       // 65520 and more
    if (x < 0x33000001) return sign;                 // 2^-25 and less
    if (x >= 0x38800000) {                           // normal
      x -= 0x38000000;
      return sign | ((x + 0xfff + (x >> 13 & 1)) >> 13);
    }
    uint32_t shift = 126 - (x >> 23), fraction = (x & 0x7fffff) | 0x800000;
    uint32_t kept = fraction >> shift, lost = fraction & ((1u << shift) - 1);
    uint32_t tie = 1u << (shift - 1);
    return sign | (kept + (lost > tie || (lost == tie && kept & 1)));
  }
  static float decode(uint16_t bits) {
    uint32_t sign = uint32_t(bits & 0x8000) << 16, exponent = bits >> 10 & 31, fraction = bits & 0x3ff;
    if (exponent == 31) return reinterpret<float>(sign | 0x7f800000 | fraction << 13);
    if (exponent) return reinterpret<float>(sign | (exponent + 112) << 23 | fraction << 13);
    if (!fraction) return reinterpret<float>(sign);
    int shift = __builtin_clz(fraction) - 21;  // the leading bit becomes the implicit one
    return reinterpret<float>(sign | (113 - shift) << 23 | (fraction << (13 + shift) & 0x7fffff));
  }
};

struct BFloat16 {
  static uint16_t encode(float value) {
    uint32_t bits = reinterpret<uint32_t>(value);
    if ((bits & 0x7fffffff) > 0x7f800000) return 0x7fff;
    return (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  }
  static float decode(uint16_t bits) { return reinterpret<float>(uint32_t(bits) << 16); }
};

}  // namespace fnn::emulator

#define FNN_NUMBER(Name, Format)                                                             \
  struct Name {                                                                              \
    uint16_t bits;                                                                           \
    Name() = default;                                                                        \
    Name(float value) : bits(fnn::emulator::Format::encode(value)) {}                        \
    explicit Name(double value) : Name(static_cast<float>(value)) {}                         \
    explicit Name(int value) : Name(static_cast<float>(value)) {}                            \
    operator float() const { return fnn::emulator::Format::decode(bits); }                   \
    Name operator-() const { return of(bits ^ 0x8000); }                                     \
    static Name of(unsigned bits) {                                                          \
      Name number;                                                                           \
      number.bits = static_cast<uint16_t>(bits);                                             \
      return number;                                                                         \
    }                                                                                        \
  };                                                                                         \
  inline Name operator+(Name a, Name b) { return float(a) + float(b); }                      \
  inline Name operator-(Name a, Name b) { return float(a) - float(b); }                      \
  inline Name operator*(Name a, Name b) { return float(a) * float(b); }                      \
  inline Name operator/(Name a, Name b) { return float(a) / float(b); }                      \
  inline Name& operator+=(Name& a, Name b) { return a = a + b; }                             \
  inline Name& operator-=(Name& a, Name b) { return a = a - b; }                             \
  inline Name& operator*=(Name& a, Name b) { return a = a * b; }                             \
  inline bool operator==(Name a, Name b) { return float(a) == float(b); }                    \
  inline bool operator!=(Name a, Name b) { return float(a) != float(b); }                    \
  inline bool operator<(Name a, Name b) { return float(a) < float(b); }                      \
  inline bool operator<=(Name a, Name b) { return float(a) <= float(b); }                    \
  inline bool operator>(Name a, Name b) { return float(a) > float(b); }                      \
  inline bool operator>=(Name a, Name b) { return float(a) >= float(b); }

FNN_NUMBER(__half, Float16)
FNN_NUMBER(__nv_bfloat16, BFloat16)
#undef FNN_NUMBER
using half = __half;
namespace fnn {
using half = ::__half;
using bfloat16 = ::__nv_bfloat16;
}  // namespace fnn

inline float __half2float(__half x) { return x; }
inline __half __float2half(float x) { return x; }
inline __half __float2half_rn(float x) { return x; }
inline __half __ushort_as_half(unsigned short bits) { return __half::of(bits); }
inline unsigned short __half_as_ushort(__half x) { return x.bits; }
inline float __bfloat162float(__nv_bfloat16 x) { return x; }
inline __nv_bfloat16 __float2bfloat16(float x) { return x; }
inline __nv_bfloat16 __float2bfloat16_rn(float x) { return x; }
inline __nv_bfloat16 __ushort_as_bfloat16(unsigned short bits) { return __nv_bfloat16::of(bits); }
inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 x) { return x.bits; }

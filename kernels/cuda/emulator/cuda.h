// CUDA's names: qualifiers, vector types, indices, intrinsics, operations of a warp.
//
// Atomics exist for integers only: sums of floats by atomics depend on the schedule.
#pragma once
#include <math.h>

#include <type_traits>

#include "emulator.h"
#include "float16.h"

#define __global__
#define __device__
#define __host__
#define __constant__ static const
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __restrict__ __restrict
#define __align__(n) __attribute__((aligned(n)))
#define threadIdx (fnn::emulator::context->thread)
#define blockIdx (fnn::emulator::context->block)
#define blockDim (fnn::emulator::context->threads)
#define gridDim (fnn::emulator::context->blocks)
constexpr int warpSize = 32;

#define FNN_VECTOR(T, name)                                                                \
  struct alignas(2 * sizeof(T)) name##2 { T x, y; };                                       \
  struct alignas(4 * sizeof(T) < 16 ? 4 * sizeof(T) : 16) name##4 { T x, y, z, w; };       \
  inline name##2 make_##name##2(T x, T y) { return {x, y}; }                               \
  inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
FNN_VECTOR(float, float)
FNN_VECTOR(int, int)
FNN_VECTOR(unsigned, uint)
#undef FNN_VECTOR
struct alignas(16) double2 { double x, y; };
inline double2 make_double2(double x, double y) { return {x, y}; }

// -- barriers and warps ---------------------------------------------------------------------------

inline void __syncthreads(fnn::emulator::Place place = fnn::emulator::here()) {
  fnn::emulator::barrier(place);
}
inline void __syncwarp(unsigned mask = ~0u, fnn::emulator::Place place = fnn::emulator::here()) {
  fnn::emulator::synchronize_warp(mask, place);
}

namespace fnn::emulator {

template <class T>
FNN_UNSEEN T shuffle(unsigned mask, T value, int source, int width, const char* operation, Place place) {
  static_assert(sizeof(T) <= 8, "a shuffle moves at most 8 bytes");
  Words words{};
  __builtin_memcpy(&words, &value, sizeof(T));
  Meeting& meeting = meet(mask, words, operation, place);
  int lane = context->lane;
  if (source >= 0 && source < 32 && source / width == lane / width) {
    if (!(meeting.arrived >> source & 1))
      fail(place, "%s of lane %d reads lane %d, which is not in it (mask %08x)", operation, lane,
           source, meeting.mask);
    __builtin_memcpy(&value, &meeting.words[source], sizeof(T));
  }
  leave(meeting);
  return value;
}

// The bits of the lanes whose predicate holds, and those of the lanes that came.
FNN_UNSEEN inline unsigned vote(unsigned mask, bool predicate, const char* operation, Place place,
                                unsigned* arrived = nullptr) {
  Meeting& meeting = meet(mask, Words{{predicate, 0, 0}}, operation, place);
  unsigned votes = 0;
  for (int lane = 0; lane < 32; lane++)
    if (meeting.arrived >> lane & 1) votes |= unsigned(meeting.words[lane].at[0]) << lane;
  if (arrived) *arrived = meeting.arrived;
  leave(meeting);
  return votes;
}

}  // namespace fnn::emulator

template <class T>
inline T __shfl_sync(unsigned mask, T value, int source, int width = 32,
                     fnn::emulator::Place place = fnn::emulator::here()) {
  int first = fnn::emulator::context->lane / width * width;
  return fnn::emulator::shuffle(mask, value, first + (source & (width - 1)), width, "__shfl_sync", place);
}
template <class T>
inline T __shfl_xor_sync(unsigned mask, T value, int bits, int width = 32,
                         fnn::emulator::Place place = fnn::emulator::here()) {
  int source = fnn::emulator::context->lane ^ bits;
  return fnn::emulator::shuffle(mask, value, source, width, "__shfl_xor_sync", place);
}
template <class T>
inline T __shfl_down_sync(unsigned mask, T value, unsigned distance, int width = 32,
                          fnn::emulator::Place place = fnn::emulator::here()) {
  int source = fnn::emulator::context->lane + int(distance);
  return fnn::emulator::shuffle(mask, value, source, width, "__shfl_down_sync", place);
}
template <class T>
inline T __shfl_up_sync(unsigned mask, T value, unsigned distance, int width = 32,
                        fnn::emulator::Place place = fnn::emulator::here()) {
  int source = fnn::emulator::context->lane - int(distance);
  return fnn::emulator::shuffle(mask, value, source, width, "__shfl_up_sync", place);
}
inline unsigned __ballot_sync(unsigned mask, int predicate,
                              fnn::emulator::Place place = fnn::emulator::here()) {
  return fnn::emulator::vote(mask, predicate, "__ballot_sync", place);
}
inline int __any_sync(unsigned mask, int predicate,
                      fnn::emulator::Place place = fnn::emulator::here()) {
  return fnn::emulator::vote(mask, predicate, "__any_sync", place) != 0;
}
inline int __all_sync(unsigned mask, int predicate,
                      fnn::emulator::Place place = fnn::emulator::here()) {
  unsigned arrived;
  return fnn::emulator::vote(mask, predicate, "__all_sync", place, &arrived) == arrived;
}

// -- memory ---------------------------------------------------------------------------------------

template <class T>
inline T __ldg(const T* p) { return *p; }
template <class T>
inline T __ldcs(const T* p) { return *p; }
template <class T>
inline void __stcs(T* p, T value) { *p = value; }
inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
inline void __threadfence_block() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }

template <class T>
inline T atomicAdd(T* p, T value) {
  static_assert(std::is_integral_v<T>, "a sum of floats by atomics depends on the schedule");
  return __atomic_fetch_add(p, value, __ATOMIC_RELAXED);
}
template <class T>
inline T atomicExch(T* p, T value) { return __atomic_exchange_n(p, value, __ATOMIC_RELAXED); }
template <class T>
inline T atomicCAS(T* p, T expected, T value) {
  __atomic_compare_exchange_n(p, &expected, value, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
  return expected;
}
template <class T>
inline T atomicMax(T* p, T value) {
  T old = __atomic_load_n(p, __ATOMIC_RELAXED);
  while (old < value && atomicCAS(p, old, value) != old) old = __atomic_load_n(p, __ATOMIC_RELAXED);
  return old;
}

// -- numbers --------------------------------------------------------------------------------------

template <class T>
inline std::enable_if_t<std::is_integral_v<T>, T> min(T a, T b) { return b < a ? b : a; }
template <class T>
inline std::enable_if_t<std::is_integral_v<T>, T> max(T a, T b) { return a < b ? b : a; }
inline int __popc(unsigned x) { return __builtin_popcount(x); }
inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline unsigned __umulhi(unsigned a, unsigned b) { return uint64_t(a) * b >> 32; }
inline int __float_as_int(float x) { return fnn::emulator::reinterpret<int>(x); }
inline float __int_as_float(int x) { return fnn::emulator::reinterpret<float>(x); }
inline unsigned __float_as_uint(float x) { return fnn::emulator::reinterpret<unsigned>(x); }
inline float __uint_as_float(unsigned x) { return fnn::emulator::reinterpret<float>(x); }
inline long long __double_as_longlong(double x) { return fnn::emulator::reinterpret<long long>(x); }
inline double __longlong_as_double(long long x) { return fnn::emulator::reinterpret<double>(x); }
inline float rsqrtf(float x) { return 1 / sqrtf(x); }
inline double rsqrt(double x) { return 1 / sqrt(x); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __fdividef(float a, float b) { return a / b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fsub_rn(float a, float b) { return a - b; }
inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fdiv_rn(float a, float b) { return a / b; }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __frcp_rn(float x) { return 1 / x; }
inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
inline double __dadd_rn(double a, double b) { return a + b; }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __fma_rn(double a, double b, double c) { return fma(a, b, c); }
inline int __float2int_rn(float x) { return int(rintf(x)); }

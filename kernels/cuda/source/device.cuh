// The layer under every kernel: the same text compiles with nvcc, NVRTC and, as a program for the
// host's emulator, with a plain C++ compiler. Kernels use CUDA's own names and those below.
//
//   FNN_DEVICE                        a function of the device, inlined
//   FNN_KERNEL(name expression)       instantiates a kernel and makes it known to whoever launches
//   FNN_SHARED(T, name, [8][32])      an array in shared memory; starts as NaN in the emulator
//   FNN_DYNAMIC_SHARED(T, name)       shared memory whose size the launch gives
//   Pack<T, N>, load_pack, store_pack N neighbouring numbers in one access, 16 bytes at most
//   copy_async16, ..._commit, ..._wait  global to shared memory, past the registers
//   ldmatrix_x4, ldmatrix_x4_transposed, mma_m16n8k16, mma_m16n8k8_tf32  tensor cores
#pragma once

#ifdef FNN_EMULATOR
#include "../emulator/device.h"
#else

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#ifdef __CUDACC_RTC__  // has no standard headers
using int8_t = signed char;
using uint8_t = unsigned char;
using int16_t = short;
using uint16_t = unsigned short;
using int32_t = int;
using uint32_t = unsigned;
using int64_t = long;
using uint64_t = unsigned long;
#else
#include <cstdint>
#endif

#define FNN_DEVICE __device__ __forceinline__
#define FNN_SHARED(T, name, ...) __shared__ __align__(128) T name __VA_ARGS__
#define FNN_DYNAMIC_SHARED(T, name)                                  \
  extern __shared__ __align__(128) unsigned char fnn_dynamic_shared[]; \
  T* name = reinterpret_cast<T*>(fnn_dynamic_shared)
#ifdef FNN_NAMES  // the kernels' addresses, by which a build finds their names in the PTX
#define FNN_PLACE __device__
#else
#define FNN_PLACE
#endif
#ifdef __CUDACC_RTC__  // name expressions instantiate
#define FNN_KERNEL(...)
#else
#define FNN_JOIN_TEXT(a, b) a##b
#define FNN_JOIN(a, b) FNN_JOIN_TEXT(a, b)
#define FNN_KERNEL(...)                                            \
  FNN_PLACE const void* FNN_JOIN(fnn_instance_, __COUNTER__) =     \
      reinterpret_cast<const void*>(&__VA_ARGS__);
#endif

namespace fnn {

using half = ::__half;
using bfloat16 = ::__nv_bfloat16;

template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  T at[N];
};

namespace device {

template <int BYTES>
struct Word;
template <>
struct Word<1> { using type = unsigned char; };
template <>
struct Word<2> { using type = unsigned short; };
template <>
struct Word<4> { using type = unsigned; };
template <>
struct Word<8> { using type = uint2; };
template <>
struct Word<16> { using type = uint4; };

// A pack as words of one access each.
template <class T, int N>
union Words {
  static constexpr int BYTES = sizeof(T) * N, SIZE = BYTES < 16 ? BYTES : 16;
  using Type = typename Word<SIZE>::type;
  Pack<T, N> pack;
  Type at[BYTES / SIZE];
  FNN_DEVICE Words() {}
};

FNN_DEVICE unsigned shared_address(const void* p) {
  return static_cast<unsigned>(__cvta_generic_to_shared(p));
}

}  // namespace device

template <int N, class T>
FNN_DEVICE Pack<T, N> load_pack(const T* from) {
  using Words = device::Words<T, N>;
  Words words;
#pragma unroll
  for (int i = 0; i < Words::BYTES / Words::SIZE; i++)
    words.at[i] = reinterpret_cast<const typename Words::Type*>(from)[i];
  return words.pack;
}

template <class T, int N>
FNN_DEVICE void store_pack(T* to, const Pack<T, N>& pack) {
  using Words = device::Words<T, N>;
  if constexpr (sizeof(T) >= 4) {  // as words of another type they might be stored one by one
    using Part = Pack<T, Words::SIZE / sizeof(T)>;
#pragma unroll
    for (int i = 0; i < Words::BYTES / Words::SIZE; i++) {
      Part part;
#pragma unroll
      for (int j = 0; j < Words::SIZE / int(sizeof(T)); j++)
        part.at[j] = pack.at[i * (Words::SIZE / int(sizeof(T))) + j];
      reinterpret_cast<Part*>(to)[i] = part;
    }
  } else {
    Words words;
    words.pack = pack;
#pragma unroll
    for (int i = 0; i < Words::BYTES / Words::SIZE; i++)
      reinterpret_cast<typename Words::Type*>(to)[i] = words.at[i];
  }
}

// For data in global memory that is used once: it leaves the caches first.
template <int N, class T>
FNN_DEVICE Pack<T, N> load_pack_streaming(const T* from) {
  using Words = device::Words<T, N>;
  Words words;
#pragma unroll
  for (int i = 0; i < Words::BYTES / Words::SIZE; i++)
    words.at[i] = __ldcs(reinterpret_cast<const typename Words::Type*>(from) + i);
  return words.pack;
}

template <class T, int N>
FNN_DEVICE void store_pack_streaming(T* to, const Pack<T, N>& pack) {
  using Words = device::Words<T, N>;
  Words words;
  words.pack = pack;
#pragma unroll
  for (int i = 0; i < Words::BYTES / Words::SIZE; i++)
    __stcs(reinterpret_cast<typename Words::Type*>(to) + i, words.at[i]);
}

// Start copying 16 bytes; zeros where not valid, and then `global` is not read.
FNN_DEVICE void copy_async16(void* shared, const void* global, bool valid) {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(device::shared_address(shared)),
               "l"(global), "r"(valid ? 16 : 0)
               : "memory");
#else
  uint4 words = make_uint4(0, 0, 0, 0);
  if (valid) words = *static_cast<const uint4*>(global);
  *static_cast<uint4*>(shared) = words;
#endif
}

// What was started since the last commit becomes a group.
FNN_DEVICE void copy_async_commit() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Wait until at most N of this thread's groups are under way.
template <int N>
FNN_DEVICE void copy_async_wait() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
#endif
}

// Four 8 x 8 matrices of 16-bit numbers: lane l gives the address of row l % 8 of matrix l / 8, and
// receives elements 2 (l % 4) and the next of row l / 4 of each.
FNN_DEVICE void ldmatrix_x4(unsigned (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(device::shared_address(row))
               : "memory");
}

FNN_DEVICE void ldmatrix_x4_transposed(unsigned (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(device::shared_address(row))
               : "memory");
}

#define FNN_MMA(shape, types)                                                                 \
  asm("mma.sync.aligned." shape ".row.col.f32." types ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, " \
      "{%8, %9}, {%0, %1, %2, %3};"                                                           \
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                                        \
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1))

// d += A B for A of 16 x 16 and B of 16 x 8 numbers in float16 or bfloat16, two in a register. Before
// sm_80 float16 takes two steps of half the depth, and bfloat16 is not there.
template <class T>
FNN_DEVICE void mma_m16n8k16(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1);

template <>
FNN_DEVICE void mma_m16n8k16<half>(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
#if __CUDA_ARCH__ >= 800
  FNN_MMA("m16n8k16", "f16.f16");
#else
#pragma unroll
  for (int i = 0; i < 2; i++)
    asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, "
        "{%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[2 * i]), "r"(a[2 * i + 1]), "r"(i ? b1 : b0));
#endif
}

#if !defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800
template <>
FNN_DEVICE void mma_m16n8k16<bfloat16>(float (&d)[4], const unsigned (&a)[4], unsigned b0,
                                       unsigned b1) {
  FNN_MMA("m16n8k16", "bf16.bf16");
}
#endif

// d += A B for A of 16 x 8 and B of 8 x 8 float32 numbers, of which TF32 keeps 10 bits of fraction.
// No kernel that calls it is launched before sm_80.
FNN_DEVICE void mma_m16n8k8_tf32(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
#if __CUDA_ARCH__ >= 800
  FNN_MMA("m16n8k8", "tf32.tf32");
#else
  __trap();
#endif
}

// The bits of a float32 number rounded to TF32, ties away from zero.
FNN_DEVICE unsigned round_to_tf32(unsigned bits) {
#if __CUDA_ARCH__ >= 800
  unsigned rounded;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(__uint_as_float(bits)));
  return rounded;
#else
  return (bits & 0x7f800000) == 0x7f800000 ? bits : (bits + 0x1000) & 0xffffe000;
#endif
}

#undef FNN_MMA

}  // namespace fnn
#endif

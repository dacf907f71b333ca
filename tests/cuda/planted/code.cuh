// Kernels whose machine code is known.
#pragma once
#include "device.cuh"

namespace fnn {

template <class T>
__global__ void __launch_bounds__(256) copy(const T* x, T* y) {
  int i = (blockIdx.x * 256 + threadIdx.x) * (16 / sizeof(T));
  store_pack(y + i, load_pack<16 / sizeof(T)>(x + i));
}

// An array that is indexed by a number has no registers.
template <int N>
__global__ void __launch_bounds__(256) local(const int* x, int* y) {
  int kept[N];
  for (int i = 0; i < N; i++) kept[i] = x[i * 256 + threadIdx.x];
  int sum = 0;
  for (int i = 0; i < N; i++) sum += kept[(kept[i] + i) % N];
  y[threadIdx.x] = sum;
}

__global__ void __launch_bounds__(128) tensor(const half* x, float* y) {
  FNN_SHARED(half, s, [128][8]);
  copy_async16(s[threadIdx.x], x + threadIdx.x * 8, true);
  copy_async_commit();
  copy_async_wait<0>();
  __syncthreads();
  unsigned a[4], b[4];
  ldmatrix_x4(a, s[threadIdx.x]);
  ldmatrix_x4_transposed(b, s[127 - threadIdx.x]);
  float d[4] = {0, 0, 0, 0};
  mma_m16n8k16<half>(d, a, b[0], b[1]);
  store_pack(y + threadIdx.x * 4, Pack<float, 4>{d[0], d[1], d[2], d[3]});
}

}  // namespace fnn

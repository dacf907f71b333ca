// Conversions and operations, one number at a time.
#pragma once
#include "device.cuh"

namespace fnn {

template <class T>
__global__ void decode(const unsigned short* x, float* y, int n) {
  const T* numbers = reinterpret_cast<const T*>(x);
  for (int i = threadIdx.x; i < n; i += 32) y[i] = static_cast<float>(numbers[i]);
}

template <class T>
__global__ void encode(const float* x, unsigned short* y, int n) {
  T* numbers = reinterpret_cast<T*>(y);
  for (int i = threadIdx.x; i < n; i += 32) numbers[i] = static_cast<T>(x[i]);
}

template <class T>
__global__ void calculate(const T* a, const T* b, T* out, int n) {
  for (int i = threadIdx.x; i < n; i += 32) {
    out[i] = a[i] + b[i];
    out[n + i] = a[i] - b[i];
    out[2 * n + i] = a[i] * b[i];
    out[3 * n + i] = a[i] / b[i];
  }
}

__global__ void scale(const float* x, float* y, float factor, int n) {
  for (int i = threadIdx.x; i < n; i += 32) y[i] = x[i] * factor;
}

__global__ void round_tf32(const float* x, float* y, int n) {
  for (int i = threadIdx.x; i < n; i += 32)
    y[i] = __uint_as_float(round_to_tf32(__float_as_uint(x[i])));
}

// The order in which threads come here.
__global__ void arrival(unsigned* counter, unsigned* order) {
  order[blockIdx.x * blockDim.x + threadIdx.x] = atomicAdd(counter, 1u);
}

// d = A B by one warp, each lane's elements by the table of the PTX manual. T: the type in memory.
template <class T>
__global__ void multiply16(const T* a, const T* b, float* d) {
  int lane = threadIdx.x, group = lane >> 2, member = lane % 4;
  unsigned ra[4], rb[2];
  float rd[4] = {0, 0, 0, 0};
  for (int i = 0; i < 8; i++) {
    int row = i < 2 || (i >= 4 && i < 6) ? group : group + 8;
    int column = member * 2 + (i & 1) + (i >= 4 ? 8 : 0);
    reinterpret_cast<T*>(ra)[i] = a[row * 16 + column];
  }
  for (int i = 0; i < 4; i++) {
    int row = member * 2 + (i & 1) + (i >= 2 ? 8 : 0);
    reinterpret_cast<T*>(rb)[i] = b[row * 8 + group];
  }
  mma_m16n8k16<T>(rd, ra, rb[0], rb[1]);
  for (int i = 0; i < 4; i++) {
    int row = i < 2 ? group : group + 8, column = member * 2 + (i & 1);
    d[row * 8 + column] = rd[i];
  }
}

__global__ void multiply8(const float* a, const float* b, float* d) {
  int lane = threadIdx.x, group = lane >> 2, member = lane % 4;
  unsigned ra[4], rb[2];
  float rd[4] = {1, 1, 1, 1};
  for (int i = 0; i < 4; i++) {
    int row = i == 0 || i == 2 ? group : group + 8, column = i < 2 ? member : member + 4;
    ra[i] = __float_as_uint(a[row * 8 + column]);
  }
  for (int i = 0; i < 2; i++) rb[i] = __float_as_uint(b[(member + 4 * i) * 8 + group]);
  mma_m16n8k8_tf32(rd, ra, rb[0], rb[1]);
  for (int i = 0; i < 4; i++) {
    int row = i < 2 ? group : group + 8, column = member * 2 + (i & 1);
    d[row * 8 + column] = rd[i];
  }
}

// Four 8 x 8 matrices as every lane receives them.
template <bool TRANSPOSED>
__global__ void matrices(const unsigned short* x, unsigned* out) {
  FNN_SHARED(unsigned short, s, [32][8]);
  for (int i = 0; i < 8; i++) s[threadIdx.x][i] = x[threadIdx.x * 8 + i];
  __syncwarp();
  unsigned r[4];
  if (TRANSPOSED)
    ldmatrix_x4_transposed(r, s[threadIdx.x]);
  else
    ldmatrix_x4(r, s[threadIdx.x]);
  for (int i = 0; i < 4; i++) out[i * 32 + threadIdx.x] = r[i];
}

// Results of the warp's operations, a row of 32 for each.
__global__ void warp(const int* x, int* out) {
  int lane = threadIdx.x, v = x[lane];
  out[lane] = __shfl_sync(~0u, v, 5);
  out[32 + lane] = __shfl_sync(~0u, v, 5, 8);
  out[64 + lane] = __shfl_xor_sync(~0u, v, 3);
  out[96 + lane] = __shfl_down_sync(~0u, v, 2);
  out[128 + lane] = __shfl_up_sync(~0u, v, 2, 16);
  out[160 + lane] = static_cast<int>(__ballot_sync(~0u, v > 500));
  out[192 + lane] = __any_sync(~0u, v > 2000) + 2 * __all_sync(~0u, v >= 0);
  // Halves of a warp that go different ways
  if (lane < 16)
    out[224 + lane] = __shfl_xor_sync(0x0000ffff, v, 1);
  else
    out[224 + lane] = __shfl_xor_sync(0xffff0000, v, 2) + __shfl_xor_sync(0xffff0000, v, 4);
}

}  // namespace fnn

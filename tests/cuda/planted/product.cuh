// out = A @ B through tiles of 16 x 16 in shared memory, for any sizes.
#pragma once
#include "device.cuh"

namespace fnn {

__global__ void product(const float* a, const float* b, float* out, int m, int n, int k) {
  FNN_SHARED(float, as, [16][16]);
  FNN_SHARED(float, bs, [16][16]);
  int x = threadIdx.x, y = threadIdx.y, row = blockIdx.y * 16 + y, column = blockIdx.x * 16 + x;
  float sum = 0;
  for (int start = 0; start < k; start += 16) {
    as[y][x] = row < m && start + x < k ? a[row * k + start + x] : 0;
    bs[y][x] = start + y < k && column < n ? b[(start + y) * n + column] : 0;
    __syncthreads();
    for (int i = 0; i < 16; i++) sum = fmaf(as[y][i], bs[i][x], sum);
    __syncthreads();
  }
  if (row < m && column < n) out[row * n + column] = sum;
}

}  // namespace fnn

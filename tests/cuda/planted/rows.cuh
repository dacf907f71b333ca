// Each row divided by its sum, in place, then turned around; a warp has a row.
#pragma once
#include "device.cuh"

namespace fnn {

__global__ void rows(float* x, int n) {
  FNN_SHARED(float, kept, [2][64]);
  int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  float* row = x + (blockIdx.x * 2 + warp) * n;
  float sum = 0;
  for (int i = lane; i < n; i += 32) sum += row[i];
  for (int i = 16; i > 0; i /= 2) sum += __shfl_xor_sync(0xffffffff, sum, i);
  for (int i = lane; i < n; i += 32) kept[warp][i] = row[i] / sum;
  __syncwarp();
  for (int i = lane; i < n; i += 32) row[i] = kept[warp][n - 1 - i];
}

}  // namespace fnn

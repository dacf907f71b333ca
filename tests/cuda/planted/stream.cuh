// out[i] = the sum of tile i of 128 numbers, through a ring of three tiles that are copied ahead.
#pragma once
#include "device.cuh"

namespace fnn {

__global__ void stream(const float* x, float* out, int tiles) {
  FNN_SHARED(float, ring, [3][128]);
  FNN_SHARED(float, all, [32]);
  int lane = threadIdx.x;
  for (int i = 0; i < 2; i++) {
    copy_async16(&ring[i][lane * 4], x + i * 128 + lane * 4, i < tiles);
    copy_async_commit();
  }
  for (int i = 0; i < tiles; i++) {
    copy_async_wait<1>();
    __syncthreads();
    int next = i + 2;
    copy_async16(&ring[next % 3][lane * 4], x + next * 128 + lane * 4, next < tiles);
    copy_async_commit();
    Pack<float, 4> four = load_pack<4>(&ring[i % 3][(31 - lane) * 4]);
    all[lane] = four.at[0] + four.at[1] + four.at[2] + four.at[3];
    __syncthreads();
    if (lane == 0) {
      float sum = 0;
      for (int j = 0; j < 32; j++) sum += all[j];
      out[i] = sum;
    }
  }
}

}  // namespace fnn

// Accesses whose requests, sectors and wavefronts can be counted by hand.
#pragma once
#include "device.cuh"

namespace fnn {

// Lane i reads x[i * STRIDE + OFFSET] and stores it STRIDE numbers apart in shared memory.
template <int STRIDE, int OFFSET>
__global__ void strided(const float* x, float* y) {
  FNN_SHARED(float, s, [32 * STRIDE]);
  int lane = threadIdx.x;
  s[lane * STRIDE] = x[lane * STRIDE + OFFSET];
  __syncwarp();
  y[lane] = s[0];
}

// Adam's traffic: four numbers read and three written for every parameter, 16 bytes at a time.
__global__ void update(float* w, float* m, float* v, const float* g, int n) {
  int i = (blockIdx.x * 64 + threadIdx.x) * 4;
  if (i >= n) return;
  auto pw = load_pack<4>(w + i), pm = load_pack<4>(m + i), pv = load_pack<4>(v + i);
  auto pg = load_pack_streaming<4>(g + i);
  for (int k = 0; k < 4; k++) {
    pm.at[k] = fmaf(0.9f, pm.at[k], 0.1f * pg.at[k]);
    pv.at[k] = fmaf(0.999f, pv.at[k], 0.001f * pg.at[k] * pg.at[k]);
    pw.at[k] -= 0.01f * pm.at[k] / (sqrtf(pv.at[k]) + 1e-8f);
  }
  store_pack(w + i, pw);
  store_pack(m + i, pm);
  store_pack_streaming(v + i, pv);
}

// Rows of 16 bytes for ldmatrix, PITCH bytes apart.
template <int PITCH>
__global__ void matrices(unsigned* out) {
  FNN_SHARED(unsigned char, s, [32 * PITCH]);
  unsigned r[4];
  for (int i = threadIdx.x; i < 32 * PITCH; i += 32) s[i] = 0;
  __syncwarp();
  ldmatrix_x4(r, s + threadIdx.x * PITCH);
  out[threadIdx.x] = r[0] + r[1] + r[2] + r[3];
}

}  // namespace fnn

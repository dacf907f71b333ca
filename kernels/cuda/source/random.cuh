// Random numbers from a counter, the same ones on every backend: Philox4x32-10 (Salmon et al.,
// "Parallel random numbers: as easy as 1, 2, 3", 2011).
#pragma once
#include "device.cuh"

namespace fnn {

struct Philox {
  uint32_t at[4];

  FNN_DEVICE Philox(uint64_t block, uint32_t step, uint32_t key, uint32_t layer) {
    uint32_t c0 = static_cast<uint32_t>(block), c1 = step, c2 = 0, c3 = 0;
    uint32_t k0 = key, k1 = layer;
#pragma unroll
    for (int round = 0; round < 10; round++) {
      uint64_t p0 = uint64_t(0xD2511F53u) * c0, p1 = uint64_t(0xCD9E8D57u) * c2;
      c0 = static_cast<uint32_t>(p1 >> 32) ^ c1 ^ k0;
      c1 = static_cast<uint32_t>(p1);
      c2 = static_cast<uint32_t>(p0 >> 32) ^ c3 ^ k1;
      c3 = static_cast<uint32_t>(p0);
      k0 += 0x9E3779B9u;
      k1 += 0xBB67AE85u;
    }
    at[0] = c0, at[1] = c1, at[2] = c2, at[3] = c3;
  }

  // Whether number i is at least `threshold` of 2**24.
  FNN_DEVICE bool reaches(int i, uint32_t threshold) const { return at[i] >> 8 >= threshold; }
};

}  // namespace fnn

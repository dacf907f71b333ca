// Values combined over neighbouring lanes: a part of a warp, a warp, or a block of up to 32 warps.
//
// The order is a tree that the number of lanes alone decides, and `combine` is symmetric, so every
// lane gets the same bits, whatever the schedule.
#pragma once
#include "device.cuh"
#include "words.cuh"

namespace fnn {

constexpr unsigned ALL_LANES = 0xffffffffu;

// The values of each `LANES` neighbouring lanes of a warp, combined in all of them.
template <int LANES, class C, class Combine>
FNN_DEVICE C combine_in_warp(C value, Combine combine) {
#pragma unroll
  for (int far = LANES / 2; far > 0; far /= 2)
    value = combine(value, __shfl_xor_sync(ALL_LANES, value, far));
  return value;
}

// The values of each `LANES` neighbouring threads of a block; beyond a warp, LANES is the block.
// Every thread of the block must call it.
template <int LANES, class C, class Combine>
FNN_DEVICE C combine_lanes(C value, Combine combine) {
  if constexpr (LANES <= 32) {
    return combine_in_warp<LANES>(value, combine);
  } else {
    FNN_SHARED(C, of_warps, [LANES / 32]);
    value = combine_in_warp<32>(value, combine);
    if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = value;
    __syncthreads();
    value = of_warps[0];
#pragma unroll
    for (int warp = 1; warp < LANES / 32; warp++) value = combine(value, of_warps[warp]);
    __syncthreads();
    return value;
  }
}

template <int LANES, class C>
FNN_DEVICE C sum_lanes(C value) {
  return combine_lanes<LANES>(value, [](C a, C b) { return a + b; });
}

// The largest; nan only if all are.
template <int LANES, class C>
FNN_DEVICE C largest_of_lanes(C value) {
  return combine_lanes<LANES>(value, [](C a, C b) { return a > b || b != b ? a : b; });
}

}  // namespace fnn

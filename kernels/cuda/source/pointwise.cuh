// The elementwise template: outputs = F(inputs, scalars) for every element of arrays.
#pragma once
#include "arguments.cuh"

namespace fnn {

constexpr int POINTWISE_BLOCK = 256;

// A block's share of the n elements: a vector a thread. Outputs may be inputs.
template <class F, class C, class... Arguments>
FNN_DEVICE void pointwise_share(int64_t n, const C* fixed, Arguments... arguments) {
  constexpr int V = ARGUMENT_VECTOR<Arguments...>;
  int64_t start = int64_t(blockIdx.x) * (POINTWISE_BLOCK * V);
  int count = n - start < POINTWISE_BLOCK * V ? int(n - start) : POINTWISE_BLOCK * V;
  bool packed = (packable_argument<V>(arguments) && ...);
  walk<V>(threadIdx.x, POINTWISE_BLOCK, count, packed, [&](auto width, int at) {
    Frame<F, C, decltype(width)::value> frame;
    frame.compute(start + at, fixed, arguments...);
    frame.give(start + at, arguments...);
  });
}

template <class F, class C, class... Arguments>
__global__ void __launch_bounds__(POINTWISE_BLOCK, 4)
    pointwise(int64_t n, const C* fixed, Arguments... arguments) {
  pointwise_share<F>(n, fixed, arguments...);
}

}  // namespace fnn

// Dropout: elements are set to zero by a random mask, the others scaled.
#pragma once
#include "clock.cuh"
#include "numeric.cuh"
#include "random.cuh"

namespace fnn {

constexpr int DROPOUT_BLOCK = 256;

// Element i takes number i % 4 of the block i / 4 of random numbers, so that the mask depends on
// nothing but seed, layer, step and place. y = x mask; without x, y is the mask itself: `kept` or 0.
// A clock, where there is one, gives seed and step.
template <class T>
__global__ void __launch_bounds__(DROPOUT_BLOCK, 4)
    dropout(int64_t n, const T* x, T* y, uint32_t seed, uint32_t layer, uint32_t step,
            const int64_t* clock, uint32_t threshold, Compute<T> kept) {
  using C = Compute<T>;
  constexpr int V = VECTOR<T>, COUNT = V > 4 ? V : 4;
  if (clock) {
    seed = static_cast<uint32_t>(clock[Clock::SEED]);
    step = static_cast<uint32_t>(clock[Clock::FIRST] + clock[Clock::CURRENT]);
  }
  const int64_t first = (int64_t(blockIdx.x) * DROPOUT_BLOCK + threadIdx.x) * COUNT;
  if (first >= n) return;
  Values<C, COUNT> mask;
#pragma unroll
  for (int i = 0; i < COUNT; i += 4) {
    Philox numbers((first + i) / 4, step, seed, layer);
#pragma unroll
    for (int j = 0; j < 4; j++) mask.at[i + j] = numbers.reaches(j, threshold) ? kept : C(0);
  }
  if (first + COUNT <= n && packable<V>(x) && packable<V>(y)) {
#pragma unroll
    for (int i = 0; i < COUNT; i += V) {
      Values<C, V> values;
      if (x) values = read<C, V>(x + first + i);
#pragma unroll
      for (int v = 0; v < V; v++) values.at[v] = x ? values.at[v] * mask.at[i + v] : mask.at[i + v];
      write(y + first + i, values);
    }
  } else {
#pragma unroll
    for (int i = 0; i < COUNT; i++) {
      if (first + i < n)
        y[first + i] = convert<T>(x ? convert<C>(x[first + i]) * mask.at[i] : mask.at[i]);
    }
  }
}

}  // namespace fnn

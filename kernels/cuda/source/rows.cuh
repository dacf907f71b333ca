// The elementwise template over rows of matrices, with sums along the rows.
#pragma once
#include "arguments.cuh"
#include "clock.cuh"
#include "reduce.cuh"

namespace fnn {

constexpr int ROWS_BLOCK = 256;

// Call use(arguments...) with a row of every array: of N arguments, which are pairs (array, row
// stride) and numbers, each is taken from the front and put at the back.
template <int N>
struct Row {
  template <class Use, class T, class... More>
  FNN_DEVICE static void of(int64_t row, Use use, T* array, int64_t stride, More... more) {
    Row<N - 1>::of(row, use, more..., array + row * stride);
  }
  template <class Use, class C, class... More>
  FNN_DEVICE static void of(int64_t row, Use use, C number, More... more) {
    Row<N - 1>::of(row, use, more..., number);
  }
};
template <>
struct Row<0> {
  template <class Use, class... Arguments>
  FNN_DEVICE static void of(int64_t, Use use, Arguments... arguments) {
    use(arguments...);
  }
};

// outputs = F(inputs, scalars) for every element of `rows` x `columns`, by LANES threads a row; a
// stride of 0 repeats a row. With SUMMED, F's last result is not written but added up along each
// row: of the step under way, row i's sum goes to sums[step * batch + i].
template <class F, class C, int LANES, bool SUMMED, class... Arguments>
__global__ void __launch_bounds__(ROWS_BLOCK, 4)
    over_rows(int rows, int columns, const C* fixed, C* sums, int64_t batch, const int64_t* clock,
              Arguments... arguments) {
  constexpr int V = ARGUMENT_VECTOR<Arguments...>;
  constexpr int COUNT = ((SAME<Arguments, int64_t> ? 0 : 1) + ...);
  const int row = blockIdx.x * (ROWS_BLOCK / LANES) + threadIdx.x / LANES;
  C sum = 0;
  auto use = [&](auto... arrays) {
    int lane = blockIdx.y * LANES + threadIdx.x % LANES;
    bool packed = (packable_argument<V>(arrays) && ...);
    walk<V>(lane, gridDim.y * LANES, columns, packed, [&](auto width, int at) {
      Frame<F, C, decltype(width)::value> frame;
      frame.compute(at, fixed, arrays...);
      frame.give(at, arrays...);
      if constexpr (SUMMED) {
#pragma unroll
        for (int v = 0; v < decltype(width)::value; v++) sum += frame.out[F::OUTPUTS - 1].at[v];
      }
    });
  };
  if (row < rows) Row<COUNT>::of(row, use, arguments...);
  if constexpr (SUMMED) {
    sum = sum_lanes<LANES>(sum);
    if (threadIdx.x % LANES == 0 && row < rows) sums[current_step(clock) * batch + row] = sum;
  }
}

}  // namespace fnn

// The elementwise template over rows of matrices, with sums along the rows.
#pragma once
#include "arguments.cuh"
#include "clock.cuh"
#include "reduce.cuh"

namespace fnn {

constexpr int ROWS_BLOCK = 256;

// One row of every array among the arguments, which are pairs (array, row stride) and numbers.
template <class F, class C, int V>
struct RowFrame : Frame<F, C, V> {
  FNN_DEVICE void take_row(int64_t, int64_t) {}
  template <class T, class... More>
  FNN_DEVICE void take_row(int64_t row, int64_t at, T* array, int64_t stride, More... more) {
    this->take(array, row * stride + at);
    take_row(row, at, more...);
  }
  template <class... More>
  FNN_DEVICE void take_row(int64_t row, int64_t at, C number, More... more) {
    this->take(number, 0);
    take_row(row, at, more...);
  }

  FNN_DEVICE void give_row(int64_t, int64_t) {}
  template <class T, class... More>
  FNN_DEVICE void give_row(int64_t row, int64_t at, T* array, int64_t stride, More... more) {
    this->give(array, row * stride + at);
    give_row(row, at, more...);
  }
  template <class... More>
  FNN_DEVICE void give_row(int64_t row, int64_t at, C, More... more) {
    give_row(row, at, more...);
  }
};

// Whether all rows of all arrays can be accessed V elements at a time.
template <int V>
struct Packable {
  FNN_DEVICE static bool rows() { return true; }
  template <class T, class... More>
  FNN_DEVICE static bool rows(T* array, int64_t stride, More... more) {
    return packable<V>(array, stride) && rows(more...);
  }
  template <class C, class... More>
  FNN_DEVICE static bool rows(C, More... more) {
    return rows(more...);
  }
};

// outputs = F(inputs, scalars) for every element of `rows` x `columns`, by LANES threads a row; a
// stride of 0 repeats a row. With SUMMED, F's last result is not written but added up along each
// row: of the step under way, row i's sum goes to sums[step * batch + i].
template <class F, class C, int LANES, bool SUMMED, class... Arguments>
__global__ void __launch_bounds__(ROWS_BLOCK)
    over_rows(int rows, int columns, const C* fixed, C* sums, int64_t batch, const int64_t* clock,
              Arguments... arguments) {
  constexpr int V = ARGUMENT_VECTOR<Arguments...>;
  int64_t row = int64_t(blockIdx.x) * (ROWS_BLOCK / LANES) + threadIdx.x / LANES;
  int first = blockIdx.y * LANES + threadIdx.x % LANES;
  C sum = 0;
  walk<V>(first, gridDim.y * LANES, row < rows ? columns : 0, Packable<V>::rows(arguments...),
          [&](auto width, int at) {
            RowFrame<F, C, decltype(width)::value> frame;
            frame.take_row(row, at, arguments...);
            frame.compute(fixed);
            frame.give_row(row, at, arguments...);
            if constexpr (SUMMED) {
#pragma unroll
              for (int v = 0; v < decltype(width)::value; v++)
                sum += frame.out[F::OUTPUTS - 1].at[v];
            }
          });
  if constexpr (SUMMED) {
    sum = sum_lanes<LANES>(sum);
    if (threadIdx.x % LANES == 0 && row < rows) sums[current_step(clock) * batch + row] = sum;
  }
}

}  // namespace fnn

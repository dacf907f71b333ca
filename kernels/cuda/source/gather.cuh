// The rows of a batch, collected from a data set in the order that a table says, and converted.
#pragma once
#include "clock.cuh"
#include "numeric.cuh"

namespace fnn {

constexpr int GATHER_BLOCK = 256;

// One row of `columns` elements, by LANES threads.
template <class To, class From>
FNN_DEVICE void gather_row(int lane, int lanes, int columns, const From* data, int64_t from, To* out,
                           int64_t out_stride, int64_t row) {
  constexpr int V = VECTOR<To, From>;
  bool packed = packable<V>(data, columns) && packable<V>(out, out_stride);
  walk<V>(lane, lanes, columns, packed, [&](auto width, int at) {
    constexpr int W = decltype(width)::value;
    write(out + row * out_stride + at, read<Compute<To>, W>(data + from * columns + at));
  });
}

// out[i] = data[order[step * batch + i]], and so for targets, of the step that this launch begins.
// LANES threads take a row. A data set's rows are dense; targets may be null.
template <class From, class To, class TargetFrom, class TargetTo, int LANES>
__global__ void __launch_bounds__(GATHER_BLOCK, 4)
    gather(int rows, const int64_t* order, int64_t batch, int64_t* clock, int columns,
           const From* data, To* out, int64_t out_stride, int target_columns,
           const TargetFrom* targets, TargetTo* target_out, int64_t target_stride) {
  int64_t step = begin_step(clock);
  int64_t row = int64_t(blockIdx.x) * (GATHER_BLOCK / LANES) + threadIdx.x / LANES;
  if (row >= rows) return;
  int lane = threadIdx.x % LANES;
  int64_t from = order[step * batch + row];
  gather_row(lane, LANES, columns, data, from, out, out_stride, row);
  if (targets)
    gather_row(lane, LANES, target_columns, targets, from, target_out, target_stride, row);
}

}  // namespace fnn

// Labels as weights and as rows, and the label that a row says.
#pragma once
#include "loss.cuh"

namespace fnn {

constexpr int LABELS_BLOCK = 256;

// out[i] = weight[label[i]], 1 where weight is null, 0 where the label is `ignored`; not a number
// where there is no such class.
template <class Label, class C>
__global__ void __launch_bounds__(LABELS_BLOCK, 4)
    label_weights(int64_t n, int classes, const Label* labels, int64_t ignored, const C* weight,
                  C* out) {
  const int64_t i = int64_t(blockIdx.x) * LABELS_BLOCK + threadIdx.x;
  if (i >= n) return;
  const int64_t label = labels[i];
  if (label == ignored)
    out[i] = 0;
  else if (label < 0 || label >= classes)
    out[i] = not_a_number<C>();
  else
    out[i] = weight ? weight[label] : C(1);
}

// out[i][label[i]] = scales[i], or 1 where scales is null, and 0 elsewhere: by LANES threads a row.
// A row without such a class is not a number, unless its label is `ignored`.
template <class Label, class T, int LANES, class C = Compute<T>>
__global__ void __launch_bounds__(LABELS_BLOCK, 4)
    one_hot(int rows, int columns, const Label* labels, int64_t ignored, const C* scales, T* out) {
  constexpr int V = VECTOR<T>;
  const int row = blockIdx.x * (LABELS_BLOCK / LANES) + threadIdx.x / LANES;
  if (row >= rows) return;
  const int64_t label = labels[row];
  const bool exists = (label >= 0 && label < columns) || label == ignored;
  const C scale = scales ? scales[row] : C(1), other = exists ? C(0) : not_a_number<C>();
  const bool packed = packable<V>(out, columns);
  out += int64_t(row) * columns;
  walk<V>(threadIdx.x % LANES, LANES, columns, packed, [&](auto width, int at) {
    constexpr int W = decltype(width)::value;
    Values<C, W> values;
#pragma unroll
    for (int v = 0; v < W; v++) values.at[v] = at + v == label ? scale : other;
    write(out + at, values);
  });
}

// The index of every row's first largest number, or of its first nan: by LANES threads a row.
template <class T, int LANES, class C = Compute<T>>
__global__ void __launch_bounds__(SOFTMAX_BLOCK, 4)
    argmax(int rows, int columns, const T* x, int64_t stride, int64_t* out) {
  constexpr int V = VECTOR<T>;
  RowPlace<LANES> place(rows);
  const bool packed = packable<V>(x, stride);
  x += place.row * stride;
  Best<C> best;
  walk<V>(place.lane, LANES, place.exists ? columns : 0, packed, [&](auto width, int at) {
    constexpr int W = decltype(width)::value;
    Values<C, W> values = read<C, W>(x + at);
#pragma unroll
    for (int v = 0; v < W; v++) best.add(values.at[v], at + v);
  });
  best.template combine<LANES>();
  if (place.exists && place.lane == 0) out[place.row] = best.index;
}

}  // namespace fnn

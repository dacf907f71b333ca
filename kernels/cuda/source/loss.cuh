// Softmax cross-entropy of logits: a row's loss, its gradient and whether its label has the largest
// logit, in two reads of the logits and one write.
#pragma once
#include "clock.cuh"
#include "softmax.cuh"

namespace fnn {

// The first largest number of those seen, or the first nan: what argmax finds.
template <class C>
struct Best {
  C value = -infinity<C>();
  int index = -1;

  FNN_DEVICE void add(C other, int other_index) {
    bool nan = value != value, other_nan = other != other;
    bool earlier = index < 0 || (other_index >= 0 && other_index < index);
    bool equal = nan ? other_nan : other == value;
    bool larger = nan ? false : other_nan || other > value;
    if (larger || (equal && earlier)) value = other, index = other_index;
  }

  template <int LANES>
  FNN_DEVICE void combine() {
    if constexpr (LANES <= 32) {
      combine_warp<LANES>();
    } else {
      FNN_SHARED(C, values, [LANES / 32]);
      FNN_SHARED(int, indices, [LANES / 32]);
      combine_warp<32>();
      if (threadIdx.x % 32 == 0) {
        values[threadIdx.x / 32] = value;
        indices[threadIdx.x / 32] = index;
      }
      __syncthreads();
#pragma unroll
      for (int warp = 0; warp < LANES / 32; warp++) add(values[warp], indices[warp]);
      __syncthreads();
    }
  }

 private:
  template <int LANES>
  FNN_DEVICE void combine_warp() {
#pragma unroll
    for (int far = LANES / 2; far > 0; far /= 2) {
      C other = __shfl_xor_sync(ALL_LANES, value, far);
      add(other, __shfl_xor_sync(ALL_LANES, index, far));
    }
  }
};

// Targets of rows: t[k] = weight[k] (smooth + keep p[k]), where p is a row of probabilities or 1 at
// the row's label.
template <class Target, class C>
struct Targets {
  const Target* data;
  int64_t stride;  // of probabilities
  const C* weight;  // of classes; may be null
  C smooth, keep;

  static constexpr bool LABELS = SAME<Target, int> || SAME<Target, int64_t>;

  FNN_DEVICE int64_t label(int row) const {
    if constexpr (LABELS)
      return data[row];
    else
      return -1;
  }

  template <int V>
  FNN_DEVICE Values<C, V> probabilities(int row, int64_t label, int64_t at) const {
    Values<C, V> p;
    if constexpr (LABELS) {
#pragma unroll
      for (int v = 0; v < V; v++) p.at[v] = at + v == label ? 1 : 0;
    } else {
      p = read<C, V>(data + row * stride + at);
    }
    return p;
  }

  template <int V>
  FNN_DEVICE Values<C, V> of(Values<C, V> p, int64_t at) const {
#pragma unroll
    for (int v = 0; v < V; v++) {
      p.at[v] = smooth + keep * p.at[v];
      if (weight) p.at[v] *= weight[at + v];
    }
    return p;
  }

  template <int V>
  FNN_DEVICE bool packed() const {
    if constexpr (LABELS)
      return true;
    else
      return packable<V>(data, stride);
  }
};

// Of every row: loss = sum(t) log(sum(exp(z))) - sum(t z), to values; whether the first largest
// logit is the target's, to hits; with GRADIENT dz = (softmax(z) sum(t) - t) scale, where dz may be
// z. Both are times the row's weight, and scale is `share`, over *divisor where that is given. Rows
// whose label is `ignored` have neither loss nor gradient; where there is no such class both are not
// a number. values, hits, row_weights, weight and divisor may be null; of the step under way, row i's
// value goes to values[step * batch + i].
template <class T, class Target, int LANES, bool GRADIENT, class C = Compute<T>>
__global__ void __launch_bounds__(SOFTMAX_BLOCK, 2)
    cross_entropy(int rows, int columns, const T* z, int64_t z_stride, const Target* target,
                  int64_t target_stride, int64_t ignored, const C* weight, C smoothing,
                  const C* row_weights, C share, const C* divisor, T* dz, int64_t dz_stride,
                  C* values, C* hits, int64_t batch, const int64_t* clock) {
  constexpr int V = VECTOR<T>;
  RowPlace<LANES> place(rows);
  const int row = place.row, n = place.exists ? columns : 0;
  Targets<Target, C> targets{target, target_stride, weight, smoothing / columns, C(1) - smoothing};
  const int64_t label = place.exists ? targets.label(row) : -1;
  bool packed = packable<V>(z, z_stride) && targets.template packed<V>();
  if (GRADIENT) packed = packed && packable<V>(dz, dz_stride);
  z += row * z_stride;

  Level<C> level;
  Best<C> best, most;
  C total = 0;  // of t
  walk<V>(place.lane, LANES, n, packed, [&](auto width, int at) {
    constexpr int W = decltype(width)::value;
    Values<C, W> logits = read<C, W>(z + at), p = targets.template probabilities<W>(row, label, at);
    Values<C, W> t = targets.of(p, at);
    level.add(logits);
#pragma unroll
    for (int v = 0; v < W; v++) {
      total += t.at[v];
      if (hits) best.add(logits.at[v], at + v);
      if (hits && !targets.LABELS) most.add(p.at[v], at + v);
    }
  });
  level.template combine<LANES>();
  total = sum_lanes<LANES>(total);
  if (hits) best.template combine<LANES>();
  if (hits && !targets.LABELS) most.template combine<LANES>();

  const bool counts = !targets.LABELS || label != ignored;
  if (targets.LABELS && (label < 0 || label >= columns)) total = not_a_number<C>();
  const C row_weight = row_weights && place.exists ? row_weights[row] : C(1);
  const C scale = (divisor ? share / *divisor : share) * row_weight;
  const C mass = level.checked_mass(), log_mass = log(mass), factor = total / mass;
  C loss = place.lane ? C(0) : total - total;
  walk<V>(place.lane, LANES, n, packed, [&](auto width, int at) {
    constexpr int W = decltype(width)::value;
    Values<C, W> logits = read<C, W>(z + at);
    Values<C, W> t = targets.of(targets.template probabilities<W>(row, label, at), at), slope;
#pragma unroll
    for (int v = 0; v < W; v++) {
      C relative = logits.at[v] - level.top;
      // a target of 0 says nothing of its logit, which may be infinite
      if (t.at[v] != 0) loss += t.at[v] * (log_mass - relative);
      slope.at[v] = counts ? (exp(relative) * factor - t.at[v]) * scale : C(0);
    }
    if constexpr (GRADIENT) write(dz + row * dz_stride + at, slope);
  });
  loss = sum_lanes<LANES>(loss);
  if (!place.exists || place.lane > 0) return;
  const int64_t to = current_step(clock) * batch + row;
  if (values) values[to] = counts ? loss * row_weight : C(0);
  if (hits) hits[to] = best.index == (targets.LABELS ? label : most.index) ? 1 : 0;
}

}  // namespace fnn

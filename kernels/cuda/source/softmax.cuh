// Softmax of rows, its logarithm, and their gradients: LANES threads a row.
#pragma once
#include "numeric.cuh"
#include "reduce.cuh"

namespace fnn {

constexpr int SOFTMAX_BLOCK = 256;

// What softmax needs to know of a row: its largest element, and the sum of exp(x - pivot), where
// the pivot is the largest element if that is finite, else 0. Threads start with a part of the row.
template <class C>
struct Level {
  C top = -infinity<C>();
  C mass = 0;

  FNN_DEVICE static C pivot(C top) { return abs(top) < infinity<C>() ? top : C(0); }

  // Count the mass from the pivot of `next`. Before there is a top it is 0, or not a number.
  FNN_DEVICE void raise(C next) {
    if (next == top) return;
    if (top > -infinity<C>()) mass *= exp(pivot(top) - pivot(next));
    top = next;
  }

  template <int V>
  FNN_DEVICE void add(const Values<C, V>& x) {
    C next = top;
#pragma unroll
    for (int v = 0; v < V; v++) next = x.at[v] > next ? x.at[v] : next;
    raise(next);
#pragma unroll
    for (int v = 0; v < V; v++) mass += exp(x.at[v] - pivot(top));
  }

  // The level of a whole row, of which LANES threads have seen parts.
  template <int LANES>
  FNN_DEVICE void combine() {
    raise(largest_of_lanes<LANES>(top));
    mass = sum_lanes<LANES>(mass);
  }

  FNN_DEVICE C pivot() const { return pivot(top); }

  // The mass, but not a number where a largest element that is infinite makes it so.
  FNN_DEVICE C checked_mass() const { return mass + (top - top); }
};

// The row of a thread of LANES, and its place there.
template <int LANES>
struct RowPlace {
  int row, lane;
  bool exists;
  FNN_DEVICE explicit RowPlace(int rows)
      : row(blockIdx.x * (SOFTMAX_BLOCK / LANES) + threadIdx.x / LANES),
        lane(threadIdx.x % LANES),
        exists(row < rows) {}
};

struct Softmax {};
struct LogSoftmax {};
struct LogSumExp {};

// y = Kind(x), row by row; y may be x. LogSumExp writes one number a row, y_stride apart.
template <class Kind, class T, int LANES>
__global__ void __launch_bounds__(SOFTMAX_BLOCK, 4)
    softmax(int rows, int columns, const T* x, int64_t x_stride, T* y, int64_t y_stride) {
  using C = Compute<T>;
  constexpr int V = VECTOR<T>;
  RowPlace<LANES> place(rows);
  int n = place.exists ? columns : 0;
  bool packed = packable<V>(x, x_stride);
  x += place.row * x_stride;
  Level<C> level;
  walk<V>(place.lane, LANES, n, packed, [&](auto width, int at) {
    level.add(read<C, decltype(width)::value>(x + at));
  });
  level.template combine<LANES>();
  if constexpr (SAME<Kind, LogSumExp>) {
    if (place.exists && place.lane == 0)
      y[place.row * y_stride] = convert<T>(level.pivot() + log(level.mass));
  } else {
    packed = packed && packable<V>(y, y_stride);
    y += place.row * y_stride;
    C pivot = SAME<Kind, Softmax> ? level.top : level.pivot();
    C scale = SAME<Kind, Softmax> ? C(1) / level.checked_mass() : log(level.mass);
    walk<V>(place.lane, LANES, n, packed, [&](auto width, int at) {
      constexpr int W = decltype(width)::value;
      Values<C, W> values = read<C, W>(x + at);
#pragma unroll
      for (int v = 0; v < W; v++) {
        C relative = values.at[v] - pivot;
        values.at[v] = SAME<Kind, Softmax> ? exp(relative) * scale : relative - scale;
      }
      write(y + at, values);
    });
  }
}

// dx = y (dy - sum(dy y)) for Softmax, dy - exp(y) sum(dy) for LogSoftmax; dx may be dy or y.
template <class Kind, class T, int LANES>
__global__ void __launch_bounds__(SOFTMAX_BLOCK, 4)
    softmax_backward(int rows, int columns, const T* dy, int64_t dy_stride, const T* y,
                     int64_t y_stride, T* dx, int64_t dx_stride) {
  using C = Compute<T>;
  constexpr int V = VECTOR<T>;
  constexpr bool LOG = SAME<Kind, LogSoftmax>;
  RowPlace<LANES> place(rows);
  int n = place.exists ? columns : 0;
  bool packed = packable<V>(dy, dy_stride) && packable<V>(y, y_stride) && packable<V>(dx, dx_stride);
  dy += place.row * dy_stride;
  y += place.row * y_stride;
  dx += place.row * dx_stride;
  C sum = 0;
  walk<V>(place.lane, LANES, n, packed, [&](auto width, int at) {
    constexpr int W = decltype(width)::value;
    Values<C, W> slope = read<C, W>(dy + at), value = {};
    if (!LOG) value = read<C, W>(y + at);
#pragma unroll
    for (int v = 0; v < W; v++) sum += LOG ? slope.at[v] : slope.at[v] * value.at[v];
  });
  sum = sum_lanes<LANES>(sum);
  walk<V>(place.lane, LANES, n, packed, [&](auto width, int at) {
    constexpr int W = decltype(width)::value;
    Values<C, W> slope = read<C, W>(dy + at), value = read<C, W>(y + at);
#pragma unroll
    for (int v = 0; v < W; v++)
      slope.at[v] = LOG ? slope.at[v] - exp(value.at[v]) * sum : value.at[v] * (slope.at[v] - sum);
    write(dx + at, slope);
  });
}

}  // namespace fnn

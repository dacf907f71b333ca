// Rows with mean 0 and variance 1, and the gradient of that: LANES threads a row.
#pragma once
#include "softmax.cuh"

namespace fnn {

// What a row is shifted and multiplied by: its mean, and 1 / sqrt(variance + eps).
template <int LANES, class C, class T>
FNN_DEVICE Values<C, 2> moments(const T* x, int lane, int n, int columns, bool packed, C eps) {
  constexpr int V = VECTOR<T>;
  C sum = 0, spread = 0;
  walk<V>(lane, LANES, n, packed, [&](auto width, int at) {
    Values<C, decltype(width)::value> values = read<C, decltype(width)::value>(x + at);
#pragma unroll
    for (int v = 0; v < decltype(width)::value; v++) sum += values.at[v];
  });
  const C mean = sum_lanes<LANES>(sum) / columns;
  walk<V>(lane, LANES, n, packed, [&](auto width, int at) {
    Values<C, decltype(width)::value> values = read<C, decltype(width)::value>(x + at);
#pragma unroll
    for (int v = 0; v < decltype(width)::value; v++)
      spread += (values.at[v] - mean) * (values.at[v] - mean);
  });
  const C variance = sum_lanes<LANES>(spread) / columns;
  return {{mean, C(1) / sqrt(variance + eps)}};
}

// y = (x - mean) / sqrt(variance + eps) weight + bias, row by row; y may be x, weight and bias null.
template <class T, int LANES, class C = Compute<T>>
__global__ void __launch_bounds__(SOFTMAX_BLOCK, 4)
    layer_norm(int rows, int columns, const T* x, int64_t x_stride, const T* weight, const T* bias,
               C eps, T* y, int64_t y_stride) {
  constexpr int V = VECTOR<T>;
  RowPlace<LANES> place(rows);
  const int n = place.exists ? columns : 0;
  const bool packed = packable<V>(x, x_stride) && packable<V>(y, y_stride) &&
                      packable<V>(weight) && packable<V>(bias);
  x += place.row * x_stride;
  y += place.row * y_stride;
  const Values<C, 2> of = moments<LANES>(x, place.lane, n, columns, packed, eps);
  walk<V>(place.lane, LANES, n, packed, [&](auto width, int at) {
    constexpr int W = decltype(width)::value;
    Values<C, W> values = read<C, W>(x + at), w = {}, b = {};
    if (weight) w = read<C, W>(weight + at);
    if (bias) b = read<C, W>(bias + at);
#pragma unroll
    for (int v = 0; v < W; v++) {
      C normal = (values.at[v] - of.at[0]) * of.at[1];
      if (weight) normal *= w.at[v];
      values.at[v] = bias ? normal + b.at[v] : normal;
    }
    write(y + at, values);
  });
}

// With h = (x - mean) r, r = 1 / sqrt(variance + eps) and g = dy weight:
// dx = r (g - mean(g) - h mean(g h)) and, for the weight's gradient, products = dy h.
template <class T, int LANES, class C = Compute<T>>
__global__ void __launch_bounds__(SOFTMAX_BLOCK, 4)
    layer_norm_backward(int rows, int columns, const T* dy, int64_t dy_stride, const T* x,
                        int64_t x_stride, const T* weight, C eps, T* dx, T* products,
                        int64_t out_stride) {
  constexpr int V = VECTOR<T>;
  RowPlace<LANES> place(rows);
  const int n = place.exists ? columns : 0;
  const bool packed = packable<V>(dy, dy_stride) && packable<V>(x, x_stride) &&
                      packable<V>(weight) && packable<V>(dx, out_stride) &&
                      packable<V>(products, out_stride);
  dy += place.row * dy_stride;
  x += place.row * x_stride;
  const Values<C, 2> of = moments<LANES>(x, place.lane, n, columns, packed, eps);
  C level = 0, slope = 0;
  auto each = [&](auto use) {
    walk<V>(place.lane, LANES, n, packed, [&](auto width, int at) {
      constexpr int W = decltype(width)::value;
      Values<C, W> slopes = read<C, W>(dy + at), values = read<C, W>(x + at), w = {};
      if (weight) w = read<C, W>(weight + at);
#pragma unroll
      for (int v = 0; v < W; v++) values.at[v] = (values.at[v] - of.at[0]) * of.at[1];
      use(at, slopes, values, w);
    });
  };
  each([&](int, auto& slopes, auto& normal, auto& w) {
#pragma unroll
    for (int v = 0; v < int(sizeof(normal.at) / sizeof(C)); v++) {
      C g = weight ? slopes.at[v] * w.at[v] : slopes.at[v];
      level += g;
      slope += g * normal.at[v];
    }
  });
  level = sum_lanes<LANES>(level) / columns;
  slope = sum_lanes<LANES>(slope) / columns;
  dx += place.row * out_stride;
  products += place.row * out_stride;
  each([&](int at, auto& slopes, auto& normal, auto& w) {
#pragma unroll
    for (int v = 0; v < int(sizeof(normal.at) / sizeof(C)); v++) {
      C g = weight ? slopes.at[v] * w.at[v] : slopes.at[v], h = normal.at[v];
      normal.at[v] = slopes.at[v] * h;
      slopes.at[v] = of.at[1] * (g - level - h * slope);
    }
    write(products + at, normal);
    write(dx + at, slopes);
  });
}

}  // namespace fnn

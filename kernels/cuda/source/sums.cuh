// Sums of arrays and of columns, in an order that their size alone decides; the length of gradients.
#pragma once
#include "arguments.cuh"
#include "clock.cuh"
#include "reduce.cuh"

namespace fnn {

constexpr int SUM_BLOCK = 256;

// partial[block] = sum of F(inputs, scalars) over the block's vectors, every gridDim.x-th one.
template <class F, class C, class... Arguments>
__global__ void __launch_bounds__(SUM_BLOCK, 4)
    sum_partial(int64_t n, const C* fixed, double* partial, Arguments... arguments) {
  constexpr int V = ARGUMENT_VECTOR<Arguments...>;
  C sum = 0;
  walk<V>(blockIdx.x * SUM_BLOCK + threadIdx.x, gridDim.x * SUM_BLOCK, n,
          (packable_argument<V>(arguments) && ...), [&](auto width, int64_t at) {
            Frame<F, C, decltype(width)::value> frame;
            frame.compute(at, fixed, arguments...);
#pragma unroll
            for (int v = 0; v < decltype(width)::value; v++) sum += frame.out[0].at[v];
          });
  double total = sum_lanes<SUM_BLOCK>(double(sum));
  if (threadIdx.x == 0) partial[blockIdx.x] = total;
}

// The sum of `count` partial sums, in every thread of a block.
FNN_DEVICE double sum_of_partials(int count, const double* partial) {
  double sum = 0;
  for (int i = threadIdx.x; i < count; i += SUM_BLOCK) sum += partial[i];
  return sum_lanes<SUM_BLOCK>(sum);
}

// out = scale * sum: the second launch of a sum or a mean, one block.
template <class T>
__global__ void __launch_bounds__(SUM_BLOCK, 4)
    sum_finish(int count, const double* partial, double scale, T* out) {
  double sum = sum_of_partials(count, partial);
  if (threadIdx.x == 0) *out = convert<T>(scale * sum);
}

// The factor that limits a length to `most`; 1 where it is within, or not a number.
FNN_DEVICE double limiting(double norm, double most) { return norm > most ? most / norm : 1.0; }

// The norm of an array whose sum of squares is in `partial`, and the factor that limits it, which goes
// to factor[step * stride] of the step under way. Either may be null.
template <class T>
__global__ void __launch_bounds__(SUM_BLOCK, 4)
    norm_finish(int count, const double* partial, double most, T* norm, T* factor, int64_t stride,
                const int64_t* clock) {
  double length = ::sqrt(sum_of_partials(count, partial));
  if (threadIdx.x > 0) return;
  if (norm) *norm = convert<T>(length);
  if (factor) factor[current_step(clock) * stride] = convert<T>(limiting(length, most));
}

// The same, and the array itself scaled: every block adds up the partial sums.
template <class T>
__global__ void __launch_bounds__(SUM_BLOCK, 4)
    clip(int count, const double* partial, double most, T* norm, int64_t n, T* array) {
  using C = Compute<T>;
  constexpr int V = VECTOR<T>;
  double length = ::sqrt(sum_of_partials(count, partial));
  if (norm && blockIdx.x == 0 && threadIdx.x == 0) *norm = convert<T>(length);
  C factor = C(limiting(length, most));
  int64_t start = int64_t(blockIdx.x) * (SUM_BLOCK * V);
  int left = n - start < SUM_BLOCK * V ? int(n - start) : SUM_BLOCK * V;
  array += start;
  walk<V>(threadIdx.x, SUM_BLOCK, left, packable<V>(array), [&](auto width, int at) {
    constexpr int W = decltype(width)::value;
    Values<C, W> x = read<C, W>(array + at);
#pragma unroll
    for (int v = 0; v < W; v++) x.at[v] *= factor;
    write(array + at, x);
  });
}

// sums[slab][column] = sum of a column over the slab of rows that blockIdx.y says: all rows where
// there is one slab. LANES threads are next to each other in a row, V columns each.
template <class T, class Out, int LANES>
__global__ void __launch_bounds__(SUM_BLOCK, 4)
    column_sums(int rows, int columns, int slab, const T* x, int64_t stride, Out* sums) {
  using C = Compute<T>;
  constexpr int V = VECTOR<T>, WIDTH = LANES * V, GROUPS = SUM_BLOCK / LANES;
  FNN_SHARED(C, of_groups, [GROUPS][WIDTH]);
  int lane = threadIdx.x % LANES, group = threadIdx.x / LANES;
  int first = blockIdx.x * WIDTH;
  int count = columns - first < WIDTH ? columns - first : WIDTH;
  int stop = rows - int(blockIdx.y) * slab < slab ? rows : (blockIdx.y + 1) * slab;
  x += first;
  // Threads have a vector each or, in a last part of a row, every LANES-th column.
  bool packed = packable<V>(x, stride) && count == WIDTH;
  C sum[V] = {};
  for (int row = blockIdx.y * slab + group; row < stop; row += GROUPS) {
    if (packed) {
      Values<C, V> values = read<C, V>(x + row * stride + lane * V);
#pragma unroll
      for (int v = 0; v < V; v++) sum[v] += values.at[v];
    } else {
#pragma unroll
      for (int v = 0; v < V; v++)
        if (v * LANES + lane < count) sum[v] += convert<C>(x[row * stride + v * LANES + lane]);
    }
  }
  if (packed) {
    Pack<C, V> sums_of_group;
#pragma unroll
    for (int v = 0; v < V; v++) sums_of_group.at[v] = sum[v];
    store_pack(&of_groups[group][lane * V], sums_of_group);
  } else {
#pragma unroll
    for (int v = 0; v < V; v++) of_groups[group][v * LANES + lane] = sum[v];
  }
  __syncthreads();
  for (int column = threadIdx.x; column < count; column += SUM_BLOCK) {
    C total = 0;
#pragma unroll
    for (int g = 0; g < GROUPS; g++) total += of_groups[g][column];
    sums[int64_t(blockIdx.y) * columns + first + column] = convert<Out>(total);
  }
}

}  // namespace fnn

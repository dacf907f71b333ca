// Products whose inner dimension is shared by several blocks: each writes its part to a workspace,
// and a second pass sums the parts in order: the result does not depend on which came first.
#pragma once
#include "gemm.cuh"

namespace fnn {

// Block (x, y, z) writes rows from x M and columns from y N on of part z, steps z depth to
// (z + 1) depth of k, to workspace[z], m x n.
template <class Engine, class T = typename Engine::T, class C = typename Engine::C>
__global__ void __launch_bounds__(Engine::THREADS, Engine::BLOCKS)
    gemm_part(int m, int n, int k, int depth, const T* a, int64_t a_stride, const T* b,
              int64_t b_stride, C* workspace) {
  FNN_SHARED(typename Engine::Shared, shared, [1]);
  Engine engine;
  // The part's steps count from 0: a first step that is no constant costs registers.
  int begin = blockIdx.z * depth;
  int steps = k - begin < depth ? k - begin : depth;
  a += begin * (Engine::A_TRANSPOSED ? a_stride : 1);
  b += begin * (Engine::B_TRANSPOSED ? 1 : b_stride);
  multiply_tile(engine, shared[0], m, n, 0, steps, a, a_stride, b, b_stride);
  C* part = workspace + static_cast<int64_t>(blockIdx.z) * m * n;
  Operands<C> operands{m, n, part, n, nullptr, nullptr, nullptr, 0};
  bool packed = operands.template packed<Engine::VISIT>();
  engine.visit(shared[0], [&](int row, int column, Values<C, Engine::VISIT>& values) {
    row += blockIdx.x * Engine::M, column += blockIdx.y * Engine::N;
    operands.template finish<Plain>(row, column, values, packed);
  });
}

// out = epilogue(workspace[0] + workspace[1] + ...), m x n; parts are part_stride elements apart.
template <class T, class C, class Epilogue, int THREADS>
__global__ void __launch_bounds__(THREADS)
    sum_parts(int parts, int64_t part_stride, const C* workspace, int m, int n, T* out,
              int64_t out_stride, const T* bias, T* kept, const T* mask, int64_t side_stride) {
  constexpr int V = 16 / sizeof(C);
  int packs = (n + V - 1) / V;
  int64_t i = static_cast<int64_t>(blockIdx.x) * THREADS + threadIdx.x;
  int row = static_cast<int>(i / packs), column = static_cast<int>(i % packs) * V;
  if (row >= m) return;
  bool whole = column + V <= n && packable<V>(workspace, n) && packable<V>(workspace, part_stride);
  Span<V> span{row, column, n - column < V ? n - column : V, whole};
  Values<C, V> sum = span.template read<C>(workspace, n);
  for (int part = 1; part < parts; part++) {
    Values<C, V> more = span.template read<C>(workspace + part * part_stride, n);
#pragma unroll
    for (int v = 0; v < V; v++) sum.at[v] += more.at[v];
  }
  Operands<T> operands{m, n, out, out_stride, bias, kept, mask, side_stride};
  operands.template finish<Epilogue>(row, column, sum, operands.template packed<V>());
}

// A dense layer in the table of `weight_gradients`. Places are counted in elements from the
// kernel's pointers.
struct DenseGradient {
  int64_t x, x_stride;    // the layer's input, batch x inputs
  int64_t dz, dz_stride;  // the gradient by its pre-activation, batch x units
  int64_t dw;             // inputs x units
  int64_t db;             // units; -1: no bias
  int64_t inputs, units;
  int64_t first_block;    // blocks count the layers' tiles on
};

// dw = x.T @ dz and db = sums of dz's columns, of all layers at once. Block (i, z) has tile i and
// rows z depth to (z + 1) depth of the batch, and writes to part z of `gradients`. The tiles of the
// first rows of dw also sum the columns of dz.
template <class Engine, class T = typename Engine::T, class C = typename Engine::C>
__global__ void __launch_bounds__(Engine::THREADS, Engine::BLOCKS)
    weight_gradients(int layers, const DenseGradient* table, int batch, int depth, const T* x,
                     const T* dz, C* gradients, int64_t part_stride) {
  static_assert(Engine::THREADS >= Engine::N, "a thread sums a column");
  FNN_SHARED(typename Engine::Shared, shared, [1]);
  int block = blockIdx.x, index = layers - 1;
  while (table[index].first_block > block) index--;
  const DenseGradient& layer = table[index];  // read again after the product: registers are few
  int inputs = static_cast<int>(layer.inputs), units = static_cast<int>(layer.units);
  int tile = block - static_cast<int>(layer.first_block);
  int across = (units + Engine::N - 1) / Engine::N;
  int first_row = tile / across * Engine::M, first_column = tile % across * Engine::N;
  int begin = blockIdx.y * depth, end = batch - begin < depth ? batch : begin + depth;

  Engine engine;
  engine.clear();
  int column = threadIdx.x;
  bool sums = layer.db >= 0 && first_row == 0 && column < Engine::N &&
              first_column + column < units;
  C sum = 0;
  engine.multiply(shared[0], Operand<T>(x + layer.x, layer.x_stride, first_row, inputs),
                  Operand<T>(dz + layer.dz, layer.dz_stride, first_column, units), begin, end,
                  [&](const auto& tile_of_dz) {
                    if (!sums) return;
#pragma unroll 4
                    for (int step = 0; step < Engine::K; step++)
                      sum += Engine::element(tile_of_dz, step, column);
                  });

  C* part = gradients + blockIdx.y * part_stride;
  if (sums) part[layer.db + first_column + column] = sum;
  Operands<C> operands{inputs, units, part + layer.dw, units, nullptr, nullptr, nullptr, 0};
  bool packed = operands.template packed<Engine::VISIT>();
  engine.visit(shared[0], [&](int row, int first, Values<C, Engine::VISIT>& values) {
    operands.template finish<Plain>(first_row + row, first_column + first, values, packed);
  });
}

}  // namespace fnn

// out = epilogue(A @ B) for one pair of matrices; an engine is `Simt` or `Tensor`.
#pragma once
#include "gemm_simt.cuh"
#include "gemm_tensor.cuh"

namespace fnn {

// A @ B of a block's tile over [begin, end) of k, left in the engine's accumulators
template <class Engine, class T>
FNN_DEVICE void multiply_tile(Engine& engine, typename Engine::Shared& shared, int m, int n,
                              int begin, int end, const T* a, int64_t a_stride, const T* b,
                              int64_t b_stride) {
  engine.clear();
  engine.multiply(shared, Operand<T>(a, a_stride, blockIdx.x * Engine::M, m),
                  Operand<T>(b, b_stride, blockIdx.y * Engine::N, n), begin, end);
}

// Block (x, y) has rows from x M and columns from y N on.
template <class Engine, class Epilogue, class T = typename Engine::T>
__global__ void __launch_bounds__(Engine::THREADS, Engine::BLOCKS)
    gemm(int m, int n, int k, const T* a, int64_t a_stride, const T* b, int64_t b_stride, T* out,
         int64_t out_stride, const T* bias, T* kept, const T* mask, int64_t side_stride) {
  FNN_SHARED(typename Engine::Shared, shared, [1]);
  Engine engine;
  multiply_tile(engine, shared[0], m, n, 0, k, a, a_stride, b, b_stride);
  Operands<T> operands{m, n, out, out_stride, bias, kept, mask, side_stride};
  bool packed = operands.template packed<Engine::VISIT>();
  using Columns = Values<typename Engine::C, Engine::VISIT>;
  engine.visit(shared[0], [&](int row, int column, Columns& values) {
    row += blockIdx.x * Engine::M, column += blockIdx.y * Engine::N;
    operands.template finish<Epilogue>(row, column, values, packed);
  });
}

}  // namespace fnn

// A whole multilayer perceptron of equally wide hidden layers in one launch.
//
// A block owns M rows of the batch. Their activations stay in shared memory from layer to layer,
// the weights stream by. Forward and backward are one walk: a product that takes rows in from
// global memory, products of the rows in shared memory, and a product that hands rows out; backward
// takes the layers in reverse and the weights transposed.
#pragma once
#include "gemm.cuh"

namespace fnn {

// Forward (an engine with B not transposed): x is batch x inputs, out = batch x outputs. Writes to
// `handed` what hidden layers hand on and to `kept` what Hidden keeps, both layers x batch x width;
// either may be null. Weights of a hidden layer are width x width, hidden_stride elements apart.
//
// Backward (B transposed): x is the gradient by the output's pre-activation, the first weights are
// the output layer's. Reads `kept`, writes the gradients by the hidden pre-activations to `handed`
// and, if outputs > 0, the gradient by the network's input to out.
template <class Engine, class Hidden, class Last, class T = typename Engine::T>
__global__ void __launch_bounds__(Engine::THREADS, Engine::BLOCKS)
    mlp(int batch, int inputs, int outputs, int layers, const T* x, int64_t x_stride, T* out,
        int64_t out_stride, const T* first_weights, const T* first_bias, const T* hidden_weights,
        const T* hidden_bias, int64_t hidden_stride, const T* last_weights, const T* last_bias,
        T* handed, T* kept) {
  constexpr int WIDTH = Engine::N;
  constexpr bool BACKWARD = Engine::B_TRANSPOSED;
  using Columns = Values<typename Engine::C, Engine::VISIT>;
  FNN_SHARED(typename Engine::Shared, memory, [1]);
  FNN_SHARED(typename Engine::SlabType, slab, [Engine::M * WIDTH]);
  auto& shared = memory[0];
  int first_row = blockIdx.x * Engine::M;
  Engine engine;

  for (int step = 0; step < layers; step++) {
    int layer = BACKWARD ? layers - 1 - step : step;
    int64_t hidden = (BACKWARD ? layer : layer - 1) * hidden_stride;
    const T* bias = first_bias;
    engine.clear();
    if (step == 0) {
      engine.multiply(shared, Operand<T>(x, x_stride, first_row, batch),
                      Operand<T>(first_weights, BACKWARD ? inputs : WIDTH, 0, WIDTH), 0, inputs);
    } else {
      engine.multiply(shared, slab, Operand<T>(hidden_weights + hidden, WIDTH, 0, WIDTH));
      bias = hidden_bias ? hidden_bias + hidden : nullptr;
    }
    int64_t place = static_cast<int64_t>(layer) * batch * WIDTH;
    Operands<T> operands{batch, WIDTH, handed ? handed + place : nullptr, WIDTH, bias,
                         kept ? kept + place : nullptr, nullptr, WIDTH};
    bool packed = operands.template packed<Engine::VISIT>();
    engine.visit(shared, slab, [&](int row, int column, Columns& values) {
      operands.template finish<Hidden>(first_row + row, column, values, packed);
    });
    __syncthreads();
  }

  Operands<T> operands{batch, outputs, out, out_stride, last_bias, nullptr, nullptr, 0};
  bool packed = operands.template packed<Engine::VISIT>();
  for (int first = 0; first < outputs; first += WIDTH) {
    engine.clear();
    engine.multiply(shared, slab,
                    Operand<T>(last_weights, BACKWARD ? WIDTH : outputs, first, outputs));
    engine.visit(shared, [&](int row, int column, Columns& values) {
      operands.template finish<Last>(first_row + row, first + column, values, packed);
    });
    __syncthreads();
  }
}

}  // namespace fnn

// What both engines are made of: operands in global memory, and slices of the inner dimension.
#pragma once
#include "epilogue.cuh"

namespace fnn {

// One side of a product: lines of `extent` rows of A or columns of B, of which a block takes those
// from `origin` on. Rows of the array in memory are `stride` elements apart.
template <class T>
struct Operand {
  const T* data;
  int64_t stride;
  int origin;
  int extent;
  bool packed;

  FNN_DEVICE Operand(const T* data, int64_t stride, int origin, int extent)
      : data(data), stride(stride), origin(origin), extent(extent),
        packed(packable<16 / sizeof(T)>(data, stride)) {}

  // V elements of a row of the array from `column` on, zeros where row or column do not exist: in
  // one access where that can be, and one by one.
  template <int V>
  FNN_DEVICE Pack<T, V> read(int row, int rows, int column, int columns) const {
    if (packed && row < rows && column + V <= columns)
      return load_pack<V>(data + row * stride + column);
    return read_singly<V>(row, rows, column, columns);
  }
  template <int V>
  FNN_DEVICE Pack<T, V> read_singly(int row, int rows, int column, int columns) const {
    int count = row < rows ? columns - column : 0;
    const T* first = data + row * stride + column;
    Pack<T, V> values;
#pragma unroll
    for (int i = 0; i < V; i++) values.at[i] = i < count ? first[i] : convert<T>(0.0f);
    return values;
  }
};

// Accumulators of slices 1, 2, ... are added to those of slice 0, in this order. `visit(f)` calls
// f(i, value) for every accumulator of a thread; a slice has THREADS threads. Whoever writes to the
// scratch next has to wait for slice 0.
template <int SLICES, int COUNT, int THREADS, class C, class Visit>
FNN_DEVICE void add_slices(C* scratch, Visit visit) {
  if (SLICES == 1) return;
  int slice = threadIdx.x / THREADS;
  int place = threadIdx.x % THREADS;
  visit([&](int i, C& value) { scratch[(slice * COUNT + i) * THREADS + place] = value; });
  __syncthreads();
  if (slice == 0)
    visit([&](int i, C& value) {
#pragma unroll
      for (int s = 1; s < SLICES; s++) value += scratch[(s * COUNT + i) * THREADS + place];
    });
}

// Does nothing with a tile of B.
struct Unwatched {
  template <class Tile>
  FNN_DEVICE void operator()(const Tile&) const {}
};

}  // namespace fnn

// Arrays in shared memory whose 16-byte chunks are permuted by row, so that neither copies nor
// reads of fragments meet in a bank.
#pragma once
#include "tile.cuh"

namespace fnn {

// An array of ROWS x COLUMNS in shared memory. PAIRS: single float32 numbers are read from four
// rows and two neighbouring chunks at a time; otherwise chunks are read from eight rows.
template <class T, int ROWS_, int COLUMNS_, bool PAIRS>
struct Swizzled {
  static constexpr int ROWS = ROWS_, COLUMNS = COLUMNS_, CHUNK = 16 / sizeof(T);
  static constexpr int CHUNKS = COLUMNS / CHUNK, UNIT = PAIRS ? 2 : 1;
  static constexpr int SHARE = CHUNKS < 8 ? 8 / CHUNKS : 1;  // rows in 128 bytes, all banks once
  static constexpr int MASK = (CHUNKS < 8 ? CHUNKS : 8) / UNIT - 1;

  FNN_DEVICE static int place(int row, int chunk) {
    return (row * CHUNKS + (chunk ^ (row / SHARE & MASK) * UNIT)) * CHUNK;
  }
  FNN_DEVICE static int element(int row, int column) {
    return place(row, column / CHUNK) + column % CHUNK;
  }

  // Start copying rows and columns of an operand's array, zeros where they do not exist.
  template <int THREADS>
  FNN_DEVICE static void copy(T* tile, const Operand<T>& from, int row, int rows, int column,
                              int columns) {
#pragma unroll
    for (int j = 0; j < (ROWS * CHUNKS + THREADS - 1) / THREADS; j++) {
      int i = threadIdx.x + j * THREADS;
      if (ROWS * CHUNKS % THREADS && i >= ROWS * CHUNKS) break;
      int r = row + i / CHUNKS, c = column + i % CHUNKS * CHUNK;
      T* to = tile + place(i / CHUNKS, i % CHUNKS);
      bool inside = r < rows && c + CHUNK <= columns, outside = r >= rows || c >= columns;
      if (from.packed && (inside || outside))
        copy_async16(to, inside ? from.data + r * from.stride + c : from.data, inside);
      else
        store_pack(to, from.template read_singly<CHUNK>(r, rows, c, columns));
    }
  }
};

}  // namespace fnn

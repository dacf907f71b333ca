// Tiles on their way from global memory through registers to shared memory.
#pragma once
#include "tile.cuh"

namespace fnn {

// Packs of an operand's tile on their way to shared memory, [K][LINES + PAD].
//
// K_CONTIGUOUS: the array's rows run along k (A, or B transposed). Two lanes read a sector of 32
// bytes and 16 lanes lie below one another; with PAD = 4 the transposed stores meet in no bank.
template <class T, class C, int LINES, int K, int THREADS, bool K_CONTIGUOUS>
struct Staged {
  static constexpr int V = 16 / sizeof(T), PAD = 4, ROW = LINES + PAD;
  static constexpr int PACKS = LINES * K / V, EACH = (PACKS + THREADS - 1) / THREADS;
  static constexpr int SECTOR = 2;  // packs
  static_assert(K_CONTIGUOUS ? K % (SECTOR * V) == 0 : LINES % V == 0, "a pack has one row");

  Pack<T, V> held[EACH] = {};

  FNN_DEVICE static bool exists(int i) { return PACKS % THREADS == 0 || i < PACKS; }
  FNN_DEVICE static int line(int i) {
    return K_CONTIGUOUS ? i / SECTOR % LINES : i % (LINES / V) * V;
  }
  FNN_DEVICE static int step(int i) {
    return K_CONTIGUOUS ? (i / (SECTOR * LINES) * SECTOR + i % SECTOR) * V : i / (LINES / V);
  }

  FNN_DEVICE void load(const Operand<T>& from, int k, int end) {
#pragma unroll
    for (int j = 0; j < EACH; j++) {
      int i = threadIdx.x + j * THREADS;
      if (!exists(i)) break;  // would be held in vain
      int outer = from.origin + line(i), inner = k + step(i);
      held[j] = K_CONTIGUOUS ? from.template read<V>(outer, from.extent, inner, end)
                             : from.template read<V>(inner, end, outer, from.extent);
    }
  }

  FNN_DEVICE void store(C* tile) const {
    constexpr int GROUP = 16 / sizeof(C);
#pragma unroll
    for (int j = 0; j < EACH; j++) {
      int i = threadIdx.x + j * THREADS;
      if (!exists(i)) break;
      C* first = tile + step(i) * ROW + line(i);
      if (K_CONTIGUOUS) {
#pragma unroll
        for (int v = 0; v < V; v++) first[v * ROW] = convert<C>(held[j].at[v]);
      } else {
#pragma unroll
        for (int v = 0; v < V; v += GROUP) {
          Values<C, GROUP> group;
#pragma unroll
          for (int g = 0; g < GROUP; g++) group.at[g] = convert<C>(held[j].at[v + g]);
          write(first + v, group);
        }
      }
    }
  }
};

}  // namespace fnn

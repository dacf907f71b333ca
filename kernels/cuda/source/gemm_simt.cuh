// The product of two tiles by multiply-adds of single numbers, for every type.
//
// Tiles of A and B pass through registers into one of two buffers in shared memory, [k][line],
// while the other is multiplied. A thread owns groups of 16 bytes of neighbouring columns, so that
// eight lanes read 128 bytes of B and write 128 bytes of the result side by side.
#pragma once
#include "staged.cuh"
#include "words.cuh"

namespace fnn {

// A block's M x N tile of the result and K steps at a time; a thread has THREAD_M x THREAD_N of it.
// With SLICES > 1 as many groups of warps share the K steps, for results of few tiles. LANES_M of a
// warp's lanes lie below one another. BLOCKS of them have to fit on a multiprocessor.
template <int M_, int N_, int K_, int THREAD_M_, int THREAD_N_, int SLICES_ = 1, int LANES_M_ = 4,
          int BLOCKS_ = 1>
struct SimtTile {
  static constexpr int M = M_, N = N_, K = K_, THREAD_M = THREAD_M_, THREAD_N = THREAD_N_;
  static constexpr int SLICES = SLICES_, LANES_M = LANES_M_, LANES_N = 32 / LANES_M;
  static constexpr int WARPS_M = M / (LANES_M * THREAD_M), WARPS_N = N / (LANES_N * THREAD_N);
  static constexpr int SLICE_THREADS = 32 * WARPS_M * WARPS_N, THREADS = SLICE_THREADS * SLICES;
  static constexpr int BLOCKS = BLOCKS_;
  static_assert(WARPS_M * LANES_M * THREAD_M == M && WARPS_N * LANES_N * THREAD_N == N, "ragged");
  static_assert(K % SLICES == 0, "every slice takes as many steps");
};

// The engine: a block's accumulators and what multiplies into them. A_T and B_T: the arrays hold
// the transposed matrices.
template <class T_, class Tile, bool A_T, bool B_T>
struct Simt {
  using T = T_;
  using C = Compute<T>;
  static constexpr int M = Tile::M, N = Tile::N, K = Tile::K, SLICES = Tile::SLICES;
  static constexpr int THREADS = Tile::THREADS, BLOCKS = Tile::BLOCKS;
  static constexpr bool A_TRANSPOSED = A_T, B_TRANSPOSED = B_T;
  static constexpr int GROUP = 16 / sizeof(C);  // neighbouring rows or columns of a thread
  static constexpr int VISIT = GROUP;           // columns that `visit` hands over
  static constexpr int GROUPS_M = Tile::THREAD_M / GROUP, GROUPS_N = Tile::THREAD_N / GROUP;
  static constexpr int STEPS = K / SLICES, COUNT = Tile::THREAD_M * Tile::THREAD_N;
  using StagedA = Staged<T, C, M, K, THREADS, !A_T>;
  using StagedB = Staged<T, C, N, K, THREADS, B_T>;

  struct Buffers {
    C a[2][K * StagedA::ROW];
    C b[2][K * StagedB::ROW];
  };
  union alignas(128) Shared {
    Buffers buffers;
    C scratch[SLICES > 1 ? SLICES * COUNT * Tile::SLICE_THREADS : 1];
  };

  // A matrix of M x N that stays in shared memory, [column][row]. Groups of rows are permuted by
  // column, so that neighbouring lanes store columns without meeting in a bank.
  using SlabType = C;
  struct Slab {
    static constexpr int CHUNKS = M / GROUP, MASK = (CHUNKS < 8 ? CHUNKS : 8) - 1;
    FNN_DEVICE static int place(int column, int chunk) {
      return (column * CHUNKS + (chunk ^ (column / GROUP & MASK))) * GROUP;
    }
  };

  // A from global memory through the two buffers
  struct Streamed {
    Buffers& buffers;
    const Operand<T>& from;
    StagedA staged;
    FNN_DEVICE void load(int k, int end) { staged.load(from, k, end); }
    FNN_DEVICE void store(int buffer) { staged.store(buffers.a[buffer]); }
    FNN_DEVICE const C* at(int buffer, int, int step, int chunk) const {
      return buffers.a[buffer] + step * StagedA::ROW + chunk * GROUP;
    }
  };

  // A from a slab
  struct Resident {
    const C* slab;
    FNN_DEVICE void load(int, int) {}
    FNN_DEVICE void store(int) {}
    FNN_DEVICE const C* at(int, int k, int step, int chunk) const {
      return slab + Slab::place(k + step, chunk);
    }
  };

  Values<C, GROUP> sum[Tile::THREAD_M][GROUPS_N];
  int slice, chunk_m, chunk_n;  // the thread's first groups of rows and of columns

  FNN_DEVICE Simt() {
    int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    slice = warp / (Tile::WARPS_M * Tile::WARPS_N);
    int warp_m = warp / Tile::WARPS_N % Tile::WARPS_M, warp_n = warp % Tile::WARPS_N;
    chunk_m = warp_m * Tile::LANES_M * GROUPS_M + lane / Tile::LANES_N;
    chunk_n = warp_n * Tile::LANES_N * GROUPS_N + lane % Tile::LANES_N;
  }

  FNN_DEVICE void clear() {
    each([](int, C& value) { value = C(0); });
  }

  // Add A[:, begin:end] @ B[begin:end, :]; `watch` is shown every tile of B.
  template <class Watch = Unwatched>
  FNN_DEVICE void multiply(Shared& shared, const Operand<T>& a, const Operand<T>& b, int begin,
                           int end, Watch watch = {}) {
    run(shared, Streamed{shared.buffers, a, {}}, b, begin, end, watch);
  }

  // Add slab @ B, for B of N rows.
  FNN_DEVICE void multiply(Shared& shared, const C* slab, const Operand<T>& b) {
    static_assert(N % K == 0, "the slab has no columns beyond N");
    Unwatched watch;
    run(shared, Resident{slab}, b, 0, N, watch);
  }

  // f(row, column, values): the accumulators, GROUP columns at a time
  template <class F>
  FNN_DEVICE void visit(Shared&, F f) {
    if (slice > 0) return;
#pragma unroll
    for (int i = 0; i < Tile::THREAD_M; i++)
#pragma unroll
      for (int j = 0; j < GROUPS_N; j++)
        f((chunk_m + i / GROUP * Tile::LANES_M) * GROUP + i % GROUP,
          (chunk_n + j * Tile::LANES_N) * GROUP, sum[i][j]);
  }

  // As `visit`; what f leaves in the values goes to the slab.
  template <class F>
  FNN_DEVICE void visit(Shared& shared, C* slab, F f) {
    visit(shared, f);
    if (slice > 0) return;
#pragma unroll
    for (int i = 0; i < Tile::THREAD_M; i += GROUP)
#pragma unroll
      for (int j = 0; j < Tile::THREAD_N; j++) {
        Values<C, GROUP> rows;
#pragma unroll
        for (int g = 0; g < GROUP; g++) rows.at[g] = sum[i + g][j / GROUP].at[j % GROUP];
        int column = (chunk_n + j / GROUP * Tile::LANES_N) * GROUP + j % GROUP;
        write(slab + Slab::place(column, chunk_m + i / GROUP * Tile::LANES_M), rows);
      }
  }

  // Element of a tile of B that `watch` is shown.
  FNN_DEVICE static C element(const C* tile, int step, int column) {
    return tile[step * StagedB::ROW + column];
  }

 private:
  template <class F>
  FNN_DEVICE void each(F f) {
#pragma unroll
    for (int i = 0; i < Tile::THREAD_M; i++)
#pragma unroll
      for (int j = 0; j < Tile::THREAD_N; j++)
        f(i * Tile::THREAD_N + j, sum[i][j / GROUP].at[j % GROUP]);
  }

  template <class Left, class Watch>
  FNN_DEVICE void run(Shared& shared, Left left, const Operand<T>& b, int begin, int end,
                      Watch& watch) {
    StagedB staged;
    left.load(begin, end);
    staged.load(b, begin, end);
    left.store(0);
    staged.store(shared.buffers.b[0]);
    __syncthreads();
    int buffer = 0;
    for (int k = begin; k < end; k += K) {
      bool more = k + K < end;
      if (more) {
        left.load(k + K, end);
        staged.load(b, k + K, end);
      }
      watch(shared.buffers.b[buffer]);
      add_tile(left, buffer, k, shared.buffers.b[buffer]);
      buffer ^= 1;
      if (more) {
        left.store(buffer);
        staged.store(shared.buffers.b[buffer]);
      }
      __syncthreads();
    }
    add_slices<SLICES, COUNT, Tile::SLICE_THREADS>(shared.scratch, [&](auto f) { each(f); });
  }

  template <class Left>
  FNN_DEVICE void add_tile(const Left& left, int buffer, int k, const C* tile) {
    int first = slice * STEPS;
#pragma unroll
    for (int s = 0; s < STEPS; s++) {
      Pack<C, GROUP> a[GROUPS_M], b[GROUPS_N];
#pragma unroll
      for (int i = 0; i < GROUPS_M; i++)
        a[i] = load_pack<GROUP>(left.at(buffer, k, first + s, chunk_m + i * Tile::LANES_M));
#pragma unroll
      for (int j = 0; j < GROUPS_N; j++)
        b[j] = load_pack<GROUP>(tile + (first + s) * StagedB::ROW +
                                (chunk_n + j * Tile::LANES_N) * GROUP);
#pragma unroll
      for (int i = 0; i < Tile::THREAD_M; i++)
#pragma unroll
        for (int j = 0; j < Tile::THREAD_N; j++) {
          C& value = sum[i][j / GROUP].at[j % GROUP];
          value = fma(a[i / GROUP].at[i % GROUP], b[j / GROUP].at[j % GROUP], value);
        }
    }
  }
};

}  // namespace fnn

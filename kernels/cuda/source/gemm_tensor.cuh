// The product of two tiles on tensor cores: 16-bit floats with float32 sums, and float32 as TF32.
//
// Tiles of A and B are copied asynchronously into a ring of STAGES in shared memory, as they lie in
// global memory; fragments are read from there.
#pragma once
#include "swizzled.cuh"

namespace fnn {

// A block's M x N tile of the result and K steps at a time, shared by WARPS_M x WARPS_N warps, and
// by SLICES such groups along k. BLOCKS of them have to fit on a multiprocessor.
template <int M_, int N_, int K_, int WARPS_M_, int WARPS_N_, int STAGES_, int SLICES_ = 1,
          int BLOCKS_ = 1>
struct TensorTile {
  static constexpr int M = M_, N = N_, K = K_, WARPS_M = WARPS_M_, WARPS_N = WARPS_N_;
  static constexpr int STAGES = STAGES_, SLICES = SLICES_, BLOCKS = BLOCKS_;
  static constexpr int SLICE_THREADS = 32 * WARPS_M * WARPS_N, THREADS = SLICE_THREADS * SLICES;
  static_assert(M % (16 * WARPS_M) == 0 && N % (16 * WARPS_N) == 0, "fragments are 16 x 16");
};

// The engine: a block's accumulators and what multiplies into them. A_T and B_T: the arrays hold
// the transposed matrices.
template <class T_, class Tile, bool A_T, bool B_T>
struct Tensor {
  using T = T_;
  using C = float;
  static constexpr int M = Tile::M, N = Tile::N, K = Tile::K, SLICES = Tile::SLICES;
  static constexpr int THREADS = Tile::THREADS, BLOCKS = Tile::BLOCKS, STAGES = Tile::STAGES;
  static constexpr bool A_TRANSPOSED = A_T, B_TRANSPOSED = B_T;
  static constexpr int CHUNK = 16 / sizeof(T);
  static constexpr int VISIT = CHUNK;  // columns that `visit` hands over
  static constexpr int STEP = 2 * CHUNK, STEPS = K / STEP;  // of an mma along k
  static constexpr int WARP_M = M / Tile::WARPS_M, WARP_N = N / Tile::WARPS_N;
  static constexpr int TILES_M = WARP_M / 16, TILES_N = WARP_N / 8, COUNT = TILES_M * TILES_N * 4;
  static constexpr bool SINGLE = sizeof(T) == 4;  // TF32: ldmatrix cannot transpose float32
  static_assert(STEPS % SLICES == 0, "every slice takes as many steps");
  static_assert(SLICES == 1 || Tile::SLICE_THREADS == 32, "`visit` does not wait for other warps");

  template <int LINES, bool K_CONTIGUOUS>
  using TileOf = Swizzled<T, K_CONTIGUOUS ? LINES : K, K_CONTIGUOUS ? K : LINES,
                          SINGLE && !K_CONTIGUOUS>;
  using TileA = TileOf<M, !A_T>;
  using TileB = TileOf<N, B_T>;
  using Slab = Swizzled<T, M, N, false>;  // a matrix that stays in shared memory
  using SlabType = T;
  using Scratch = Swizzled<C, 16, WARP_N, true>;  // accumulators of a warp that change lanes

  static constexpr int SLICE_SCRATCH = SLICES > 1 ? SLICES * COUNT * Tile::SLICE_THREADS : 0;
  static constexpr int WARP_SCRATCH = 16 * WARP_N;
  static constexpr int ALL_SCRATCH = Tile::WARPS_M * Tile::WARPS_N * WARP_SCRATCH;
  struct Ring {
    T a[STAGES][M * K];
    T b[STAGES][N * K];
  };
  union alignas(128) Shared {
    Ring ring;
    C scratch[SLICE_SCRATCH > ALL_SCRATCH ? SLICE_SCRATCH : ALL_SCRATCH];
  };

  // A from global memory through the ring
  struct Streamed {
    Ring& ring;
    const Operand<T>& from;
    FNN_DEVICE void copy(int stage, int k, int end) {
      copy_tile<TileA, !A_T>(ring.a[stage], from, k, end);
    }
    FNN_DEVICE void fragment(unsigned (&a)[4], int stage, int, int line, int chunk) const {
      load_fragment<TileA, !A_T, true>(a, ring.a[stage], line, chunk);
    }
  };

  // A from a slab
  struct Resident {
    const T* slab;
    FNN_DEVICE void copy(int, int, int) {}
    FNN_DEVICE void fragment(unsigned (&a)[4], int, int k, int line, int chunk) const {
      load_fragment<Slab, true, true>(a, slab, line, k / CHUNK + chunk);
    }
  };

  C sum[TILES_M][TILES_N][4];
  int slice, line_m, line_n;  // the warp's first row and column

  FNN_DEVICE Tensor() {
    int warp = threadIdx.x / 32;
    slice = warp / (Tile::WARPS_M * Tile::WARPS_N);
    line_m = warp / Tile::WARPS_N % Tile::WARPS_M * WARP_M;
    line_n = warp % Tile::WARPS_N * WARP_N;
  }

  FNN_DEVICE void clear() {
    each([](int, C& value) { value = 0; });
  }

  // Add A[:, begin:end] @ B[begin:end, :]; `watch` is shown every tile of B.
  template <class Watch = Unwatched>
  FNN_DEVICE void multiply(Shared& shared, const Operand<T>& a, const Operand<T>& b, int begin,
                           int end, Watch watch = {}) {
    run(shared, Streamed{shared.ring, a}, b, begin, end, watch);
  }

  // Add slab @ B, for B of N rows.
  FNN_DEVICE void multiply(Shared& shared, const T* slab, const Operand<T>& b) {
    static_assert(N % K == 0, "the slab has no columns beyond N");
    Unwatched watch;
    run(shared, Resident{slab}, b, 0, N, watch);
  }

  // f(row, column, values): the accumulators, CHUNK columns at a time. They change lanes through
  // shared memory, so that rows are accessed 16 bytes at a time.
  template <class F>
  FNN_DEVICE void visit(Shared& shared, F f) {
    if (slice > 0) return;
    constexpr int PACKS = WARP_N / CHUNK;
    int lane = threadIdx.x % 32;
    C* scratch = shared.scratch + threadIdx.x / 32 * WARP_SCRATCH;
#pragma unroll
    for (int i = 0; i < TILES_M; i++) {
      __syncwarp();
#pragma unroll
      for (int j = 0; j < TILES_N; j++)
#pragma unroll
        for (int half_tile = 0; half_tile < 2; half_tile++)
          write(scratch + Scratch::element(half_tile * 8 + lane / 4, j * 8 + lane % 4 * 2),
                Values<C, 2>{{sum[i][j][half_tile * 2], sum[i][j][half_tile * 2 + 1]}});
      __syncwarp();
#pragma unroll
      for (int p = 0; p < 16 * PACKS / 32; p++) {
        int row = (p * 32 + lane) / PACKS, column = (p * 32 + lane) % PACKS * CHUNK;
        Values<C, CHUNK> values = read_columns(scratch, row, column);
        f(line_m + i * 16 + row, line_n + column, values);
      }
    }
  }

  // As `visit`; what f leaves in the values goes to the slab.
  template <class F>
  FNN_DEVICE void visit(Shared& shared, T* slab, F f) {
    visit(shared, [&](int row, int column, Values<C, CHUNK>& values) {
      f(row, column, values);
      write(slab + Slab::place(row, column / CHUNK), values);
    });
  }

  // Element of a tile of B that `watch` is shown.
  FNN_DEVICE static C element(const T* tile, int step, int column) {
    return convert<C>(tile[B_T ? TileB::element(column, step) : TileB::element(step, column)]);
  }

 private:
  template <class F>
  FNN_DEVICE void each(F f) {
#pragma unroll
    for (int i = 0; i < TILES_M; i++)
#pragma unroll
      for (int j = 0; j < TILES_N; j++)
#pragma unroll
        for (int v = 0; v < 4; v++) f((i * TILES_N + j) * 4 + v, sum[i][j][v]);
  }

  // CHUNK columns of a warp's scratch. Where they are two reads, every other four lanes begin with
  // the second, so that eight lanes use all banks.
  FNN_DEVICE static Values<C, CHUNK> read_columns(const C* scratch, int row, int column) {
    const C* from = scratch + Scratch::element(row, column);
    if constexpr (CHUNK == 4) {
      return read<C, 4>(from);
    } else {
      bool second = threadIdx.x / 4 % 2;
      Values<C, 4> one = read<C, 4>(from + (second ? 4 : 0));
      Values<C, 4> other = read<C, 4>(from + (second ? 0 : 4));
      Values<C, CHUNK> values;
#pragma unroll
      for (int i = 0; i < 4; i++) {
        values.at[i] = second ? other.at[i] : one.at[i];
        values.at[4 + i] = second ? one.at[i] : other.at[i];
      }
      return values;
    }
  }

  template <class Tile_, bool K_CONTIGUOUS>
  FNN_DEVICE static void copy_tile(T* tile, const Operand<T>& from, int k, int end) {
    if (K_CONTIGUOUS)
      Tile_::template copy<THREADS>(tile, from, from.origin, from.extent, k, end);
    else
      Tile_::template copy<THREADS>(tile, from, k, end, from.origin, from.extent);
  }

  // The fragment of 16 lines and STEP steps for an mma: four matrices of 8 lines x 16 bytes of k.
  // In A's order the lines alternate first, in B's, which is two fragments of 8 columns, the steps.
  template <class Tile_, bool K_CONTIGUOUS, bool IS_A>
  FNN_DEVICE static void load_fragment(unsigned (&to)[4], const T* tile, int line, int chunk) {
    int lane = threadIdx.x % 32, matrix = lane / 8;
    int lines = IS_A ? matrix % 2 : matrix / 2, steps = IS_A ? matrix / 2 : matrix % 2;
    if constexpr (K_CONTIGUOUS) {
      ldmatrix_x4(to, tile + Tile_::place(line + lines * 8 + lane % 8, chunk + steps));
    } else if constexpr (!SINGLE) {
      ldmatrix_x4_transposed(
          to, tile + Tile_::place((chunk + steps) * CHUNK + lane % 8, line / CHUNK + lines));
    } else {
#pragma unroll
      for (int r = 0; r < 4; r++) {
        int l = IS_A ? r % 2 : r / 2, s = IS_A ? r / 2 : r % 2;
        to[r] = __float_as_uint(
            tile[Tile_::element((chunk + s) * CHUNK + lane % 4, line + l * 8 + lane / 4)]);
      }
    }
    if constexpr (SINGLE) {
#pragma unroll
      for (int r = 0; r < 4; r++) to[r] = round_to_tf32(to[r]);
    }
  }

  FNN_DEVICE static void mma(C (&to)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
    if constexpr (SINGLE)
      mma_m16n8k8_tf32(to, a, b0, b1);
    else
      mma_m16n8k16<T>(to, a, b0, b1);
  }

  template <class Left, class Watch>
  FNN_DEVICE void run(Shared& shared, Left left, const Operand<T>& b, int begin, int end,
                      Watch& watch) {
    int next = begin, filled = 0;
    auto copy = [&] {
      if (next < end) {
        left.copy(filled, next, end);
        copy_tile<TileB, B_T>(shared.ring.b[filled], b, next, end);
      }
      copy_async_commit();
      next += K;
      filled = filled + 1 == STAGES ? 0 : filled + 1;
    };
#pragma unroll
    for (int i = 0; i < STAGES - 1; i++) copy();
    int stage = 0;
    for (int k = begin; k < end; k += K) {
      copy_async_wait<STAGES - 2>();
      __syncthreads();
      copy();  // over what was read before the barrier
      watch(shared.ring.b[stage]);
      add_tile(left, stage, k, shared.ring.b[stage]);
      stage = stage + 1 == STAGES ? 0 : stage + 1;
    }
    __syncthreads();
    add_slices<SLICES, COUNT, Tile::SLICE_THREADS>(shared.scratch, [&](auto f) { each(f); });
  }

  template <class Left>
  FNN_DEVICE void add_tile(const Left& left, int stage, int k, const T* tile) {
#pragma unroll
    for (int s = 0; s < STEPS / SLICES; s++) {
      int chunk = (slice * (STEPS / SLICES) + s) * 2;
      unsigned a[TILES_M][4], b[TILES_N / 2][4];
#pragma unroll
      for (int i = 0; i < TILES_M; i++) left.fragment(a[i], stage, k, line_m + i * 16, chunk);
#pragma unroll
      for (int j = 0; j < TILES_N / 2; j++)
        load_fragment<TileB, B_T, false>(b[j], tile, line_n + j * 16, chunk);
#pragma unroll
      for (int i = 0; i < TILES_M; i++)
#pragma unroll
        for (int j = 0; j < TILES_N; j++)
          mma(sum[i][j], a[i], b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]);
    }
  }
};

}  // namespace fnn

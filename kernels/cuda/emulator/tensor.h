// Tensor cores: which lane holds which element is as documented for the PTX instructions.
#pragma once
#include "access.h"
#include "emulator.h"
#include "float16.h"

namespace fnn {
namespace emulator {

// An element of a fragment's register: row and column of A, or of B transposed.
struct Element {
  int row, column;
};

// Register r of a lane's A: rows alternate first, then columns. `half`: which 16-bit number.
inline Element element_a(int lane, int r, int half, int per_register) {
  return {lane / 4 + 8 * (r % 2), (lane % 4 + 4 * (r / 2)) * per_register + half};
}
inline Element element_b(int lane, int r, int half, int per_register) {
  return {lane / 4, (lane % 4 + 4 * r) * per_register + half};
}

template <class Format, int PER_REGISTER>
inline float number(uint32_t bits, int half) {
  if constexpr (PER_REGISTER == 2) return Format::decode(static_cast<uint16_t>(bits >> 16 * half));
  else return reinterpret<float>(bits & 0xffffe000);  // TF32 has 10 bits of fraction
}

// A of 16 x DEPTH and B of DEPTH x 8, the latter transposed, from the registers of all lanes.
template <class Format, int PER_REGISTER>
FNN_UNSEEN void gather(Meeting& meeting) {
  constexpr int DEPTH = 8 * PER_REGISTER;
  float* a = meeting.matrices;
  float* b = a + 16 * DEPTH;
  for (int lane = 0; lane < 32; lane++) {
    uint32_t registers[6];
    __builtin_memcpy(registers, &meeting.words[lane], sizeof registers);
    for (int r = 0; r < 6; r++)
      for (int half = 0; half < PER_REGISTER; half++) {
        float value = number<Format, PER_REGISTER>(registers[r], half);
        Element at = r < 4 ? element_a(lane, r, half, PER_REGISTER)
                           : element_b(lane, r - 4, half, PER_REGISTER);
        (r < 4 ? a : b)[at.row * DEPTH + at.column] = value;
      }
  }
}

template <class Format, int PER_REGISTER>
FNN_UNSEEN void mma(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1,
                    const char* operation, Place place) {
  constexpr int DEPTH = 8 * PER_REGISTER;
  uint32_t registers[6] = {a[0], a[1], a[2], a[3], b0, b1};
  Words words;
  __builtin_memcpy(&words, registers, sizeof words);
  Meeting& meeting = meet_all(words, operation, place, gather<Format, PER_REGISTER>);
  int lane = context->lane;
  for (int i = 0; i < 4; i++) {
    const float* row = meeting.matrices + (lane / 4 + 8 * (i / 2)) * DEPTH;
    const float* column = meeting.matrices + 16 * DEPTH + (lane % 4 * 2 + i % 2) * DEPTH;
    float sum = d[i];
    for (int k = 0; k < DEPTH; k++) sum += row[k] * column[k];
    d[i] = sum;
  }
  leave(meeting);
}

// Elements 2 (lane % 4) and the next of row lane / 4; transposed, of column lane / 4.
FNN_UNSEEN inline void distribute(unsigned (&r)[4], const Words& row, bool transposed,
                                  const char* operation, Place place) {
  Meeting& meeting = meet_all(row, operation, place);
  int line = context->lane / 4, pair = context->lane % 4 * 2;
  for (int matrix = 0; matrix < 4; matrix++) {
    uint16_t rows[8][8];
    for (int i = 0; i < 8; i++) __builtin_memcpy(rows[i], &meeting.words[8 * matrix + i], 16);
    unsigned low = transposed ? rows[pair][line] : rows[line][pair];
    unsigned high = transposed ? rows[pair + 1][line] : rows[line][pair + 1];
    r[matrix] = low | high << 16;
  }
  leave(meeting);
}

// Every lane reads the row whose address it gives, as far as sanitizers and profiler are concerned.
inline void load_matrices(unsigned (&r)[4], const void* row, bool transposed, const char* operation,
                          Place place) {
  require_aligned(row, 16, operation, place);
  Words words{};
  move_words<16>(&words, row);
  distribute(r, words, transposed, operation, place);
}

}  // namespace emulator

inline void ldmatrix_x4(unsigned (&r)[4], const void* row, emulator::Place place = emulator::here()) {
  emulator::load_matrices(r, row, false, "ldmatrix_x4", place);
}
inline void ldmatrix_x4_transposed(unsigned (&r)[4], const void* row,
                                   emulator::Place place = emulator::here()) {
  emulator::load_matrices(r, row, true, "ldmatrix_x4_transposed", place);
}

template <class T>
inline void mma_m16n8k16(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1,
                         emulator::Place place = emulator::here());
template <>
inline void mma_m16n8k16<half>(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1,
                               emulator::Place place) {
  emulator::mma<emulator::Float16, 2>(d, a, b0, b1, "mma_m16n8k16", place);
}
template <>
inline void mma_m16n8k16<bfloat16>(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1,
                                   emulator::Place place) {
  emulator::mma<emulator::BFloat16, 2>(d, a, b0, b1, "mma_m16n8k16", place);
}
inline void mma_m16n8k8_tf32(float (&d)[4], const unsigned (&a)[4], unsigned b0, unsigned b1,
                             emulator::Place place = emulator::here()) {
  emulator::mma<void, 1>(d, a, b0, b1, "mma_m16n8k8_tf32", place);
}

// The bits of a float32 number rounded to TF32, ties away from zero.
inline unsigned round_to_tf32(unsigned bits) {
  if ((bits & 0x7f800000) == 0x7f800000) return bits;
  return (bits + 0x1000) & 0xffffe000;
}

}  // namespace fnn

// What kernels ask of the emulator: who they are, barriers, meetings of a warp, shared memory.
#pragma once
#include <cstddef>
#include <cstdint>

// Code of the emulator in a kernel's translation unit, of which a thread sanitizer takes no notice.
#ifdef __SANITIZE_THREAD__
#define FNN_UNSEEN __attribute__((no_sanitize("thread"), noinline))
#else
#define FNN_UNSEEN
#endif

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};

namespace fnn::emulator {

// A place in a source file; as a default argument, where the function was called.
struct Place {
  const char* file;
  int line;
};
constexpr Place here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  return {file, line};
}

// A CUDA thread.
struct Context {
  dim3 thread, block, threads, blocks;
  int lane, warp;
};
extern Context* context;  // the running one

[[noreturn]] void fail(Place place, const char* format, ...) __attribute__((format(printf, 2, 3)));
void require_aligned(const void* address, size_t bytes, const char* operation, Place place);

// Wait for all threads of the block that have not ended.
void barrier(Place place);

// What lanes bring to an operation of their warp.
struct Words {
  uint64_t at[3];
};

// The lanes of a mask at one operation; each reads what the others brought, then leaves.
struct Meeting {
  const char* operation;
  Place place;
  unsigned mask, arrived, inside;
  bool whole;   // needs every lane of the warp
  void* order;  // for a thread sanitizer
  Words words[32];
  float matrices[16 * 16 + 16 * 8];
};

// Wait for the lanes of `mask`.
Meeting& meet(unsigned mask, const Words& words, const char* operation, Place place);
// Wait for all 32 lanes of the warp; the last one to come calls `finish`.
Meeting& meet_all(const Words& words, const char* operation, Place place,
                  void (*finish)(Meeting&) = nullptr);
void leave(Meeting& meeting);
void synchronize_warp(unsigned mask, Place place);

// An array in shared memory; one exists for each place in the source that declares one.
struct SharedArray {
  void* storage = nullptr;
  uint64_t block = 0;  // in which storage is valid
};
void* shared_array(SharedArray& array, size_t bytes);
extern void* dynamic_shared;

// Copies under way of the running thread. A copy lands early or late, as the schedule has it.
struct Copy {
  void* to;
  const void* from;  // null: zeros
  int group;
};
bool lands_early();
void defer(const Copy& copy);
void commit_copies();
// A copy that has to land when at most `groups` may stay under way; false: there is none.
bool next_copy(int groups, Copy& copy);

// A kernel as the launcher sees it. `signature` has a letter for each parameter: p pointer, c pointer
// to const, i u 32 bits, I U 64 bits, f float32, d float64.
struct Kernel {
  const char* name;
  void (*call)(void** arguments);
  const void* address;
  const char* signature;
  Kernel* next;
  Kernel(const char* name, void (*call)(void**), const void* address, const char* signature);
};

}  // namespace fnn::emulator

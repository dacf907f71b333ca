// Shared memory: every array of a block has an allocation of its own, between an address sanitizer's
// red zones, and starts as NaN, so that what was never written spoils the result.
#include "memory.h"

#include <cstdlib>
#include <vector>

#include "emulator.h"

namespace fnn::emulator {

void* dynamic_shared;

namespace {
constexpr size_t ALIGNMENT = 128;
struct Allocation {
  char* storage;
  size_t bytes, offset;
};
uint64_t block_number = 0;
std::vector<Allocation> allocations;
std::vector<void*> ended;

// Not memset: a sanitizer would take it for an access by the running thread.
void poison(void* storage, size_t bytes) {
  volatile unsigned char* at = static_cast<unsigned char*>(storage);
  size_t words = bytes / 8;
  for (size_t i = 0; i < words; i++) reinterpret_cast<volatile uint64_t*>(storage)[i] = ~uint64_t{0};
  for (size_t i = words * 8; i < bytes; i++) at[i] = 0xff;
}

void* allocate(size_t bytes) {
  void* storage = nullptr;
  if (posix_memalign(&storage, ALIGNMENT, bytes ? bytes : 1)) abort();
  poison(storage, bytes);
  size_t offset = 0;
  if (!allocations.empty()) {
    const Allocation& last = allocations.back();
    offset = (last.offset + last.bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
  }
  allocations.push_back({static_cast<char*>(storage), bytes, offset});
  return storage;
}
}  // namespace

void begin_block_memory(size_t dynamic_bytes) {
  block_number++;
  dynamic_shared = allocate(dynamic_bytes);
}

void* shared_array(SharedArray& array, size_t bytes) {
  if (array.block != block_number) array = {allocate(bytes), block_number};
  return array.storage;
}

void end_launch_memory() {
  for (void* storage : ended) free(storage);
  ended.clear();
}

// A thread sanitizer must not see memory of one block again in another, so there it is kept.
void end_block_memory() {
  for (const Allocation& allocation : allocations) ended.push_back(allocation.storage);
  allocations.clear();
#ifndef FNN_THREAD_SANITIZER
  end_launch_memory();
#endif
}

bool find_shared(const void* address, uint64_t& offset) {
  const char* at = static_cast<const char*>(address);
  for (const Allocation& allocation : allocations)
    if (at >= allocation.storage && at < allocation.storage + allocation.bytes) {
      offset = allocation.offset + (at - allocation.storage);
      return true;
    }
  return false;
}

}  // namespace fnn::emulator

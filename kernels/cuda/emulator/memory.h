// Shared memory of the running block.
#pragma once
#include <cstddef>
#include <cstdint>

namespace fnn::emulator {

void begin_block_memory(size_t dynamic_bytes);
void end_block_memory();
void end_launch_memory();
// Whether `address` lies in shared memory, and at which offset if arrays lay one after another.
bool find_shared(const void* address, uint64_t& offset);

}  // namespace fnn::emulator

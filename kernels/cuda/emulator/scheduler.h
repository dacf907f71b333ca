// What the launcher asks of the scheduler.
#pragma once
#include <string>

#include "emulator.h"

namespace fnn::emulator {

// In which order threads and blocks run: the last that became ready, the first, or drawn by lot.
enum class Order { lifo, fifo, random };

struct Launch {
  const Kernel* kernel;
  void** arguments;
  dim3 blocks, threads;
  size_t shared_bytes;
  Order order;
  uint64_t seed;
};

// Run all blocks; returns what went wrong, or nothing.
std::string run(const Launch& launch);

}  // namespace fnn::emulator

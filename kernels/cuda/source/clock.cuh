// The number of the training step under way, kept in device memory: a recorded list of launches can
// then be replayed for every step.
//
// Four numbers: [0] the step that comes next, [1] the step under way, both counted from 0 in this
// run of steps, [2] the number of the run's first step since the training began, [3] the seed.
// The first launch of a step begins it, the last one ends it; no launch reads what it writes.
#pragma once
#include "device.cuh"

namespace fnn {

struct Clock {
  enum { NEXT, CURRENT, FIRST, SEED };
};

FNN_DEVICE bool first_thread() { return blockIdx.x == 0 && blockIdx.y == 0 && threadIdx.x == 0; }

// The step that this launch begins; 0 without a clock.
FNN_DEVICE int64_t begin_step(int64_t* clock) {
  if (!clock) return 0;
  int64_t step = clock[Clock::NEXT];
  if (first_thread()) clock[Clock::CURRENT] = step;
  return step;
}

// The step under way; 0 without a clock.
FNN_DEVICE int64_t current_step(const int64_t* clock) { return clock ? clock[Clock::CURRENT] : 0; }

FNN_DEVICE void end_step(int64_t* clock) {
  if (clock && first_thread()) clock[Clock::NEXT] = clock[Clock::CURRENT] + 1;
}

}  // namespace fnn

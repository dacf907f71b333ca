// What the scheduler tells the profiler; without one, nothing.
#pragma once

namespace fnn::emulator {

#ifdef FNN_PROFILER
// A barrier of the block, or of one warp.
void next_epoch(int warp, bool block);
void end_block_profile();
#else
inline void next_epoch(int, bool) {}
inline void end_block_profile() {}
#endif

}  // namespace fnn::emulator

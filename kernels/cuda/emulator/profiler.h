// What the scheduler tells the profiler; without one, nothing.
#pragma once

namespace fnn::emulator {

#ifdef FNN_PROFILER
void end_block_profile();
#else
inline void end_block_profile() {}
#endif

}  // namespace fnn::emulator

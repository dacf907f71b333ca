// The running block, as the files of the scheduler see it.
#pragma once
#include <deque>
#include <memory>
#include <string>
#include <vector>

#include "fiber.h"
#include "scheduler.h"

namespace fnn::emulator {

enum class State { ready, at_barrier, in_warp, done };

struct Thread : Context {
  Fiber fiber;
  State state;
  Place place;  // where it waits
  std::vector<Copy> copies;
  int group;  // of copies that it starts now
};

struct Warp {
  std::deque<Meeting> meetings;
  unsigned living;  // lanes
};

extern Launch launch;
extern std::vector<std::unique_ptr<Thread>> threads;
extern std::vector<Warp> warps;
extern int count, living;  // threads of the block, and those that have not ended
extern std::string error;

inline Thread& self() { return *static_cast<Thread*>(context); }
void wake(Thread& thread);
uint64_t draw();
std::string text(Place place);
std::string text(const Context& of);

// Before a block's threads run, and when the running one has ended.
void reset_waiting();
void let_others_go_on();

// What a thread sanitizer is told: what happened before `publish` is seen after `observe`.
void publish(void* order);
void observe(void* order);

}  // namespace fnn::emulator

// Where threads wait for others: barriers of the block, meetings of a warp.
#include "block.h"

#ifdef FNN_THREAD_SANITIZER
extern "C" {
void __tsan_acquire(void*);
void __tsan_release(void*);
}
#endif

namespace fnn::emulator {

void publish([[maybe_unused]] void* order) {
#ifdef FNN_THREAD_SANITIZER
  __tsan_release(order);
#endif
}

void observe([[maybe_unused]] void* order) {
#ifdef FNN_THREAD_SANITIZER
  __tsan_acquire(order);
#endif
}

namespace {

int at_barrier;
Place barrier_place;
void* barrier_order;

// An address for a thread sanitizer. Every barrier has its own, or accesses of different ones would
// seem to be ordered by them.
void* new_order() {
  static char orders[4096];
  static unsigned used;
  return &orders[used++ % sizeof orders];
}

void open_barrier() {
  for (int i = 0; i < count; i++)
    if (threads[i]->state == State::at_barrier) wake(*threads[i]);
  at_barrier = 0;
}

// Let a meeting's lanes go on when all that live have come.
bool complete(Meeting& meeting, int warp) {
  if (meeting.inside || meeting.arrived != (meeting.mask & warps[warp].living)) return false;
  meeting.inside = meeting.arrived;
  for (int i = 0; i < 32; i++)
    if (meeting.arrived >> i & 1) wake(*threads[warp * 32 + i]);
  return true;
}

Meeting& new_meeting(unsigned mask, const char* operation, Place place) {
  std::deque<Meeting>& meetings = warps[self().warp].meetings;
  Meeting* unused = nullptr;
  for (Meeting& meeting : meetings)
    if (!meeting.arrived) unused = &meeting;  // not one that lanes are still inside
  if (!unused) unused = &meetings.emplace_back();
  unused->operation = operation, unused->place = place, unused->mask = mask;
  unused->order = new_order();
  unused->whole = false;
  return *unused;
}

// The meeting at this place that waits for the running lane, else a new one.
Meeting& meeting_of(unsigned mask, const char* operation, Place place) {
  int lane = self().lane;
  if (!(mask >> lane & 1))
    fail(place, "%s by lane %d, which is not in its own mask %08x", operation, lane, mask);
  for (Meeting& other : warps[self().warp].meetings) {
    if (!other.arrived || other.inside || !(other.mask & mask)) continue;
    if (other.mask == mask && other.operation == operation && other.place.line == place.line &&
        other.place.file == place.file)
      return other;
    fail(place, "%s (mask %08x) while other lanes of the warp are at %s of %s (mask %08x)", operation,
         mask, other.operation, text(other.place).c_str(), other.mask);
  }
  return new_meeting(mask, operation, place);
}

Meeting& join(Meeting& meeting, const Words& words, void (*finish)(Meeting&) = nullptr) {
  Thread& me = self();
  meeting.words[me.lane] = words;
  meeting.arrived |= 1u << me.lane;
  me.state = State::in_warp;
  me.place = meeting.place;
  if (complete(meeting, me.warp) && finish) finish(meeting);
  Fiber::suspend();
  return meeting;
}

}  // namespace

void reset_waiting() {
  at_barrier = 0;
  for (Warp& warp : warps) {
    warp.meetings.clear();
    warp.living = 0;
  }
}

void let_others_go_on() {
  if (at_barrier && at_barrier == living) open_barrier();
  for (Meeting& meeting : warps[self().warp].meetings) {
    if (!meeting.arrived || meeting.inside) continue;
    if (meeting.whole)
      fail(meeting.place, "%s needs all 32 lanes of the warp, but one has ended", meeting.operation);
    complete(meeting, self().warp);
  }
}

void barrier(Place place) {
  if (!at_barrier) {
    barrier_place = place;
    barrier_order = new_order();
  } else if (barrier_place.file != place.file || barrier_place.line != place.line) {
    fail(place, "divergent __syncthreads: other threads of the block are at %s",
         text(barrier_place).c_str());
  }
  void* order = barrier_order;
  publish(order);
  self().state = State::at_barrier;
  self().place = place;
  if (++at_barrier == living) open_barrier();
  Fiber::suspend();
  observe(order);
}

Meeting& meet(unsigned mask, const Words& words, const char* operation, Place place) {
  return join(meeting_of(mask, operation, place), words);
}

Meeting& meet_all(const Words& words, const char* operation, Place place, void (*finish)(Meeting&)) {
  if (unsigned lanes = warps[self().warp].living; lanes != ~0u)
    fail(place, "%s needs all 32 lanes of the warp; only %08x are there", operation, lanes);
  Meeting& meeting = meeting_of(~0u, operation, place);
  meeting.whole = true;
  return join(meeting, words, finish);
}

void leave(Meeting& meeting) {
  meeting.inside &= ~(1u << self().lane);
  if (!meeting.inside) meeting.arrived = 0;
}

void synchronize_warp(unsigned mask, Place place) {
  Meeting& meeting = meeting_of(mask, "__syncwarp", place);
  publish(meeting.order);
  join(meeting, Words{});
  observe(meeting.order);
  leave(meeting);
}

}  // namespace fnn::emulator

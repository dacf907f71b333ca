// The scheduler: one fiber for each CUDA thread of a block, which runs until it has to wait.
//
// Blocks run one after another. Nothing is preempted, so a program with a race shows it by giving
// different results in different orders, and a program without one never does.
#include "scheduler.h"

#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <deque>
#include <memory>
#include <vector>

#include "fiber.h"
#include "memory.h"
#include "profiler.h"

#ifdef FNN_THREAD_SANITIZER
extern "C" {
void __tsan_acquire(void*);
void __tsan_release(void*);
}
#else
static void __tsan_acquire(void*) {}
static void __tsan_release(void*) {}
#endif

namespace fnn::emulator {

Context* context;

namespace {

enum class State { ready, at_barrier, in_warp, done };

struct Thread : Context {
  Fiber fiber;
  State state;
  Place place;  // where it waits
  std::vector<Copy> copies;
  int group;
};

std::vector<std::unique_ptr<Thread>> threads;  // of the running block
std::vector<std::deque<Meeting>> warps;        // meetings under way
std::vector<Thread*> ready;
Launch launch;
uint64_t random_state;
std::string error;
int count, living, at_barrier;
Place barrier_place;
char barrier_order[2];  // addresses by which the thread sanitizer knows barriers
int barrier_number;
char launch_order;

Thread& self() { return *static_cast<Thread*>(context); }

uint64_t draw() {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state;
}

const char* short_name(const char* file) {
  const char* slash = strrchr(file, '/');
  return slash ? slash + 1 : file;
}

std::string text(Place place) { return short_name(place.file) + (":" + std::to_string(place.line)); }

std::string text(const Context& of) {
  char buffer[120];
  snprintf(buffer, sizeof buffer, "block (%u, %u, %u) thread (%u, %u, %u)", of.block.x, of.block.y,
           of.block.z, of.thread.x, of.thread.y, of.thread.z);
  return buffer;
}

void wake(Thread& thread) {
  thread.state = State::ready;
  ready.push_back(&thread);
}

void wait(State state, Place place) {
  self().state = state;
  self().place = place;
  Fiber::suspend();
}

// -- barriers -------------------------------------------------------------------------------------

void open_barrier() {
  for (int i = 0; i < count; i++)
    if (threads[i]->state == State::at_barrier) wake(*threads[i]);
  at_barrier = 0;
  barrier_number++;
}

// -- meetings of a warp ---------------------------------------------------------------------------

unsigned living_lanes(int warp) {
  unsigned lanes = 0;
  for (int i = 0; i < 32 && warp * 32 + i < count; i++)
    if (threads[warp * 32 + i]->state != State::done) lanes |= 1u << i;
  return lanes;
}

// Let a meeting's lanes go on when all that live have come.
bool complete(Meeting& meeting, int warp) {
  if (meeting.inside || meeting.arrived != (meeting.mask & living_lanes(warp))) return false;
  meeting.inside = meeting.arrived;
  for (int i = 0; i < 32; i++)
    if (meeting.arrived >> i & 1) wake(*threads[warp * 32 + i]);
  return true;
}

Meeting& unused_meeting(int warp) {
  for (Meeting& meeting : warps[warp])
    if (!meeting.arrived) return meeting;
  warps[warp].emplace_back();
  return warps[warp].back();
}

// The meeting for this mask that has begun, else a new one.
Meeting& meeting_of(unsigned mask, const char* operation, Place place) {
  Thread& me = self();
  if (!(mask >> me.lane & 1))
    fail(place, "%s by lane %d, which is not in its own mask %08x", operation, me.lane, mask);
  for (Meeting& other : warps[me.warp]) {
    if (!other.arrived || other.inside || !(other.mask & mask)) continue;
    if (other.mask == mask && other.operation == operation && other.place.line == place.line &&
        other.place.file == place.file)
      return other;
    fail(place, "%s (mask %08x) while other lanes of the warp are at %s of %s (mask %08x)", operation,
         mask, other.operation, text(other.place).c_str(), other.mask);
  }
  Meeting& meeting = unused_meeting(me.warp);  // not one that lanes are still inside
  meeting.operation = operation, meeting.place = place, meeting.mask = mask;
  meeting.whole = false;
  return meeting;
}

}  // namespace

void fail(Place place, const char* format, ...) {
  char buffer[512];
  va_list values;
  va_start(values, format);
  vsnprintf(buffer, sizeof buffer, format, values);
  va_end(values);
  error = text(place) + ": " + buffer + " [" + text(self()) + "]";
  Fiber::suspend_forever();
}

void require_aligned(const void* address, size_t bytes, const char* operation, Place place) {
  if (reinterpret_cast<uintptr_t>(address) % bytes)
    fail(place, "%s at %p, which is not aligned to %zu bytes", operation, address, bytes);
}

void barrier(Place place) {
  if (at_barrier && (barrier_place.file != place.file || barrier_place.line != place.line))
    fail(place, "divergent __syncthreads: other threads of the block are at %s",
         text(barrier_place).c_str());
  barrier_place = place;
  [[maybe_unused]] char* order = &barrier_order[barrier_number % 2];
  __tsan_release(order);
  if (++at_barrier == living) {
    self().state = State::at_barrier;
    open_barrier();
    self().place = place;
    Fiber::suspend();
  } else {
    wait(State::at_barrier, place);
  }
  __tsan_acquire(order);
}

namespace {
Meeting& join(Meeting& meeting, const Words& words, void (*finish)(Meeting&)) {
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

Meeting& meet(unsigned mask, const Words& words, const char* operation, Place place) {
  return join(meeting_of(mask, operation, place), words, nullptr);
}

Meeting& meet_all(const Words& words, const char* operation, Place place, void (*finish)(Meeting&)) {
  unsigned lanes = living_lanes(self().warp);
  if (lanes != ~0u)
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
  __tsan_release(&meeting);
  join(meeting, Words{}, nullptr);
  __tsan_acquire(&meeting);
  leave(meeting);
}

// -- asynchronous copies --------------------------------------------------------------------------

bool lands_early() {
  return launch.order == Order::lifo || (launch.order == Order::random && draw() & 1);
}

void defer(const Copy& copy) {
  self().copies.push_back({copy.to, copy.from, self().group});
}

void commit_copies() { self().group++; }

bool next_copy(int groups, Copy& copy) {
  std::vector<Copy>& copies = self().copies;
  if (copies.empty() || copies.front().group >= self().group - groups) return false;
  copy = copies.front();
  copies.erase(copies.begin());
  return true;
}

// -- running --------------------------------------------------------------------------------------

namespace {

// Where a fiber begins.
void run_thread() {
  Fiber::entered();
  launch.kernel->call(launch.arguments);
  __tsan_release(&launch_order);
  Thread& me = self();
  me.state = State::done;
  living--;
  if (at_barrier && at_barrier == living) open_barrier();
  for (Meeting& meeting : warps[me.warp]) {
    if (!meeting.arrived || meeting.inside) continue;
    if (meeting.whole)
      fail(meeting.place, "%s needs all 32 lanes of the warp, but one has ended", meeting.operation);
    complete(meeting, me.warp);
  }
  Fiber::suspend_forever();
}

Thread* next_ready() {
  size_t i = launch.order == Order::fifo   ? 0
             : launch.order == Order::lifo ? ready.size() - 1
                                           : draw() % ready.size();
  Thread* next = ready[i];
  if (launch.order == Order::fifo) {
    ready.erase(ready.begin());
  } else {
    ready[i] = ready.back();
    ready.pop_back();
  }
  return next;
}

void describe_deadlock() {
  error = "deadlock: every thread waits;";
  int named = 0;
  const Thread* last = nullptr;
  for (int i = 0; i < count; i++) {
    const Thread& thread = *threads[i];
    if (thread.state == State::done) continue;
    bool same = last && last->state == thread.state && last->place.line == thread.place.line;
    last = &thread;
    if (same || named++ == 4) continue;
    const char* what = thread.state == State::at_barrier ? "__syncthreads" : "an operation of its warp";
    error += " " + text(thread) + " at " + what + " in " + text(thread.place) + ";";
  }
}

void begin_thread(Thread& thread, int i, dim3 block) {
  dim3 d = launch.threads;
  thread.thread = dim3(i % d.x, i / d.x % d.y, i / (d.x * d.y));
  thread.block = block, thread.threads = d, thread.blocks = launch.blocks;
  thread.lane = i % 32, thread.warp = i / 32;
  thread.copies.clear();
  thread.group = 0;
  thread.fiber.start(run_thread);
  wake(thread);
}

void run_block(dim3 block) {
  begin_block_memory(launch.shared_bytes);
  living = count, at_barrier = 0;
  ready.clear();
  for (auto& meetings : warps) meetings.clear();
  for (int i = 0; i < count; i++) begin_thread(*threads[i], i, block);
  while (!ready.empty() && error.empty()) {
    context = next_ready();
    self().fiber.resume();
  }
  context = nullptr;
  if (living && error.empty()) describe_deadlock();
  for (int i = 0; i < count; i++) threads[i]->fiber.end();
  end_block_profile();
  end_block_memory();
}

}  // namespace

std::string run(const Launch& what) {
  launch = what;
  error.clear();
  random_state = launch.seed * 0x9e3779b97f4a7c15 | 1;
  count = launch.threads.x * launch.threads.y * launch.threads.z;
  while (int(threads.size()) < count) threads.push_back(std::make_unique<Thread>());
  warps.resize((count + 31) / 32);
  ready.reserve(count);
  dim3 grid = launch.blocks;
  size_t blocks = size_t(grid.x) * grid.y * grid.z;
  std::vector<size_t> order(blocks);
  for (size_t i = 0; i < blocks; i++) order[i] = launch.order == Order::lifo ? blocks - 1 - i : i;
  if (launch.order == Order::random)
    for (size_t i = blocks; i > 1; i--) std::swap(order[i - 1], order[draw() % i]);
  for (size_t i = 0; i < blocks && error.empty(); i++) {
    size_t b = order[i];
    run_block(dim3(b % grid.x, b / grid.x % grid.y, b / (size_t(grid.x) * grid.y)));
  }
  __tsan_acquire(&launch_order);
  end_launch_memory();
  return error;
}

}  // namespace fnn::emulator

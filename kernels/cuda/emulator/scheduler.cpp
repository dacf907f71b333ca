// The scheduler: one fiber for each CUDA thread of a block, which runs until it has to wait.
//
// Blocks run one after another. Nothing is preempted, so a program with a race shows it by giving
// different results in different orders, and a program without one never does.
#include "scheduler.h"

#include <cstdarg>
#include <cstdio>
#include <cstring>

#include "block.h"
#include "memory.h"
#include "profiler.h"

namespace fnn::emulator {

Context* context;
Launch launch;
std::vector<std::unique_ptr<Thread>> threads;
std::vector<Warp> warps;
int count, living;
std::string error;

namespace {

std::deque<Thread*> ready;
uint64_t random_state;
char launch_order;

// Where a fiber begins.
void run_thread() {
  Fiber::entered();
  launch.kernel->call(launch.arguments);
  publish(&launch_order);
  self().state = State::done;
  living--;
  warps[self().warp].living &= ~(1u << self().lane);
  let_others_go_on();
  Fiber::suspend_forever();
}

Thread* next_ready() {
  Thread* next = ready.front();
  if (launch.order == Order::fifo) {
    ready.pop_front();
    return next;
  }
  if (launch.order == Order::random) std::swap(ready[draw() % ready.size()], ready.back());
  next = ready.back();
  ready.pop_back();
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
  warps[thread.warp].living |= 1u << thread.lane;
  thread.fiber.start(run_thread);
  wake(thread);
}

void run_block(dim3 block) {
  begin_block_memory(launch.shared_bytes);
  living = count;
  ready.clear();
  reset_waiting();
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

// Numbers of the grid's blocks, in the order in which they run.
std::vector<size_t> block_order(size_t blocks) {
  std::vector<size_t> order(blocks);
  for (size_t i = 0; i < blocks; i++) order[i] = launch.order == Order::lifo ? blocks - 1 - i : i;
  if (launch.order == Order::random)
    for (size_t i = blocks; i > 1; i--) std::swap(order[i - 1], order[draw() % i]);
  return order;
}

const char* short_name(const char* file) {
  const char* slash = strrchr(file, '/');
  return slash ? slash + 1 : file;
}

}  // namespace

// A stack and its guard are two of the mappings that a process may have (65,530 on Linux), and each
// library has fibers of its own: more would be too many where a process loads a hundred libraries.
constexpr size_t KEPT_FIBERS = 64;

std::string run(const Launch& what) {
  launch = what;
  error.clear();
  random_state = launch.seed * 0x9e3779b97f4a7c15 | 1;
  count = launch.threads.x * launch.threads.y * launch.threads.z;
  while (int(threads.size()) < count) threads.push_back(std::make_unique<Thread>());
  warps.resize((count + 31) / 32);
  dim3 grid = launch.blocks;
  for (size_t b : block_order(size_t(grid.x) * grid.y * grid.z)) {
    run_block(dim3(b % grid.x, b / grid.x % grid.y, b / (size_t(grid.x) * grid.y)));
    if (!error.empty()) break;
  }
  observe(&launch_order);
  end_launch_memory();
  ready.clear();
  if (threads.size() > KEPT_FIBERS) threads.resize(KEPT_FIBERS);
  return error;
}

void wake(Thread& thread) {
  thread.state = State::ready;
  ready.push_back(&thread);
}

uint64_t draw() {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 7;
  random_state ^= random_state << 17;
  return random_state;
}

std::string text(Place place) { return short_name(place.file) + (":" + std::to_string(place.line)); }

std::string text(const Context& of) {
  char buffer[120];
  snprintf(buffer, sizeof buffer, "block (%u, %u, %u) thread (%u, %u, %u)", of.block.x, of.block.y,
           of.block.z, of.thread.x, of.thread.y, of.thread.z);
  return buffer;
}

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

}  // namespace fnn::emulator

// A fiber: a computation with a stack of its own that stops in the middle and goes on later.
#pragma once
#include <cstddef>

namespace fnn::emulator {

class Fiber {
 public:
  Fiber();
  ~Fiber();
  Fiber(const Fiber&) = delete;

  // Let the next `resume` enter `entry`, which ends with `suspend_forever`.
  void start(void (*entry)());
  void end();
  // Run the fiber until it suspends.
  void resume();
  // Called by the running fiber: go back to who resumed it.
  static void suspend();
  [[noreturn]] static void suspend_forever();
  // Called first by `entry`.
  static void entered();
  // Whether an address lies on the running fiber's stack.
  static bool on_stack(const void* address);

 private:
  char* stack;
  struct Machine;
  Machine* machine;
  static Fiber* running;
  void leave(bool forever);
};

}  // namespace fnn::emulator

// Switching stacks: by a few instructions on Linux on x86-64 and AArch64, through ucontext elsewhere,
// and announced to the sanitizers, which follow stacks.
#include "fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>

#if !defined(__linux__) || !(defined(__x86_64__) || defined(__aarch64__))
#define FNN_UCONTEXT
#endif
#ifdef FNN_UCONTEXT
#include <ucontext.h>
#endif

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/common_interface_defs.h>
#endif
#ifdef FNN_THREAD_SANITIZER
extern "C" {
void* __tsan_create_fiber(unsigned);
void __tsan_destroy_fiber(void*);
void __tsan_switch_to_fiber(void*, unsigned);
void* __tsan_get_current_fiber();
}
#endif

#ifndef FNN_UCONTEXT
// Save what a call has to preserve on the stack, the stack pointer in *save, and go on at `to`.
extern "C" void fnn_switch(void** save, void* to) __attribute__((visibility("hidden")));
#ifdef __x86_64__
asm(R"(
.text
.hidden fnn_switch
.globl fnn_switch
.type fnn_switch, @function
fnn_switch:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size fnn_switch, .-fnn_switch
)");
constexpr int RETURN = 6, FRAME = 8;  // words
#else
asm(R"(
.text
.hidden fnn_switch
.globl fnn_switch
.type fnn_switch, %function
fnn_switch:
  sub sp, sp, #160
  stp x19, x20, [sp]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size fnn_switch, .-fnn_switch
)");
constexpr int RETURN = 11, FRAME = 20;
#endif
#endif

namespace fnn::emulator {

namespace {
constexpr size_t STACK = 256 << 10, GUARD = 4 << 10;

void* map_stack(void* at) {
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (at ? MAP_FIXED : 0);
  void* stack = mmap(at, STACK, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (stack == MAP_FAILED) abort();
  mprotect(stack, GUARD, PROT_NONE);  // an overflow stops the program instead of spoiling a stack
  return stack;
}
}  // namespace

struct Fiber::Machine {
#ifdef FNN_UCONTEXT
  ucontext_t here, back;
#else
  void *here = nullptr, *back = nullptr;
#endif
  void *fake = nullptr, *fake_back = nullptr;  // the address sanitizer's own stacks
  const void* stack_back = nullptr;
  size_t size_back = 0;
  void *identity = nullptr, *identity_back = nullptr;  // the thread sanitizer's
};

Fiber* Fiber::running;

Fiber::Fiber() : stack(static_cast<char*>(map_stack(nullptr))), machine(new Machine) {}

Fiber::~Fiber() {
  munmap(stack, STACK);
  delete machine;
}

void Fiber::start(void (*entry)()) {
#ifdef FNN_THREAD_SANITIZER
  map_stack(stack);  // makes it forget who wrote here before
  machine->identity = __tsan_create_fiber(0);
#endif
#ifdef FNN_UCONTEXT
  getcontext(&machine->here);
  machine->here.uc_stack.ss_sp = stack;
  machine->here.uc_stack.ss_size = STACK;
  machine->here.uc_link = nullptr;
  makecontext(&machine->here, entry, 0);
#else
  uint64_t* frame = reinterpret_cast<uint64_t*>(stack + STACK) - FRAME;
  for (int i = 0; i < FRAME; i++) frame[i] = 0;
  frame[RETURN] = reinterpret_cast<uint64_t>(entry);
  machine->here = frame;
#endif
  machine->fake = nullptr;
}

void Fiber::end() {
#ifdef FNN_THREAD_SANITIZER
  if (machine->identity) __tsan_destroy_fiber(machine->identity);
  machine->identity = nullptr;
#endif
}

void Fiber::resume() {
  running = this;
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(&machine->fake_back, stack, STACK);
#endif
#ifdef FNN_THREAD_SANITIZER
  machine->identity_back = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(machine->identity, 1);  // 1: a switch orders nothing
#endif
#ifdef FNN_UCONTEXT
  swapcontext(&machine->back, &machine->here);
#else
  fnn_switch(&machine->back, machine->here);
#endif
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_finish_switch_fiber(machine->fake_back, nullptr, nullptr);
#endif
}

void Fiber::leave([[maybe_unused]] bool forever) {
#ifdef __SANITIZE_ADDRESS__
  __sanitizer_start_switch_fiber(forever ? nullptr : &machine->fake, machine->stack_back,
                                 machine->size_back);
#endif
#ifdef FNN_THREAD_SANITIZER
  __tsan_switch_to_fiber(machine->identity_back, 1);
#endif
#ifdef FNN_UCONTEXT
  swapcontext(&machine->here, &machine->back);
#else
  fnn_switch(&machine->here, machine->back);
#endif
  entered();
}

void Fiber::entered() {
#ifdef __SANITIZE_ADDRESS__
  Machine& me = *running->machine;
  __sanitizer_finish_switch_fiber(me.fake, &me.stack_back, &me.size_back);
#endif
}

bool Fiber::on_stack(const void* address) {
  const char* at = static_cast<const char*>(address);
  return at >= running->stack && at < running->stack + STACK;
}

void Fiber::suspend() { running->leave(false); }

void Fiber::suspend_forever() {
  running->leave(true);
  abort();
}

}  // namespace fnn::emulator

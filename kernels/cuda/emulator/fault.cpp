// An access to memory that is not there becomes an error of the kernel instead of the program's end.
// Sanitizers do this for themselves.
#include "fault.h"

#if !defined(__SANITIZE_ADDRESS__) && !defined(FNN_THREAD_SANITIZER)
#include <dlfcn.h>
#include <ucontext.h>

#include "emulator.h"

namespace fnn::emulator {
namespace {

alignas(16) char handler_stack[64 << 10];  // the fiber's own may be what overflowed

// Where the faulting instruction lies in this library, or 0.
uintptr_t offset_in_library([[maybe_unused]] void* interrupted) {
  uintptr_t at = 0;
#ifdef __linux__
  auto& machine = static_cast<ucontext_t*>(interrupted)->uc_mcontext;
#if defined(__x86_64__)
  at = machine.gregs[REG_RIP];
#elif defined(__aarch64__)
  at = machine.pc;
#endif
#endif
  Dl_info library;
  if (!at || !dladdr(handler_stack, &library)) return 0;
  return at - reinterpret_cast<uintptr_t>(library.dli_fbase);
}

// Leaves the signal handler by leaving the fiber.
void handle(int signal, siginfo_t* information, void* interrupted) {
  if (!context) {  // not a kernel's doing
    struct sigaction usual = {};
    usual.sa_handler = SIG_DFL;
    sigaction(signal, &usual, nullptr);
    return;
  }
  fail({"kernel", 0}, "access to address %p, which is in no buffer {0x%zx}", information->si_addr,
       offset_in_library(interrupted));
}

}  // namespace

Faults::Faults() {
  stack_t stack = {};
  stack.ss_sp = handler_stack;
  stack.ss_size = sizeof handler_stack;
  sigaltstack(&stack, &stack_before);
  struct sigaction action = {};
  action.sa_sigaction = handle;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
  sigaction(SIGSEGV, &action, &before[0]);
  sigaction(SIGBUS, &action, &before[1]);
}

Faults::~Faults() {
  sigaction(SIGSEGV, &before[0], nullptr);
  sigaction(SIGBUS, &before[1], nullptr);
  sigaltstack(&stack_before, nullptr);
}

}  // namespace fnn::emulator
#else
fnn::emulator::Faults::Faults() {}
fnn::emulator::Faults::~Faults() {}
#endif

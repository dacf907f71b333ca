// What Python calls: the table of kernels, and launching one.
#include <cstring>

#include "fault.h"
#include "scheduler.h"

#ifdef __x86_64__
#include <xmmintrin.h>
#endif

#define FNN_EXPORT extern "C" __attribute__((visibility("default")))

namespace fnn::emulator {
namespace {

Kernel* first;

Kernel* kernel(int index) {
  Kernel* at = first;
  while (at && index--) at = at->next;
  return at;
}

// Subnormals of float32 are zero, as CuPy compiles (-ftz=true), and rounding is to nearest. The mode
// is the processor's, so float64 is flushed as well, which a GPU does not do.
class DeviceArithmetic {
 public:
  DeviceArithmetic() {
#if defined(__x86_64__)
    saved = _mm_getcsr();
    _mm_setcsr(0x1f80 | 0x8040);
#elif defined(__aarch64__)
    asm volatile("mrs %0, fpcr" : "=r"(saved));
    asm volatile("msr fpcr, %0" ::"r"(uint64_t{1} << 24));
#endif
  }
  ~DeviceArithmetic() {
#if defined(__x86_64__)
    _mm_setcsr(saved);
#elif defined(__aarch64__)
    asm volatile("msr fpcr, %0" ::"r"(saved));
#endif
  }

 private:
#if defined(__x86_64__)
  unsigned saved;
#elif defined(__aarch64__)
  uint64_t saved;
#endif
};

}  // namespace

Kernel::Kernel(const char* name, void (*call)(void**), const void* address, const char* signature)
    : name(name), call(call), address(address), signature(signature), next(nullptr) {
  Kernel** end = &first;
  while (*end) end = &(*end)->next;
  *end = this;
}

}  // namespace fnn::emulator

using namespace fnn::emulator;

FNN_EXPORT const char* fnn_kernel_name(int index) {
  Kernel* found = kernel(index);
  return found ? found->name : nullptr;
}

FNN_EXPORT const char* fnn_kernel_signature(int index) { return kernel(index)->signature; }

FNN_EXPORT const void* fnn_kernel_address(int index) { return kernel(index)->address; }

// `sizes`: the grid, then the block, three numbers each. Returns an error, or null.
FNN_EXPORT const char* fnn_launch(int index, const unsigned* sizes, size_t shared_bytes,
                                  void** arguments, int order, uint64_t seed) {
  static std::string error;
  DeviceArithmetic arithmetic;
  Faults faults;
  error = run({kernel(index), arguments, dim3(sizes[0], sizes[1], sizes[2]),
               dim3(sizes[3], sizes[4], sizes[5]), shared_bytes, static_cast<Order>(order), seed});
  return error.empty() ? nullptr : error.c_str();
}

// While one exists, a kernel's access to memory that is not there is its error.
#pragma once
#include <csignal>

namespace fnn::emulator {

class Faults {
 public:
  Faults();
  ~Faults();

 private:
  struct sigaction before[2];
  stack_t stack_before;
};

}  // namespace fnn::emulator

// Asynchronous copies: where the schedule has them land only when they are waited for, a missing
// wait shows; where they land at once, a missing barrier before them does.
#include "block.h"

namespace fnn::emulator {

bool lands_early() {
  return launch.order == Order::lifo || (launch.order == Order::random && draw() & 1);
}

void defer(const Copy& copy) { self().copies.push_back({copy.to, copy.from, self().group}); }

void commit_copies() { self().group++; }

bool next_copy(int groups, Copy& copy) {
  std::vector<Copy>& copies = self().copies;
  if (copies.empty() || copies.front().group >= self().group - groups) return false;
  copy = copies.front();
  copies.erase(copies.begin());
  return true;
}

}  // namespace fnn::emulator

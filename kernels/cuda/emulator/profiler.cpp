// The profiler: kernels compiled with -fsanitize=thread announce every access, and instead of a
// sanitizer this file answers. The accesses of a warp's lanes at one place in the code, each lane's
// n-th there, are one request, as on a GPU.
#ifdef FNN_PROFILER
#include "profiler.h"

#include <dlfcn.h>

#include <algorithm>
#include <map>
#include <string>
#include <unordered_map>
#include <vector>

#include "emulator.h"
#include "fiber.h"
#include "memory.h"

namespace fnn::emulator {
namespace {

constexpr int SHARED = -1, UNKNOWN = -2;  // else the number of a buffer

struct Range {
  uint64_t start, bytes;
};

struct Request {
  uint64_t address[32];
  unsigned lanes;
};

// An instruction that accesses memory; the same place may read one buffer and then another.
struct Site {
  uintptr_t pc;
  int space, bytes;
  bool write;
  bool operator<(const Site& other) const {
    return std::tie(pc, space, bytes, write) <
           std::tie(other.pc, other.space, other.bytes, other.write);
  }
};

// `units`: sectors of 32 bytes, or wavefronts of shared memory; `least`: how few could do.
struct Count {
  uint64_t requests, lanes, bytes, units, least;
};

struct Key {
  const Site* site;
  int warp;
  uint32_t turn;
  bool operator==(const Key& o) const { return site == o.site && warp == o.warp && turn == o.turn; }
};
struct Hash {
  size_t operator()(const Key& key) const {
    return (reinterpret_cast<uintptr_t>(key.site) * 31 + key.warp) * 0x9e3779b97f4a7c15 + key.turn;
  }
};

bool watching = false;
std::vector<Range> buffers;
std::map<Site, Count> sites;
std::unordered_map<Key, Request, Hash> pending;                // of the running block
std::unordered_map<uint64_t, std::vector<uint32_t>> turns;     // by site: of each thread

std::vector<uint64_t> distinct(std::vector<uint64_t> values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
  return values;
}

std::vector<uint64_t> addresses(const Request& request, int first, int lanes) {
  std::vector<uint64_t> found;
  for (int i = first; i < first + lanes; i++)
    if (request.lanes >> i & 1) found.push_back(request.address[i]);
  return distinct(found);
}

// 32 banks of 4 bytes. Words of 8 and 16 bytes are served to half and a quarter of a warp at a time;
// a bank gives one word a wavefront to all who ask for it.
void count_wavefronts(const Site& site, const Request& request, Count& count) {
  int words = std::max(1, site.bytes / 4), lanes = 32 / words;
  for (int first = 0; first < 32; first += lanes) {
    std::vector<uint64_t> asked;
    for (uint64_t address : addresses(request, first, lanes))
      for (int w = 0; w < words; w++) asked.push_back(address / 4 + w);
    if (asked.empty()) continue;
    uint64_t in_bank[32] = {};
    for (uint64_t word : distinct(asked)) in_bank[word % 32]++;
    count.units += *std::max_element(in_bank, in_bank + 32);
    count.least++;
  }
}

void count_sectors(const Site& site, const Request& request, Count& count) {
  std::vector<uint64_t> touched, asked = addresses(request, 0, 32);
  for (uint64_t address : asked)
    for (uint64_t at = address / 32; at <= (address + site.bytes - 1) / 32; at++) touched.push_back(at);
  count.units += distinct(touched).size();
  count.least += (asked.size() * site.bytes + 31) / 32;
}

void finish(const Site& site, const Request& request) {
  Count& count = sites[site];
  count.requests++;
  count.lanes += __builtin_popcount(request.lanes);
  count.bytes += addresses(request, 0, 32).size() * site.bytes;
  if (site.space == SHARED)
    count_wavefronts(site, request, count);
  else
    count_sectors(site, request, count);
}

int space_of(const void* address, uint64_t& place) {
  place = reinterpret_cast<uint64_t>(address);
  if (find_shared(address, place)) return SHARED;
  for (size_t i = 0; i < buffers.size(); i++)
    if (place - buffers[i].start < buffers[i].bytes) return static_cast<int>(i);
  return UNKNOWN;
}

void note(const void* address, int bytes, bool write, void* pc) {
  if (!watching || !context || Fiber::on_stack(address)) return;
  uint64_t place;
  int space = space_of(address, place);
  if (space == UNKNOWN) return;
  const Site& site =
      sites.try_emplace({reinterpret_cast<uintptr_t>(pc), space, bytes, write}).first->first;
  int thread = context->warp * 32 + context->lane;
  std::vector<uint32_t>& of_threads = turns[reinterpret_cast<uintptr_t>(&site)];
  of_threads.resize(1024);
  Key key{&site, context->warp, of_threads[thread]++};
  Request& request = pending[key];
  request.address[context->lane] = place;
  request.lanes |= 1u << context->lane;
  if (request.lanes == ~0u) {
    finish(site, request);
    pending.erase(key);
  }
}

}  // namespace

void end_block_profile() {
  for (const auto& [key, request] : pending) finish(*key.site, request);
  pending.clear();
  turns.clear();
}

}  // namespace fnn::emulator

using namespace fnn::emulator;

#define FNN_EXPORT extern "C" __attribute__((visibility("default")))

// Count from now on what happens in these buffers and in shared memory.
FNN_EXPORT void fnn_profile(const Range* ranges, int count) {
  buffers.assign(ranges, ranges + count);
  sites.clear();
  watching = true;
}

// A line for each site: place in this library, buffer, bytes of an access, whether it writes, and
// what was counted.
FNN_EXPORT const char* fnn_profiled() {
  static std::string report;
  watching = false;
  report.clear();
  Dl_info library;
  if (!dladdr(reinterpret_cast<const void*>(&fnn_profile), &library)) return "";
  for (const auto& [site, count] : sites) {
    uint64_t numbers[] = {site.pc - 1 - reinterpret_cast<uintptr_t>(library.dli_fbase),
                          uint64_t(site.bytes), site.write, count.requests, count.lanes,
                          count.bytes, count.units, count.least};
    report += std::to_string(site.space);
    for (uint64_t number : numbers) report += " " + std::to_string(number);
    report += "\n";
  }
  return report.c_str();
}

// -- what the compiler calls ----------------------------------------------------------------------

extern "C" {
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void**, void*) {}
void __tsan_vptr_read(void**) {}

#define FNN_CALLER __builtin_return_address(0)
#define FNN_ACCESS(bytes)                                                                      \
  void __tsan_read##bytes(void* p) { note(p, bytes, false, FNN_CALLER); }                      \
  void __tsan_write##bytes(void* p) { note(p, bytes, true, FNN_CALLER); }                      \
  void __tsan_unaligned_read##bytes(void* p) { note(p, bytes, false, FNN_CALLER); }            \
  void __tsan_unaligned_write##bytes(void* p) { note(p, bytes, true, FNN_CALLER); }
FNN_ACCESS(1)
FNN_ACCESS(2)
FNN_ACCESS(4)
FNN_ACCESS(8)
FNN_ACCESS(16)
void __tsan_read_range(void* p, long bytes) { note(p, int(bytes), false, FNN_CALLER); }
void __tsan_write_range(void* p, long bytes) { note(p, int(bytes), true, FNN_CALLER); }

// An atomic is a read and a write; loads of the retry loops in cuda.h are no accesses of their own.
#define FNN_ATOMIC(bits, T)                                                                        \
  T __tsan_atomic##bits##_load(const volatile T* p, int) { return *p; }                            \
  T __tsan_atomic##bits##_fetch_add(volatile T* p, T value, int) {                                 \
    note(const_cast<T*>(p), bits / 8, false, FNN_CALLER);                                          \
    note(const_cast<T*>(p), bits / 8, true, FNN_CALLER);                                           \
    T old = *p;                                                                                    \
    *p = old + value;                                                                              \
    return old;                                                                                    \
  }                                                                                                \
  T __tsan_atomic##bits##_exchange(volatile T* p, T value, int) {                                  \
    note(const_cast<T*>(p), bits / 8, true, FNN_CALLER);                                           \
    T old = *p;                                                                                    \
    *p = value;                                                                                    \
    return old;                                                                                    \
  }                                                                                                \
  T __tsan_atomic##bits##_compare_exchange_val(volatile T* p, T expected, T value, int, int) {     \
    note(const_cast<T*>(p), bits / 8, true, FNN_CALLER);                                           \
    T old = *p;                                                                                    \
    if (old == expected) *p = value;                                                               \
    return old;                                                                                    \
  }                                                                                                \
  bool __tsan_atomic##bits##_compare_exchange_strong(volatile T* p, T* expected, T value, int,     \
                                                     int) {                                        \
    T old = __tsan_atomic##bits##_compare_exchange_val(p, *expected, value, 0, 0);                 \
    bool same = old == *expected;                                                                  \
    *expected = old;                                                                               \
    return same;                                                                                   \
  }
FNN_ATOMIC(32, uint32_t)
FNN_ATOMIC(64, uint64_t)
void __tsan_atomic_thread_fence(int) {}
}
#endif

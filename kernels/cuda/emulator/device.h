// The names of device.cuh, emulated.
#pragma once
#include <utility>

#include "access.h"
#include "cuda.h"
#include "tensor.h"

#define FNN_DEVICE inline
#define FNN_SHARED(T, name, ...)                         \
  using fnn_type_##name = T __VA_ARGS__;                 \
  static fnn::emulator::SharedArray fnn_array_##name;    \
  fnn_type_##name& name = *static_cast<fnn_type_##name*>( \
      fnn::emulator::shared_array(fnn_array_##name, sizeof(fnn_type_##name)))
#define FNN_DYNAMIC_SHARED(T, name) T* name = static_cast<T*>(fnn::emulator::dynamic_shared)
#define FNN_JOIN_TEXT(a, b) a##b
#define FNN_JOIN(a, b) FNN_JOIN_TEXT(a, b)
#define FNN_KERNEL(...)                                                                   \
  static fnn::emulator::Kernel FNN_JOIN(fnn_instance_, __COUNTER__)(                      \
      #__VA_ARGS__, fnn::emulator::Call<&__VA_ARGS__>::call,                              \
      reinterpret_cast<const void*>(&__VA_ARGS__), fnn::emulator::Call<&__VA_ARGS__>::signature);

namespace fnn::emulator {

template <class T>
constexpr char letter() {
  if constexpr (std::is_pointer_v<T>) return std::is_const_v<std::remove_pointer_t<T>> ? 'c' : 'p';
  else if constexpr (std::is_floating_point_v<T>) return sizeof(T) == 4 ? 'f' : 'd';
  else if constexpr (std::is_signed_v<T>) return sizeof(T) == 4 ? 'i' : 'I';
  else return sizeof(T) == 4 ? 'u' : 'U';
}

// Calls a kernel with arguments at addresses.
template <auto KERNEL>
struct Call;
template <class... A, void (*KERNEL)(A...)>
struct Call<KERNEL> {
  static_assert((((sizeof(A) == 4 || sizeof(A) == 8) && std::is_scalar_v<A>) && ...),
                "a kernel takes pointers and numbers of 4 or 8 bytes");
  static constexpr char signature[] = {letter<A>()..., '\0'};
  template <size_t... I>
  static void go(void** at, std::index_sequence<I...>) {
    KERNEL(*static_cast<std::remove_cv_t<A>*>(at[I])...);
  }
  static void call(void** at) { go(at, std::index_sequence_for<A...>{}); }
};

inline void look_at(const void* words) {
  alignas(16) char seen[16];
  if (words) move_words<16>(seen, words);
  asm volatile("" ::"r"(seen) : "memory");
}

inline void land(const Copy& copy) {
  alignas(16) static const char zeros[16] = {};
  move_words<16>(copy.to, copy.from ? copy.from : zeros);
}

}  // namespace fnn::emulator

namespace fnn {

template <class T, int N>
struct alignas(sizeof(T) * N) Pack {
  T at[N];
};

template <int N, class T>
inline Pack<T, N> load_pack(const T* from, emulator::Place place = emulator::here()) {
  constexpr int BYTES = sizeof(T) * N;
  emulator::require_aligned(from, BYTES < 16 ? BYTES : 16, "load_pack", place);
  Pack<T, N> pack;
  emulator::move_words<BYTES>(&pack, from);
  return pack;
}

template <class T, int N>
inline void store_pack(T* to, const Pack<T, N>& pack, emulator::Place place = emulator::here()) {
  constexpr int BYTES = sizeof(T) * N;
  emulator::require_aligned(to, BYTES < 16 ? BYTES : 16, "store_pack", place);
  emulator::move_words<BYTES>(to, &pack);
}

template <int N, class T>
inline Pack<T, N> load_pack_streaming(const T* from, emulator::Place place = emulator::here()) {
  return load_pack<N>(from, place);
}

template <class T, int N>
inline void store_pack_streaming(T* to, const Pack<T, N>& pack,
                                 emulator::Place place = emulator::here()) {
  store_pack(to, pack, place);
}

inline void copy_async16(void* shared, const void* global, bool valid,
                         emulator::Place place = emulator::here()) {
  emulator::require_aligned(shared, 16, "copy_async16 to shared memory", place);
  emulator::require_aligned(global, 16, "copy_async16 from global memory", place);
  emulator::Copy copy{shared, valid ? global : nullptr, 0};
  if (emulator::lands_early()) {
    emulator::land(copy);
  } else {
    emulator::look_at(copy.from);  // a sanitizer is to see the read here, where its line is
    emulator::defer(copy);
  }
}

inline void copy_async_commit() { emulator::commit_copies(); }

template <int N>
inline void copy_async_wait() {
  emulator::Copy copy;
  while (emulator::next_copy(N, copy)) emulator::land(copy);
}

}  // namespace fnn

// Accesses of several bytes that stay one access for sanitizers and the profiler.
#pragma once

namespace fnn::emulator {

// BYTES bytes as one number.
template <int BYTES>
struct Access {
  typedef unsigned Type __attribute__((vector_size(BYTES), may_alias));
};
template <>
struct Access<4> { typedef unsigned Type __attribute__((may_alias)); };
template <>
struct Access<2> { typedef unsigned short Type __attribute__((may_alias)); };
template <>
struct Access<1> { typedef unsigned char Type __attribute__((may_alias)); };

template <int BYTES>
inline void move_words(void* to, const void* from) {
  constexpr int SIZE = BYTES < 16 ? BYTES : 16;
  using Type = typename Access<SIZE>::Type;
  for (int i = 0; i < BYTES / SIZE; i++) static_cast<Type*>(to)[i] = static_cast<const Type*>(from)[i];
}

}  // namespace fnn::emulator

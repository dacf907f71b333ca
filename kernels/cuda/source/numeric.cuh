// Storage types and compute types, and accesses that convert between them.
#pragma once
#include "device.cuh"

namespace fnn {

template <class A, class B>
constexpr bool SAME = false;
template <class A>
constexpr bool SAME<A, A> = true;

// Whether T is stored alone: arithmetic on it is done in float.
template <class T>
constexpr bool NARROW = SAME<T, half> || SAME<T, bfloat16>;

template <class T>
struct ComputeOf {
  using type = T;
};
template <>
struct ComputeOf<half> {
  using type = float;
};
template <>
struct ComputeOf<bfloat16> {
  using type = float;
};

// The type that elements of type T are computed in.
template <class T>
using Compute = typename ComputeOf<T>::type;

// x as a `To`, rounded to nearest; numbers of another kind get into 16 bits through float.
template <class To, class From>
FNN_DEVICE To convert(From x) {
  if constexpr (SAME<To, From>)
    return x;
  else if constexpr (NARROW<To> || NARROW<From>)
    return static_cast<To>(static_cast<float>(x));
  else
    return static_cast<To>(x);
}

// N numbers in registers.
template <class C, int N>
struct Values {
  C at[N];
};

constexpr int larger(int a, int b) { return a > b ? a : b; }

template <class T>
constexpr int widest() {
  return sizeof(T);
}
template <class T, class Next, class... More>
constexpr int widest() {
  return larger(sizeof(T), widest<Next, More...>());
}

// How many elements of every one of these types a thread takes at once: 16 bytes of the widest.
template <class... T>
constexpr int VECTOR = 16 / widest<T...>();

// Whether all rows of a matrix (one row: stride 0) can be accessed V elements at a time.
template <int V, class T>
FNN_DEVICE bool packable(const T* matrix, int64_t stride = 0) {
  return (reinterpret_cast<uint64_t>(matrix) | static_cast<uint64_t>(stride) * sizeof(T)) %
             (V * sizeof(T)) == 0;
}

// V neighbouring elements, converted, in one access.
template <class C, int V, class T>
FNN_DEVICE Values<C, V> read(const T* at) {
  Pack<T, V> stored = load_pack<V>(at);
  Values<C, V> x;
#pragma unroll
  for (int i = 0; i < V; i++) x.at[i] = convert<C>(stored.at[i]);
  return x;
}

template <class T, class C, int V>
FNN_DEVICE void write(T* at, const Values<C, V>& x) {
  Pack<T, V> stored;
#pragma unroll
  for (int i = 0; i < V; i++) stored.at[i] = convert<T>(x.at[i]);
  store_pack(at, stored);
}

// A number of elements, as a type.
template <int V>
struct Width {
  static constexpr int value = V;
};

// Share the places 0, 1, ... n - 1 among `lanes` threads, neighbours for neighbours:
// visit(Width<V>, place) for V places from `place` on, then visit(Width<1>, place) for the rest, or
// for all of them unless `packed`.
template <int V, class Index, class Visit>
FNN_DEVICE void walk(int lane, int lanes, Index n, bool packed, Visit visit) {
  const Index whole = packed ? n - n % V : 0;
  for (Index at = Index(lane) * V; at < whole; at += Index(lanes) * V) visit(Width<V>(), at);
  for (Index at = whole + lane; at < n; at += lanes) visit(Width<1>(), at);
}

}  // namespace fnn

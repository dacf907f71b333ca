// How a kernel hands its arguments to a formula, whatever their number and types.
//
// Arguments come in the order of the formula's: a `const T*` is an array that is read, a number of
// the compute type C is the same for all elements; a `T*` is an array that is written. What the
// formula takes beyond them lies at `fixed`, in device memory.
#pragma once
#include "numeric.cuh"

namespace fnn {

template <class Argument>
constexpr int ELEMENT_BYTES = 1;
template <class T>
constexpr int ELEMENT_BYTES<T*> = sizeof(T);

template <class... Arguments>
constexpr int widest_element() {
  int bytes = 1;
  ((bytes = larger(bytes, ELEMENT_BYTES<Arguments>)), ...);
  return bytes;
}

// How many elements a thread takes at once: 16 bytes of the widest array.
template <class... Arguments>
constexpr int ARGUMENT_VECTOR = 16 / widest_element<Arguments...>();

// The values of a formula F at V neighbouring places, in registers.
template <class F, class C, int V>
struct Frame {
  Values<C, V> in[F::INPUTS];
  Values<C, V> out[F::OUTPUTS];
  int taken = 0;
  int given = 0;

  template <class T>
  FNN_DEVICE void take(const T* array, int64_t at) {
    in[taken++] = read<C, V>(array + at);
  }
  FNN_DEVICE void take(C number, int64_t) {
#pragma unroll
    for (int v = 0; v < V; v++) in[taken].at[v] = number;
    taken++;
  }
  template <class T>
  FNN_DEVICE void take(T*, int64_t) {}

  template <class T>
  FNN_DEVICE void give(T* array, int64_t at) {
    write(array + at, out[given++]);
  }
  template <class T>
  FNN_DEVICE void give(const T*, int64_t) {}
  FNN_DEVICE void give(C, int64_t) {}

  FNN_DEVICE void compute(const C* fixed) {
    for (int i = taken; i < F::INPUTS; i++) take(fixed[i - taken], 0);
#pragma unroll
    for (int v = 0; v < V; v++) {
      C x[F::INPUTS];
#pragma unroll
      for (int i = 0; i < F::INPUTS; i++) x[i] = in[i].at[v];
      Values<C, F::OUTPUTS> y = F::over(x);
#pragma unroll
      for (int i = 0; i < F::OUTPUTS; i++) out[i].at[v] = y.at[i];
    }
  }
};

// A whole vector can be accessed at a place that is a multiple of V.
template <int V, class T>
FNN_DEVICE bool packable_argument(T* array) {
  return packable<V>(array);
}
template <int V, class C>
FNN_DEVICE bool packable_argument(C) {
  return true;
}

}  // namespace fnn

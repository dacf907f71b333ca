// How a kernel hands its arguments to a formula, whatever their number and types.
//
// Arguments come in the order of the formula's: a `const T*` is an array that is read, a number of
// the compute type C is the same for all elements; a `T*` is an array that is written. What the
// formula takes beyond them lies at `fixed`, in device memory.
#pragma once
#include "numeric.cuh"
#include "words.cuh"

namespace fnn {

template <class Argument>
constexpr int ELEMENT_BYTES = 1;
template <class T>
constexpr int ELEMENT_BYTES<T*> = sizeof(T);

template <class Argument>
constexpr bool WRITTEN = false;
template <class T>
constexpr bool WRITTEN<T*> = true;
template <class T>
constexpr bool WRITTEN<const T*> = false;

template <class... Arguments>
constexpr int widest_element() {
  int bytes = 1;
  ((bytes = larger(bytes, ELEMENT_BYTES<Arguments>)), ...);
  return bytes;
}

// How many elements a thread takes at once: 16 bytes of the widest array.
template <class... Arguments>
constexpr int ARGUMENT_VECTOR = 16 / widest_element<Arguments...>();

// Whether arrays can be accessed V elements at a time, from their first one on.
template <int V, class Argument>
FNN_DEVICE bool packable_argument(Argument argument) {
  if constexpr (ELEMENT_BYTES<Argument> == 1)
    return true;
  else
    return packable<V>(argument);
}

// The values of a formula F at V neighbouring places, in registers.
template <class F, class C, int V>
struct Frame {
  Values<C, V> in[F::INPUTS];
  Values<C, V> out[F::OUTPUTS];

  // Results at the places from `at` on, of which nothing is written yet.
  template <class... Arguments>
  FNN_DEVICE void compute(int64_t at, const C* fixed, Arguments... arguments) {
    take<0>(at, arguments...);
    constexpr int TAKEN = ((WRITTEN<Arguments> ? 0 : 1) + ... + 0);
#pragma unroll
    for (int i = TAKEN; i < F::INPUTS; i++) repeat(i, fixed[i - TAKEN]);
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

  // Write them.
  template <int I = 0>
  FNN_DEVICE void give(int64_t) {}
  template <int I = 0, class Argument, class... More>
  FNN_DEVICE void give(int64_t at, Argument argument, More... more) {
    if constexpr (WRITTEN<Argument>) write(argument + at, out[I]);
    give<I + (WRITTEN<Argument> ? 1 : 0)>(at, more...);
  }

 private:
  FNN_DEVICE void repeat(int i, C number) {
#pragma unroll
    for (int v = 0; v < V; v++) in[i].at[v] = number;
  }

  template <int I>
  FNN_DEVICE void take(int64_t) {}
  template <int I, class Argument, class... More>
  FNN_DEVICE void take(int64_t at, Argument argument, More... more) {
    if constexpr (SAME<Argument, C>)
      repeat(I, argument);
    else if constexpr (!WRITTEN<Argument>)
      in[I] = read<C, V>(argument + at);
    take<I + (WRITTEN<Argument> ? 0 : 1)>(at, more...);
  }
};

}  // namespace fnn

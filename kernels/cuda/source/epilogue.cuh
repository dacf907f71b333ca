// What happens to a product on its way to memory: a compile-time concept of the GEMMs.
//
// An epilogue is a type with
//     template <class T, class C, int V>
//     static void apply(Values<C, V>& values, const Operands<T>& operands, const Span<V>& span);
// It is handed V neighbouring columns of one row of the product in the compute type C, reads and
// writes what belongs to them in the storage type T, and leaves in `values` what it wrote to `out`.
#pragma once
#include "numeric.cuh"

namespace fnn {

// `count` of V neighbouring columns of a row exist; `packed`: they are one access.
template <int V>
struct Span {
  int64_t row;
  int column;
  int count;
  bool packed;

  template <class C, class T>
  FNN_DEVICE Values<C, V> read(const T* matrix, int64_t stride) const {
    const T* first = matrix + row * stride + column;
    if (packed) return fnn::read<C, V>(first);
    Values<C, V> values;
#pragma unroll
    for (int i = 0; i < V; i++) values.at[i] = i < count ? convert<C>(first[i]) : C(0);
    return values;
  }

  template <class C, class T>
  FNN_DEVICE void write(T* matrix, int64_t stride, const Values<C, V>& values) const {
    T* first = matrix + row * stride + column;
    if (packed) {
      fnn::write(first, values);
    } else {
#pragma unroll
      for (int i = 0; i < V; i++)
        if (i < count) first[i] = convert<T>(values.at[i]);
    }
  }
};

// The result, m x n, and the row and matrices of the same shape beside it; null ones are left out.
template <class T>
struct Operands {
  int m, n;
  T* out;
  int64_t out_stride;
  const T* bias;        // n numbers, added to every row
  T* kept;              // what the derivative reads: written by Forward, read by Backward
  const T* mask;        // dropout, multiplied
  int64_t side_stride;  // of kept and mask

  template <int V>
  FNN_DEVICE bool packed() const {
    return packable<V>(out, out_stride) && packable<V>(bias) && packable<V>(kept, side_stride) &&
           packable<V>(mask, side_stride);
  }

  // Apply `Epilogue` to V columns of a row, as far as they exist.
  template <class Epilogue, class C, int V>
  FNN_DEVICE void finish(int row, int column, Values<C, V>& values, bool all_packed) const {
    if (row >= m) return;
    int count = n - column < V ? n - column : V;
    Epilogue::apply(values, *this, Span<V>{row, column, count, all_packed && count == V});
  }
};

// out = product
struct Plain {
  template <class T, class C, int V>
  FNN_DEVICE static void apply(Values<C, V>& values, const Operands<T>& o, const Span<V>& span) {
    span.write(o.out, o.out_stride, values);
  }
};

template <class T, class C, int V>
FNN_DEVICE void drop(Values<C, V>& values, const Operands<T>& o, const Span<V>& span) {
  if (!o.mask) return;
  Values<C, V> mask = span.template read<C>(o.mask, o.side_stride);
#pragma unroll
  for (int i = 0; i < V; i++) values.at[i] *= mask.at[i];
}

// A layer: z = product + bias, y = Activation(z), out = y * mask; kept = z where KEEPS_X, else y
template <class Activation, bool KEEPS_X>
struct Forward {
  template <class T, class C, int V>
  FNN_DEVICE static void apply(Values<C, V>& values, const Operands<T>& o, const Span<V>& span) {
    if (o.bias) {
      Span<V> columns{0, span.column, span.count, span.packed};
      Values<C, V> bias = columns.template read<C>(o.bias, 0);
#pragma unroll
      for (int i = 0; i < V; i++) values.at[i] += bias.at[i];
    }
    if (KEEPS_X && o.kept) span.write(o.kept, o.side_stride, values);
#pragma unroll
    for (int i = 0; i < V; i++) values.at[i] = Activation::apply(values.at[i]);
    if (!KEEPS_X && o.kept) span.write(o.kept, o.side_stride, values);
    drop(values, o, span);
    if (o.out) span.write(o.out, o.out_stride, values);
  }
};

// The gradient by a layer's z: out = (product * mask) * Derivative(kept)
template <class Derivative>
struct Backward {
  template <class T, class C, int V>
  FNN_DEVICE static void apply(Values<C, V>& values, const Operands<T>& o, const Span<V>& span) {
    drop(values, o, span);
    Values<C, V> kept = span.template read<C>(static_cast<const T*>(o.kept), o.side_stride);
#pragma unroll
    for (int i = 0; i < V; i++) values.at[i] *= Derivative::apply(kept.at[i]);
    span.write(o.out, o.out_stride, values);
  }
};

}  // namespace fnn

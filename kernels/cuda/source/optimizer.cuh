// One step of an optimizer over all parameters of a model, which lie in one array.
#pragma once
#include "clock.cuh"
#include "pointwise.cuh"

namespace fnn {

// F is the rule: (gradient, parameter, states..., scalars...) -> (parameter, states...). Arguments
// are the arrays read, then those written, which are the same ones; an array in 16 bits may follow
// as a copy of the parameters. Row `step` of the table of scalars is that of the step under way,
// which this launch, the last of the step, ends.
template <class F, class C, class... Arguments>
__global__ void __launch_bounds__(POINTWISE_BLOCK, 3)
    update(int64_t n, const C* scalars, int count, int64_t* clock, Arguments... arguments) {
  pointwise_share<F>(n, scalars + current_step(clock) * count, arguments...);
  end_step(clock);
}

}  // namespace fnn

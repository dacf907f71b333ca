"""Mutants of the streaming kernels' text: each barrier and guard taken out, one at a time."""

import mutation
import pytest
import streaming_sanitized as checks

pytestmark = pytest.mark.slow  # minutes of compilation

# These lines choose a type or a width when they are compiled, or leave early what would do nothing.
EQUIVALENT = {
    "arguments.cuh": ["WRITTEN<Argument"],
    "numeric.cuh": ["constexpr int larger("],
    "dropout.cuh": ["if (first >= n) return;", "COUNT = V > 4 ? V : 4"],
    "rows.cuh": ["COUNT = ((SAME<Arguments, int64_t>"],
    "softmax.cuh": ["SAME<Kind, Softmax> ?"],
}
FINDS = {
    "arguments.cuh": checks.check_steps,
    "clock.cuh": checks.check_steps,
    "dropout.cuh": checks.check_steps,
    "gather.cuh": checks.check_steps,
    "labels.cuh": checks.check_labels,
    "loss.cuh": checks.check_rows,
    "norm.cuh": checks.check_norm,
    "numeric.cuh": checks.check_steps,
    "optimizer.cuh": checks.check_steps,
    "pointwise.cuh": checks.check_steps,
    "reduce.cuh": checks.check_rows,
    "rows.cuh": checks.check_sums,
    "softmax.cuh": checks.check_rows,
    "sums.cuh": checks.check_sums,
    "words.cuh": checks.check_words,
}


@pytest.mark.parametrize("header", FINDS)
def test_every_mutant_is_found(header):
    alive = mutation.survivors(FINDS[header], header, equivalent=EQUIVALENT.get(header, ()))
    assert not alive, "\n".join(map(str, alive))

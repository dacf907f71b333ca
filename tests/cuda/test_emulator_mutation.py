"""The runner of mutants makes all of them and tells a check that looks from one that does not."""

import mutation
import planted_checks as checks
import pytest

TEXT = """\
// if (i < n) __syncthreads(); in a comment is no code
#if X < 3
#endif
if (i < n && j < m) store(i);
if (i >= n || done) return;
if constexpr (N < 3) f();
if (p) f();
float v = i + 1 < n ? x[i] : g(i < 2 ? 1 : 2);
for (int i = lane; i < n; i += 32) f();
copy_async16(to, from + f(a, b), i < n);
copy_async16(to, from, true);
copy_async_commit();
copy_async_wait<STAGES - 2>();
__syncwarp(mask);
__syncthreads();
"""


def test_mutants_take_out_one_thing_each():
    made = {(mutant.line, mutant.old.strip(), mutant.new) for mutant in mutation.mutants(TEXT)}
    assert made == {
        (4, "i < n && j < m", "true"), (4, "i < n", "true"), (4, "j < m", "true"),
        (5, "i >= n || done", "false"), (5, "i >= n", "false"), (5, "done", "false"),
        (8, "i + 1 < n", "true"), (8, "i < 2", "true"),
        (10, "i < n", "true"),
        (12, "copy_async_commit();", ";"),
        (13, "copy_async_wait<STAGES - 2>();", ";"), (13, "STAGES - 2", "(STAGES - 2) + 1"),
        (14, "__syncwarp(mask);", ";"),
        (15, "__syncthreads();", ";"),
    }  # fmt: skip
    for mutant in mutation.mutants(TEXT):
        assert len(mutant.text) == len(TEXT) + len(mutant.new) - len(mutant.old)


@pytest.mark.parametrize("name", ["product", "rows", "stream"])
def test_no_mutant_of_a_kernel_survives_its_check(name, planted):
    check = getattr(checks, f"check_{name}")
    assert [str(m) for m in mutation.survivors(check, f"{name}.cuh", planted)] == []


def look_away(driver):
    driver.run([])


def test_a_check_that_does_not_look_lets_mutants_live(planted):
    alive = mutation.survivors(look_away, "rows.cuh", planted)
    assert [str(mutant) for mutant in alive] == ["line 15: '__syncwarp();' -> ';'"]
    assert mutation.survivors(look_away, "rows.cuh", planted, equivalent=["__syncwarp();"]) == []
    assert mutation.survivors(look_away, "rows.cuh", planted, only="copy_async") == []
    with pytest.raises(AssertionError, match="no line 'sleep'"):
        mutation.survivors(look_away, "rows.cuh", planted, equivalent=["sleep"])

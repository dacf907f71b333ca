"""Mutants of a kernel's text: each barrier, wait, mask and guard taken out, one at a time.

A check that passes for the text as it is has to fail for every mutant: `survivors` names those for
which it does not. It tries several schedules, then the sanitizers.
"""

from __future__ import annotations

import faulthandler
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fusednn.kernels.cuda.build import SOURCE, BuildError
from fusednn.kernels.cuda.emulated import Emulated
from fusednn.kernels.cuda.sanitizer import SanitizerError, sanitize
from fusednn.kernels.cuda.variants import ADDRESS, PLAIN, THREAD

SCHEDULES = ("lifo", "fifo", 1)
# A mutant may leave a name unused, which is no way to find it.
FAST = replace(PLAIN, name="mutant", kernels=("-O1", "-g1", "-w"))

PASSED, FAILED, NOT_BUILT = range(3)

STATEMENTS = (
    r"__syncthreads\(\);",
    r"__syncwarp\([^;]*\);",
    r"copy_async_commit\(\);",
    r"copy_async_wait<[^;]*>\(\);",
)
LATE = re.compile(r"copy_async_wait<([^;]*)>\(\);")  # also: waits for one group too few
CONDITION = re.compile(r"\bif \(|\bwhile \(")
COMPARISON = re.compile(r"[^<>=!-](<|>|<=|>=)[^<>=]|\bexists\b")


@dataclass(frozen=True)
class Mutant:
    """A text in which `old`, at `line`, became `new`."""

    line: int
    old: str
    new: str
    text: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.old!r} -> {self.new!r}"


def mutants(text: str) -> Iterator[Mutant]:
    """Every mutant of a header's text."""
    blank = _without_comments(text)
    for pattern in STATEMENTS:
        for found in re.finditer(pattern, blank):
            yield _mutant(text, found.start(), found.end(), ";")
    for found in LATE.finditer(blank):
        yield _mutant(text, found.start(1), found.end(1), f"({found[1]}) + 1")
    for start, end, leaves in _conditions(blank):
        yield from _guards(text, start, end, leaves)
    for start, end in _choices(blank):
        yield from _guards(text, start, end, False)
    for start, end in _valid_arguments(blank):
        yield _mutant(text, start, end, "true")


def survivors(
    check: Callable,
    header: str,
    source: Path = SOURCE,
    equivalent: Sequence[str] = (),
    only: str = "",
    sanitizers: bool = True,
) -> list[Mutant]:
    """The mutants of a header for which ``check(driver)`` does not fail.

    Parameters
    ----------
    check : callable
        At the top level of a file; raises where a result is wrong.
    header : str
        File in `source` that is changed.
    source : Path
    equivalent : sequence of str
        Texts of the lines whose mutants are left out, since they mean the same or only cost time.
    only : str
        Regular expression; lines that it is not found in are left alone.
    sanitizers : bool
        Also look for what survives the schedules with the sanitizers, some seconds for each.
    """
    text = (source / header).read_text()
    lines = text.splitlines()
    for wanted in equivalent:
        assert any(wanted in line for line in lines), f"{header} has no line {wanted!r} any more"
    alive = []
    for mutant in mutants(text):
        line = lines[mutant.line - 1]
        if any(e in line for e in equivalent) or not re.search(only, line):
            continue
        if not _noticed(check, header, mutant, source, sanitizers):
            alive.append(mutant)
    return alive


def _noticed(
    check: Callable, header: str, mutant: Mutant, source: Path, sanitizers: bool
) -> bool:
    with tempfile.TemporaryDirectory(prefix="mutant-") as name:
        folder = Path(name)
        for path in source.glob("*.cuh"):
            shutil.copy(path, folder)
        (folder / header).write_text(mutant.text)
        for schedule in SCHEDULES:
            ended = _in_a_child(check, schedule, folder)
            if ended == NOT_BUILT:
                raise AssertionError(f"{header}, {mutant} does not compile")
            if ended != PASSED:
                return True
        if sanitizers:
            for variant in (ADDRESS, THREAD):
                try:
                    sanitize(check, variant, "fifo", folder, flags="-w")
                except SanitizerError:
                    return True
    return False


def _in_a_child(check: Callable, schedule: str | int, folder: Path) -> int:
    """How a check ends in a process of its own, whose memory a mutant may ruin."""
    child = os.fork()
    if not child:
        ended = FAILED
        faulthandler.disable()  # a mutant's crash is no news
        try:
            check(Emulated(schedule, FAST, folder))
            ended = PASSED
        except BuildError as error:
            print(error)
            ended = NOT_BUILT
        finally:
            os._exit(ended)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _mutant(text: str, start: int, end: int, new: str) -> Mutant:
    line = text.count("\n", 0, start) + 1
    return Mutant(line, text[start:end], new, text[:start] + new + text[end:])


def _without_comments(text: str) -> str:
    """The same text with comments blanked, so that places stay what they are."""
    return re.sub(r"//[^\n]*|^#[^\n]*", lambda found: " " * len(found[0]), text, flags=re.M)


def _closing(text: str, opening: int) -> int:
    """Where the bracket closes that opens at `opening`."""
    depth = 0
    for place in range(opening, len(text)):
        depth += text[place] in "([{"
        depth -= text[place] in ")]}"
        if depth == 0:
            return place
    raise ValueError("a bracket is not closed")


def _conditions(text: str) -> Iterator[tuple[int, int, bool]]:
    """Conditions of `if` that compare or ask what exists; whether what follows leaves the block."""
    for found in CONDITION.finditer(text):
        start = found.end()
        end = _closing(text, start - 1)
        if found[0].startswith("if") and COMPARISON.search(text[start:end]):
            yield start, end, bool(re.match(r"\)\s*(return|break|continue)\b", text[end:]))


def _choices(text: str) -> Iterator[tuple[int, int]]:
    """Conditions of ``condition ? a : b`` that compare."""
    for found in re.finditer(r" \? ", text):
        start = _beginning(text, found.start())
        condition = text[start : found.start()]
        if COMPARISON.search(" " + condition + " "):
            yield start, found.start()


def _beginning(text: str, end: int) -> int:
    """Where the expression that ends at `end` begins: after =, a comma, an open bracket, return."""
    depth = 0
    for place in range(end - 1, 0, -1):
        character = text[place]
        depth += character in ")]}"
        if character in "([{":
            if depth == 0:
                return place + 1
            depth -= 1
        if depth == 0 and (character in ",;:?" or text[place - 1 : place + 2] in (" = ", "+= ")):
            return place + 1 + (text[place + 1] == " ")
        if depth == 0 and text[:place].endswith("return"):
            return place + 1
    return 0


def _guards(text: str, start: int, end: int, leaves: bool) -> Iterator[Mutant]:
    """A condition as if it held, or did not if it leaves; then without each part of it."""
    yield _mutant(text, start, end, "false" if leaves else "true")
    word = "||" if leaves else "&&"
    parts = _split(text[start:end], word)
    if len(parts) > 1:
        for first, last in parts:
            new = "false" if leaves else "true"
            yield _mutant(text, start + first, start + last, new)


def _split(text: str, word: str) -> list[tuple[int, int]]:
    """Places of the parts of `text` between `word` outside brackets."""
    parts, depth, first = [], 0, 0
    for place, character in enumerate(text):
        depth += character in "([{"
        depth -= character in ")]}"
        if depth == 0 and text.startswith(word, place):
            parts.append((first, place))
            first = place + len(word)
    return [*parts, (first, len(text))]


def _valid_arguments(text: str) -> Iterator[tuple[int, int]]:
    """The last argument of copy_async16: whether there is something to copy."""
    for found in re.finditer(r"copy_async16\(", text):
        opening = found.end() - 1
        end = _closing(text, opening)
        inside = _split(text[opening + 1 : end], ",")
        first, last = inside[-1]
        if text[opening + 1 + first : opening + 1 + last].strip() != "true":
            yield opening + 1 + first, opening + 1 + last

"""Counting what a kernel moves: bytes of every buffer, sectors and bank conflicts of every line."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .buffer import Buffer
from .build import SOURCE, BuildError
from .emulated import Emulated
from .kernel import Launch
from .loaded import Loaded
from .variants import PROFILER


@dataclass(frozen=True)
class Site:
    """Accesses of one line of source to one buffer or to shared memory.

    Attributes
    ----------
    place : str
        ``"softmax.cuh:31"``
    space : str
        Name of the parameter that points to the buffer, or ``"shared"``.
    bytes : int
        Of one lane's access.
    write : bool
    requests, lanes : int
        Requests of a warp, and lanes that took part in them.
    moved : int
        Bytes, those that several lanes of a request ask for counted once.
    units, least : int
        Sectors of 32 bytes that the requests touched, or in shared memory the wavefronts that they
        took, and how few could have done.
    """

    place: str
    space: str
    bytes: int
    write: bool
    requests: int
    lanes: int
    moved: int
    units: int
    least: int

    @property
    def excess(self) -> float:
        """`units` by `least`: 1 where accesses are coalesced, or no bank is asked twice."""
        return self.units / self.least

    def __str__(self) -> str:  # noqa: D105
        unit = "wavefronts" if self.space == "shared" else "sectors"
        kind = "store" if self.write else "load"
        return (
            f"{self.place:24} {self.space:8} {kind:5} {self.bytes:2} bytes "
            f"{self.requests:7} requests {self.lanes / self.requests:4.1f} lanes "
            f"{self.units:8} {unit} ({self.excess:.2f} of ideal)"
        )


@dataclass(frozen=True)
class Profile:
    """What launches did to memory.

    Attributes
    ----------
    sites : tuple of Site
    """

    sites: tuple[Site, ...]

    def read(self, space: str | None = None) -> int:
        """Bytes read from the buffer of parameter `space`, or from all buffers."""
        return self._moved(False, space)

    def written(self, space: str | None = None) -> int:
        """Bytes written to the buffer of parameter `space`, or to all buffers."""
        return self._moved(True, space)

    def excess(self, shared: bool) -> float:
        """Wavefronts of shared memory, or sectors of global memory, by the least possible."""
        sites = [site for site in self.sites if (site.space == "shared") == shared]
        return sum(s.units for s in sites) / max(1, sum(s.least for s in sites))

    def _moved(self, write: bool, space: str | None) -> int:
        return sum(
            site.moved
            for site in self.sites
            if site.write == write and site.space == (space or site.space) != "shared"
        )

    def __str__(self) -> str:  # noqa: D105
        return "\n".join(map(str, self.sites))


def profile(launches: Sequence[Launch], source: Path = SOURCE) -> Profile:
    """Run `launches`, whose buffers belong to an `Emulated`, and count their accesses.

    A parameter that several launches have is one space. Copies of `copy_async16` are counted where
    they are started.
    """
    driver = Emulated("lifo", PROFILER, source)
    driver.load([launch.kernel for launch in launches])
    sites: list[Site] = []
    for launch in launches:
        module, _ = driver.loaded[launch.kernel]
        names, ranges = _buffers(launch)
        module.code.fnn_profile(ranges, len(names))
        driver.run([launch])
        module.code.fnn_profiled.restype = ctypes.c_char_p
        sites += _sites(module, module.code.fnn_profiled().decode(), names)
    return Profile(_merged(sites))


def _buffers(launch: Launch) -> tuple[list[str], ctypes.Array]:
    pairs = zip(launch.kernel.parameters, launch.arguments, strict=True)
    named = [(p.name, value) for p, value in pairs if isinstance(value, Buffer)]
    numbers = [number for _, value in named for number in (value.address, value.nbytes)]
    return [name for name, _ in named], (ctypes.c_uint64 * len(numbers))(*numbers)


def _sites(module: Loaded, report: str, names: list[str]) -> list[Site]:
    rows = [[int(number) for number in line.split()] for line in report.splitlines()]
    places = source_lines(module.path, [row[1] for row in rows])
    return [
        Site(place, names[space] if space >= 0 else "shared", size, bool(write), *counts)
        for place, (space, _, size, write, *counts) in zip(places, rows, strict=True)
        if counts[0]
    ]


def _merged(sites: list[Site]) -> tuple[Site, ...]:
    """Sites of one line, space and kind as one."""
    groups: dict[tuple, list[Site]] = {}
    for site in sites:
        groups.setdefault((site.place, site.space, site.write, site.bytes), []).append(site)
    sums = ("requests", "lanes", "moved", "units", "least")
    return tuple(
        Site(place, space, size, write, *(sum(getattr(s, name) for s in group) for name in sums))
        for (place, space, write, size), group in sorted(groups.items())
    )


def source_lines(library: Path, offsets: list[int]) -> list[str]:
    """The line of a kernel, not of the layer under it, that each of these addresses belongs to."""
    tool = shutil.which("addr2line")
    if not tool:
        raise BuildError("[profiler] there is no addr2line; install binutils.")
    places = []
    command = [tool, "-a", "-i", "-e", str(library), *map(hex, offsets)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    for chunk in said.split("0x")[1:]:
        frames = [line.split(" ")[0] for line in chunk.splitlines()[1:]]
        own = [frame for frame in frames if "/emulator/" not in frame] or frames
        places.append(own[0].rsplit("/", 1)[-1])
    return places

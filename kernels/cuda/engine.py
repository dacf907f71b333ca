"""Engines: what multiplies a block's tiles, by dtype and GPU, and which tile suits a shape.

An engine is the type `Simt` or `Tensor` of ``source/``, a tile its template argument. The choice
between tiles is a model of time, unmeasured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from .epilogue import Epilogue
from .kernel import Instruction, Kernel, Parameter

C_TYPES = {
    "float32": "float",
    "float64": "double",
    "float16": "fnn::half",
    "bfloat16": "fnn::bfloat16",
}
REGISTERS = 65536
"""Of a multiprocessor, from sm_75 to sm_120."""


@dataclass(frozen=True)
class Gpu:
    """What a choice of kernel asks of a GPU.

    Attributes
    ----------
    multiprocessors : int
    capability : int
        75 for sm_75 and so on.
    tf32 : bool
        Whether float32 products may round their operands to TF32, 10 bits of fraction.
    """

    multiprocessors: int = 108
    capability: int = 80
    tf32: bool = False


@dataclass(frozen=True)
class Tile:
    """A block's part of a product.

    Attributes
    ----------
    text : str
        The C++ type.
    m, n, k : int
        Rows and columns of the result; steps of the inner dimension at a time.
    threads : int
    blocks : int
        That the registers of a multiprocessor have to hold.
    occupancy : int
        Blocks that fit on a multiprocessor of every GPU.
    efficiency : float
        Share of the peak that one block a multiprocessor is taken to reach: a guess.
    since : int
        First architecture that has the registers for it.
    """

    text: str
    m: int
    n: int
    k: int
    threads: int
    blocks: int
    occupancy: int
    efficiency: float
    since: int = 75

    @property
    def registers(self) -> int:
        """The most a thread may use."""
        return min(255, REGISTERS // (self.threads * self.blocks) // 8 * 8)

    def alone(self) -> Tile:
        """The same tile, a block of which may take all registers of a multiprocessor."""
        head, _ = self.text.rsplit(", ", 1)
        return replace(self, text=f"{head}, 1>", blocks=1, occupancy=1)

    def count(self, m: int, n: int) -> int:
        """Tiles of an m x n result."""
        return -(-m // self.m) * -(-n // self.n)


def simt(
    m: int, n: int, k: int, thread: tuple[int, int], *, slices: int = 1, lanes: int = 4,
    blocks: int = 1, efficiency: float = 1.0,
) -> Tile:  # fmt: skip
    """A `SimtTile`: `thread` rows and columns each, `lanes` of a warp below one another."""
    warps = m // (lanes * thread[0]) * (n // (32 // lanes * thread[1]))
    numbers = (m, n, k, *thread, slices, lanes, blocks)
    text = f"fnn::SimtTile<{', '.join(map(str, numbers))}>"
    return Tile(text, m, n, k, 32 * warps * slices, blocks, blocks, efficiency)


def tensor(
    m: int, n: int, k: int, warps: tuple[int, int], *, stages: int, slices: int = 1,
    blocks: int = 1, occupancy: int = 1, efficiency: float = 1.0, since: int = 75,
) -> Tile:  # fmt: skip
    """A `TensorTile`: so many warps along rows and columns, `stages` tiles in shared memory."""
    numbers = (m, n, k, *warps, stages, slices, blocks)
    text = f"fnn::TensorTile<{', '.join(map(str, numbers))}>"
    threads = 32 * warps[0] * warps[1] * slices
    return Tile(text, m, n, k, threads, blocks, occupancy, efficiency, since)


@dataclass(frozen=True)
class Engine:
    """A tile in C++: storage type and whether the arrays hold the matrices transposed."""

    dtype: str
    tile: Tile
    tensor: bool
    a_transposed: bool = False
    b_transposed: bool = False

    @property
    def text(self) -> str:
        """The C++ type."""
        name = "fnn::Tensor" if self.tensor else "fnn::Simt"
        flags = f"{str(self.a_transposed).lower()}, {str(self.b_transposed).lower()}"
        return f"{name}<{C_TYPES[self.dtype]}, {self.tile.text}, {flags}>"

    @property
    def computes(self) -> str:
        """The dtype of the sums."""
        return SUMS[self.dtype]

    @property
    def expects(self) -> tuple[Instruction, ...]:
        """Instructions that its machine code must have."""
        if not self.tensor:
            multiply_add = "DFMA" if self.dtype == "float64" else "FFMA"
            return (Instruction(multiply_add), Instruction("LDS.128"))
        # ldmatrix cannot transpose float32: those fragments are read number by number.
        matrices = self.dtype != "float32" or not self.a_transposed or self.b_transposed
        reads = (Instruction("LDSM"),) if matrices else ()
        return (Instruction("HMMA"), Instruction("LDGSTS.128", since=80), *reads)

    def kernel(
        self, template: str, parameters: tuple[Parameter, ...], header: str, *epilogues: Epilogue
    ) -> Kernel:
        """The kernel ``fnn::template<engine, epilogues...>``."""
        arguments = ", ".join((self.text, *(epilogue.text for epilogue in epilogues)))
        return Kernel(
            f"fnn::{template}<{arguments}>", parameters, self.tile.threads, header,
            registers=self.tile.registers, occupancy=self.tile.occupancy, expects=self.expects,
            functors=tuple(dict.fromkeys(text for e in epilogues for text in e.functors)),
            architecture=80 if self.tensor and self.dtype != "float16" else self.tile.since,
        )  # fmt: skip


SIMT_TILES = {
    "float32": (
        simt(128, 128, 8, (8, 8), blocks=2, efficiency=0.9),
        simt(64, 64, 16, (8, 4), blocks=2, efficiency=0.6),
        simt(16, 32, 64, (4, 4), slices=8, efficiency=0.4),
    ),
    "float64": (
        simt(64, 64, 8, (4, 4), efficiency=0.8),
        simt(16, 32, 32, (4, 4), slices=4, efficiency=0.4),
    ),
    "bfloat16": (simt(64, 64, 16, (8, 4), blocks=2, efficiency=0.6),),
}
_TENSOR_TILES_16_BIT = (
    tensor(128, 128, 32, (2, 4), stages=3, blocks=2, efficiency=0.7, since=80),
    tensor(64, 64, 32, (2, 2), stages=4, blocks=2, efficiency=0.4),
    tensor(32, 32, 64, (1, 1), stages=3, slices=4, efficiency=0.2),
)
TENSOR_TILES = {
    # before sm_80 what is copied to shared memory passes through registers
    "float16": (
        *_TENSOR_TILES_16_BIT, tensor(128, 128, 32, (2, 4), stages=3, blocks=1, efficiency=0.7)
    ),
    "bfloat16": _TENSOR_TILES_16_BIT,
    "float32": (
        tensor(128, 128, 16, (2, 4), stages=3, blocks=1, efficiency=0.7),
        tensor(64, 64, 16, (2, 2), stages=4, blocks=2, efficiency=0.4),
        tensor(32, 32, 32, (1, 1), stages=3, slices=4, efficiency=0.2),
    ),
}


SUMS = {"float32": "float32", "float64": "float64", "float16": "float32", "bfloat16": "float32"}
"""The dtype that products of a dtype are summed in."""


def engines() -> list[Engine]:
    """Every dtype, kind and tile, no array transposed."""
    return [
        Engine(dtype, tile, on_tensor_cores)
        for on_tensor_cores, table in ((False, SIMT_TILES), (True, TENSOR_TILES))
        for dtype, sizes in table.items()
        for tile in sizes
    ]


def uses_tensor_cores(dtype: str, gpu: Gpu) -> bool:
    """Whether products of `dtype` run on tensor cores; bfloat16 and TF32 need sm_80."""
    if dtype == "float16":
        return True
    return gpu.capability >= 80 and (dtype == "bfloat16" or dtype == "float32" and gpu.tf32)


def tiles(dtype: str, gpu: Gpu) -> tuple[Tile, ...]:
    """The tiles for products of `dtype`; of equally good ones the first is preferred."""
    table = (TENSOR_TILES if uses_tensor_cores(dtype, gpu) else SIMT_TILES)[dtype]
    return tuple(tile for tile in table if tile.since <= gpu.capability)


LAUNCH = 400_000
"""Multiply-adds a multiprocessor could do in the time of one more launch: a guess."""


@dataclass(frozen=True)
class Choice:
    """A tile, and into how many parts of `depth` steps the inner dimension is cut."""

    tile: Tile
    parts: int
    depth: int


def choose(
    shapes: Sequence[tuple[int, int]], k: int, dtype: str, gpu: Gpu, *, most_parts: int = 1
) -> Choice:
    """The tile and number of parts that take the least time by the model.

    The blocks of all products run in waves, one block a multiprocessor, each in the time of its
    multiply-adds; a second pass over parts costs a launch.

    Parameters
    ----------
    shapes : sequence of (m, n)
        Results of products of the same inner dimension `k` in one launch.
    most_parts : int
        1 where the inner dimension must not be cut.
    """

    def cost(choice: Choice) -> float:
        tile, blocks = choice.tile, sum(choice.tile.count(*shape) for shape in shapes)
        waves = -(-blocks * choice.parts // gpu.multiprocessors)
        time = waves * tile.m * tile.n * choice.depth / tile.efficiency
        return time + (LAUNCH if choice.parts > 1 else 0)

    choices = []
    for tile in tiles(dtype, gpu):
        parts = 1
        while parts <= most_parts:
            depth = -(-k // (parts * tile.k)) * tile.k
            if parts == 1 or depth * (parts - 1) < k:
                choices.append(Choice(tile, parts, depth))
            parts *= 2
    return min(choices, key=cost)

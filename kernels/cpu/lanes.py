"""The LLVM reading of the vocabulary: a formula called with `Lanes` becomes vector instructions.

No Numba typing is involved, so that tracing a formula costs microseconds and any Python it is
written in (helpers, loops over coefficients) disappears before LLVM sees it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from llvmlite import ir

from ..vocabulary import Symbol
from .isa import ISA

I32, I64 = ir.IntType(32), ir.IntType(64)
_COMPARE = {"gt": ">", "ge": ">=", "lt": "<", "le": "<=", "eq": "==", "ne": "!="}
_FLOAT = {"add": "fadd", "sub": "fsub", "mul": "fmul", "div": "fdiv"}
_INT = {"add": "add", "sub": "sub", "mul": "mul"}


def real_type(dtype) -> ir.Type:
    """LLVM's scalar type of a float32 or float64 dtype."""
    return {"float32": ir.FloatType(), "float64": ir.DoubleType()}[str(dtype)]


def intrinsic(module: ir.Module, name: str, result: ir.Type, *arguments: ir.Type) -> ir.Function:
    """The LLVM intrinsic `name`, declared in `module` once."""
    if name in module.globals:
        return module.globals[name]
    return ir.Function(module, ir.FunctionType(result, arguments), name)


def splat(builder: ir.IRBuilder, scalar: ir.Value, lanes: int) -> ir.Value:
    """A vector with `scalar` in every lane."""
    vector = ir.VectorType(scalar.type, lanes)
    one = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, I32(0))
    zeros = ir.Constant(ir.VectorType(I32, lanes), [0] * lanes)
    return builder.shuffle_vector(one, ir.Constant(vector, ir.Undefined), zeros)


def opaque(builder: ir.IRBuilder, value: ir.Value) -> ir.Value:
    """`value`, an address or a whole register, of which LLVM no longer knows what it is."""
    register = "x" if isinstance(value.type, ir.VectorType) else "r"
    nothing = ir.InlineAsm(ir.FunctionType(value.type, [value.type]), "", f"={register},0")
    return builder.call(nothing, [value], attrs=("readnone", "nounwind"))


class Lanes(Symbol):
    """A vector of floats, integers or truth values inside a function that is being built.

    Attributes
    ----------
    builder : llvmlite.ir.IRBuilder
        Where instructions go.
    value : llvmlite.ir.Value
        The vector.
    real : llvmlite.ir.Type
        Element type of the computation that this value belongs to; constants take it.
    isa : ISA
        What may be used.
    lost : Lanes or None
        What the value lacks because it was rounded, where the function that made it knows.
    """

    __slots__ = ("builder", "isa", "lost", "real", "value")

    def __init__(self, builder: ir.IRBuilder, value: ir.Value, real: ir.Type, isa: ISA):
        self.builder, self.value, self.real, self.isa = builder, value, real, isa
        self.lost: Lanes | None = None

    # -- building blocks for elementary functions -------------------------------------------------

    @property
    def count(self) -> int:
        """Number of lanes."""
        return self.value.type.count

    @property
    def element(self) -> ir.Type:
        """Element type of this value."""
        return self.value.type.element

    @property
    def is_mask(self) -> bool:
        """Whether the lanes are truth values."""
        return self.element == ir.IntType(1)

    @property
    def bits(self) -> int:
        """Width of a float lane: 32 or 64."""
        return 32 if isinstance(self.real, ir.FloatType) else 64

    def new(self, value: ir.Value) -> Lanes:
        """A value of the same computation."""
        return Lanes(self.builder, value, self.real, self.isa)

    def constant(self, number, element: ir.Type | None = None) -> Lanes:
        """`number` in every lane, as a float unless `element` says otherwise."""
        element = element or self.real
        value = ir.Constant(ir.VectorType(element, self.count), [number] * self.count)
        is_float = not isinstance(element, ir.IntType)
        if self.isa.name == "avx2" and self.count * self.bits == 256 and is_float and number:
            # Of a known one LLVM makes a load before each use, since 16 registers do not hold all;
            # of an unknown one, an operand in memory.
            value = opaque(self.builder, value)
        return self.new(value)

    def as_bits(self) -> Lanes:
        """The float lanes' bit patterns, as integers."""
        integers = ir.VectorType(ir.IntType(self.bits), self.count)
        return self.new(self.builder.bitcast(self.value, integers))

    def as_float(self) -> Lanes:
        """Integer lanes read as the bit patterns of floats."""
        return self.new(self.builder.bitcast(self.value, ir.VectorType(self.real, self.count)))

    def to_float(self) -> Lanes:
        """Integer lanes converted to floats."""
        vector = ir.VectorType(self.real, self.count)
        return self.new(self.builder.sitofp(self.value, vector))

    def shift_left(self, by: int) -> Lanes:
        """Integer lanes times ``2**by``."""
        return self.new(self.builder.shl(self.value, self.constant(by, self.element).value))

    def shift_right(self, by: int, *, arithmetic: bool = True) -> Lanes:
        """Integer lanes shifted right, with or without their sign."""
        shift = self.builder.ashr if arithmetic else self.builder.lshr
        return self.new(shift(self.value, self.constant(by, self.element).value))

    def bit_and(self, other) -> Lanes:
        """Bitwise and with an integer or integer lanes."""
        return self.new(self.builder.and_(self.value, self._lift(other, self.element)))

    def bit_or(self, other) -> Lanes:
        """Bitwise or with an integer or integer lanes."""
        return self.new(self.builder.or_(self.value, self._lift(other, self.element)))

    def bit_xor(self, other) -> Lanes:
        """Bitwise exclusive or with an integer or integer lanes."""
        return self.new(self.builder.xor(self.value, self._lift(other, self.element)))

    def round(self) -> Lanes:
        """Nearest integer, ties to even, as a float."""
        return self.call("llvm.roundeven")

    def call(self, name: str, *others: Any) -> Lanes:
        """An LLVM intrinsic that is overloaded on the vector's type alone."""
        vector = self.value.type
        suffix = f"v{self.count}f{self.bits}"
        function = intrinsic(
            self.builder.module, f"{name}.{suffix}", vector, *[vector] * (1 + len(others))
        )
        arguments = [self.value, *(self._lift(o, self.element) for o in others)]
        return self.new(self.builder.call(function, arguments))

    # -- what AVX-512 has for whole vectors of floats ---------------------------------------------

    @property
    def has_avx512(self) -> bool:
        """Whether this is a whole register of AVX-512, so that `scalef` and the like apply."""
        return self.isa.name == "avx512" and self.count * self.bits == 512

    @property
    def is_16_floats(self) -> bool:
        """Whether this is a whole register of AVX-512 with float32."""
        return self.has_avx512 and self.bits == 32

    def _avx512(self, name: str, arguments, *, rounding: bool = True) -> Lanes:
        """An intrinsic of (arguments, vector to keep, mask, rounding mode), unmasked."""
        vector, mask = self.value.type, ir.IntType(self.count)
        suffix = "ps" if self.bits == 32 else "pd"
        values = [*arguments, ir.Constant(vector, [0.0] * self.count), mask(-1)]
        values += [I32(4)] if rounding else []  # the current mode
        function = intrinsic(
            self.builder.module, f"llvm.x86.avx512.{name}.{suffix}.512", vector,
            *(value.type for value in values),
        )  # fmt: skip
        return self.new(self.builder.call(function, values))

    def scalef(self, power) -> Lanes:
        """Times ``2**power``, rounded once; infinite and nan as they should be."""
        return self._avx512("mask.scalef", [self.value, self._lift(power, self.real)])

    def exponent(self) -> Lanes:
        """The exponent of a number of [1, 2) times a power of two: -inf of 0, inf of inf."""
        return self._avx512("mask.getexp", [self.value])

    def mantissa(self) -> Lanes:
        """That number, or half of it, in [0.75, 1.5): 1 of 0 and inf, nan of negative numbers."""
        return self._avx512("mask.getmant", [self.value, I32(0b1011)])

    def of_table(self, numbers) -> Lanes:
        """Of as many numbers as lanes, or twice as many, those that the lanes' lowest bits say."""
        vector, n = ir.VectorType(self.real, self.count), self.count
        values = [ir.Constant(vector, list(numbers[i : i + n])) for i in range(0, len(numbers), n)]
        values.insert(1, self.value)
        kind = "s" if self.bits == 32 else "d"
        name = f"permvar.{kind}f" if len(values) == 2 else f"vpermi2var.p{kind}"
        function = intrinsic(
            self.builder.module, f"llvm.x86.avx512.{name}.512", vector,
            *(value.type for value in values),
        )  # fmt: skip
        return self.new(self.builder.call(function, values))

    def reciprocal(self) -> Lanes:
        """``1 / self`` to 14 bits."""
        return self._avx512("rcp14", [self.value], rounding=False)

    # -- the vocabulary ---------------------------------------------------------------------------

    def emit(self, word: str, *operands: Any) -> Any:
        """Append the instructions of one vocabulary word."""
        lower = getattr(self, f"_{word}", None)
        if lower is not None:
            return lower(*operands)
        numbers = [o for o in operands if isinstance(o, Lanes) and not o.is_mask]
        element = numbers[0].element if numbers else self.real
        values = [self._lift(o, element) for o in operands]
        if word in _COMPARE:
            return self.new(self._compare(word, *values))
        names = _INT if isinstance(element, ir.IntType) else _FLOAT
        if word in names:
            return self.new(getattr(self.builder, names[word])(*values))
        # elementary is written on Lanes, so it can only be imported later
        elementary = import_module(".elementary", __package__)
        function = getattr(elementary, word, None)
        if function is None:
            raise TypeError(f"[formula] the CPU backend has no code for {word!r}")
        pairs = zip(operands, values, strict=True)
        return function(*(o if isinstance(o, Lanes) else self.new(v) for o, v in pairs))

    def _compare(self, word, a, b):
        if isinstance(a.type.element, ir.IntType):
            return self.builder.icmp_signed(_COMPARE[word], a, b)
        ordered = self.builder.fcmp_unordered if word == "ne" else self.builder.fcmp_ordered
        return ordered(_COMPARE[word], a, b)

    def _lift(self, operand, element: ir.Type) -> ir.Value:
        if isinstance(operand, Lanes):
            return operand.value
        number = int(operand) if isinstance(element, ir.IntType) else float(operand)
        return self.constant(number, element).value

    def _lift_floats(self, *operands) -> list[Lanes]:
        return [self.new(self._lift(o, self.real)) for o in operands]

    def _neg(self, a):
        return a.new(a.builder.fneg(a.value))

    def _sqrt(self, a):
        return a.call("llvm.sqrt")

    def _abs(self, a):
        return a.call("llvm.fabs")

    def _fma(self, a, b, c):
        a, b, c = self._lift_floats(a, b, c)
        return a.call("llvm.fma", b, c) if self.isa.fma else a * b + c

    def _copysign(self, a, b):
        a, b = self._lift_floats(a, b)
        return a.call("llvm.copysign", b)

    def _where(self, condition, a, b):
        if not isinstance(condition, Lanes):
            return a if condition else b
        element = next((o.element for o in (a, b) if isinstance(o, Lanes)), self.real)
        values = (self._lift(a, element), self._lift(b, element))
        return self.new(self.builder.select(condition.value, *values))

    def _logical_and(self, a, b):
        return self.new(self.builder.and_(a.value, b.value))

    def _logical_or(self, a, b):
        return self.new(self.builder.or_(a.value, b.value))

    def _maximum(self, a, b):
        return self._extreme(a, b, "gt")

    def _minimum(self, a, b):
        return self._extreme(a, b, "lt")

    def _extreme(self, a, b, beats):
        # NaN wins, as in NumPy. ``a beats b ? a : b`` gives b when either is NaN, which is one
        # instruction and all that is needed when a is a number.
        if not isinstance(b, Lanes):
            a, b = b, a
        number = not isinstance(a, Lanes)
        a, b = self._lift_floats(a, b)
        best = self._where(self.emit(beats, a, b), a, b)
        return best if number else self._where(self.emit("ne", a, a), a, best)

    # -- faster than the hardware's own, where there are 14-bit approximations --------------------

    def _fast_sqrt(self, a):
        if not self.is_16_floats:
            return a.call("llvm.sqrt")
        bounded = self._maximum(a, 1e-37)
        y = bounded._avx512("rsqrt14", [bounded.value], rounding=False)
        s = a * y
        return self._fma(self._fma(-s, s, a), y * 0.5, s)

    def _fast_divide(self, a, b):
        a, b = self._lift_floats(a, b)
        if not self.is_16_floats or self.isa.fast_division:
            return a / b
        r = b.reciprocal()
        q = a * r
        return self._fma(self._fma(-b, q, a), r, q)

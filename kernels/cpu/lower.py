"""From programs to op tables: which calls become one op, and with which kernels.

Fused are: linear + activation + dropout; loss + the derivative of the last activation; the input's
gradient + dropout + the derivative of the activation before; the weights' and the bias' gradient +
their updates.
"""

from __future__ import annotations

import numpy as np

from ..formulas import ACTIVATIONS, LOSSES, METRICS, OPTIMIZERS
from ..program import CROSS_ENTROPY, SOFTMAX, Call, Program
from . import catalog
from .buffers import Buffers
from .layout import padded
from .plan import Plan, Slot, Tiles, shares, tile_rows
from .pointwise import Pointwise, operands
from .tile import COLUMNS, ROWS

# Blocks of the matrix products, in rows and bytes: A's block is a quarter of a small L2 cache and
# B's two thirds of a small L1 cache.
BLOCK_ROWS = 256
BLOCK_BYTES = 32 * 1024
GROUP = 8
PREFETCH_BYTES = 512 * 1024
"""Parameters and states that are larger than this are asked for before they are needed."""


class Lowering:
    """One program for batches of `rows` rows, where whole batches have `batch`.

    Attributes
    ----------
    source, targets : numpy.dtype
        Of the data set's x and targets. Without a source, x is rows of the network's own dtype,
        which the first product reads where they are.
    """

    def __init__(
        self, program: Program, buffers: Buffers, rows: int, batch: int, workers: int,
        source: np.dtype | None, targets: np.dtype | None,
    ):  # fmt: skip
        self.program, self.buffers = program, buffers
        self.network, self.objective = program.network, program.objective
        self.rows, self.batch, self.workers = rows, batch, workers
        self.source, self.targets = source, targets
        self.isa, self.dtype = buffers.isa, self.network.dtype
        self.lanes = buffers.lanes
        self.size = np.dtype(self.dtype).itemsize
        self.plan = Plan(self.dtype, workers, self.isa)
        self.most = self.isa.max_rows(2), self.isa.max_rows(1)
        self.results = {"value", *(self.objective.metrics if self.objective else ())}
        if not self.objective:
            self.results = {f"y{len(self.network.layers)}"}
        self.calls = _live(program.calls, self.results)

    def lower(self) -> Plan:
        """The finished plan."""
        self._gather()
        while self.calls:
            call = self.calls.pop(0)
            getattr(self, f"_{call.op}")(call)
        self._collect()
        return self.plan.finish()

    # -- data in and out --------------------------------------------------------------------------

    def _gather(self) -> None:
        if self.source is not None:
            self._gather_rows("x", self.source)
        if self.objective and not self.objective.sparse:
            assert self.targets is not None
            self._gather_rows("t", self.targets)
        elif self.objective:
            self.plan.add(
                catalog.op("rows", "gather_labels", self.dtype), labels=Slot("t"),
                order=Slot("order"), batch=self.batch, m=self.rows,
                out=self.buffers.vector("labels", np.int64),
            )  # fmt: skip

    def _gather_rows(self, name: str, dtype: np.dtype) -> None:
        out = self.buffers.matrix(name)
        columns = out.array.shape[1]
        self.plan.add(
            catalog.gather(dtype, self.dtype), data=Slot(name), row_bytes=columns * dtype.itemsize,
            order=Slot("order"), batch=self.batch, m=self.rows, k=columns,
            out=out.address, out_pitch=out.pitch,
        )  # fmt: skip

    def _collect(self) -> None:
        if not self.objective:
            y = self.buffers.matrix(f"y{len(self.network.layers)}")
            columns = y.array.shape[1]
            self.plan.add(
                catalog.op("rows", "scatter", self.dtype), source=y.address, source_pitch=y.pitch,
                m=self.rows, k=columns, out=Slot("out"),
                out_step=self.batch * columns * self.size, out_pitch=columns * self.size,
            )  # fmt: skip
            return
        for name in ("value", *self.objective.metrics):
            self.plan.add(
                catalog.op("rows", "collect", self.dtype), values=self.buffers.vector(name),
                batch=self.batch, m=self.rows, out=Slot(name),
            )  # fmt: skip

    # -- forward ----------------------------------------------------------------------------------

    def _dropout_mask(self, call: Call) -> None:
        mask = self.buffers.matrix(call.writes[0])
        rate = call.options["rate"]
        choice = np.array([0.0, 1.0 / (1.0 - rate)], self.dtype)
        self.plan.add(
            catalog.op("random", "dropout_mask", self.dtype), m=self.rows, n=mask.array.shape[1],
            out=mask.address, pitch=mask.pitch, seed=Slot("seed"), layer=call.options["layer"],
            first_step=Slot("first_step"), threshold=int(np.ceil(rate * 2**24)), choice=choice,
        )  # fmt: skip

    def _multiply(self, call: Call) -> None:
        formula = Pointwise("multiply", lambda a, b: a * b, 2)
        self._over_rows(formula, [*call.reads, *call.writes])

    def _linear(self, call: Call) -> None:
        i = int(call.writes[0][1:])
        layer = self.network.layers[i - 1]
        w = self.buffers.parameters[f"w{i}"]
        self._take("dropout_mask", writes=f"m{i}", run=True)
        activation = self._take("activation", reads=f"z{i}")
        dropped = self._take("multiply", writes=f"o{i}")
        outputs = [f"{letter}{i}" for letter in "zyo" if self._needs(f"{letter}{i}")]
        c = self.buffers.matrix(outputs[0])
        epilogue, table = self._forward_epilogue(i, layer, activation, dropped, outputs)
        by_panels = self._by_panels(w.count)
        totals = {self.rows} if by_panels else shares(self.rows, self.workers)
        self.plan.add(
            catalog.op("gemm", "forward", self.dtype), **self._source(call.reads[0]), m=self.rows,
            k=w.k, w=w.address, panels=w.count,
            narrow=w.narrow, c=c.address, c_pitch=c.pitch, by_panels=by_panels,
            mc=BLOCK_ROWS, kc=BLOCK_BYTES // (2 * self.isa.vector_bytes), group=GROUP,
            epilogue=epilogue, operands=table, **self._tiles(ROWS, w, totals),
        )  # fmt: skip

    def _source(self, name: str) -> dict:
        """Where A lies: a buffer, or, if nothing was gathered, the caller's rows."""
        if name == "x" and self.source is None:
            pitch = self.network.inputs * self.size
            return {"a": Slot("x"), "a_step": self.batch * pitch, "a_pitch": pitch}
        matrix = self.buffers.matrix(name)
        return {"a": matrix.address, "a_step": 0, "a_pitch": matrix.pitch}

    def _forward_epilogue(self, i, layer, activation, dropped, outputs):
        value = ACTIVATIONS[layer.activation].value if activation else None

        def formula(z, *more):
            more_ = list(more)
            if layer.bias:
                z = z + more_.pop(0)
            y = value(z) if value else z
            results = {"z": z, "y": y}
            if dropped:
                results["o"] = y * more_.pop(0)
            return tuple(results[name[0]] for name in outputs)

        inputs = []
        if layer.bias:
            inputs.append((self.buffers.parameters[f"b{i}"].address, 0))
        if dropped:
            inputs.append(self._at(f"m{i}"))
        kinds = "".join(name[0] for name in outputs)
        name = f"forward {layer.activation if value else '-'} {len(inputs)} {layer.bias} {kinds}"
        epilogue = Pointwise(name, formula, 1 + len(inputs), len(outputs))
        return epilogue.kernel(self.dtype), operands(*inputs, *map(self._at, outputs))

    def _activation(self, call: Call) -> None:
        name = call.options["formula"]
        self._over_rows(Pointwise(name, ACTIVATIONS[name].value, 1), [*call.reads, *call.writes])

    def _softmax(self, call: Call) -> None:
        z, y = self.buffers.matrix(call.reads[0]), self.buffers.matrix(call.writes[0])
        self.plan.add(
            catalog.op("rows", SOFTMAX, self.dtype), z=z.address, z_pitch=z.pitch, m=self.rows,
            n=z.array.shape[1], y=y.address, y_pitch=y.pitch,
        )  # fmt: skip

    def _softmax_backward(self, call: Call) -> None:
        dy, y = (self.buffers.matrix(name) for name in call.reads)
        dz = self.buffers.matrix(call.writes[0])
        self.plan.add(
            catalog.op("rows", "softmax_backward", self.dtype), dy=dy.address, dy_pitch=dy.pitch,
            y=y.address, y_pitch=y.pitch, m=self.rows, n=y.array.shape[1],
            dz=dz.address, dz_pitch=dz.pitch,
        )  # fmt: skip

    # -- loss and metrics -------------------------------------------------------------------------

    def _cross_entropy(self, call: Call) -> None:
        accuracy = self._take("accuracy", writes="accuracy")
        gradient = call.writes[1] if len(call.writes) > 1 else None
        self._entropy_op(call, gradient, "value", "accuracy" if accuracy else "unused")

    def _accuracy(self, call: Call) -> None:
        self._entropy_op(call, None, "unused", "accuracy")

    def _entropy_op(self, call: Call, gradient: str | None, values: str, hits: str) -> None:
        z = self.buffers.matrix(call.reads[0])
        dz = self.buffers.matrix(gradient) if gradient else z
        sparse = call.options["sparse"]
        t = None if sparse else self.buffers.matrix("t")
        self.plan.add(
            catalog.op("rows", CROSS_ENTROPY, self.dtype, sparse, bool(gradient)),
            z=z.address, z_pitch=z.pitch, m=self.rows, n=z.array.shape[1],
            labels=self.buffers.vector("labels", np.int64) if sparse else 0,
            targets=t.address if t else 0, targets_pitch=t.pitch if t else 0,
            dz=dz.address, dz_pitch=dz.pitch, scale=np.array([1.0 / self.rows], self.dtype),
            values=self.buffers.vector(values), hits=self.buffers.vector(hits),
        )  # fmt: skip

    def _loss(self, call: Call) -> None:
        loss = LOSSES[call.options["formula"]]
        columns = self.network.widths[-1]
        scalars = np.array([1.0 / columns, 1.0 / (columns * self.rows)], self.dtype)
        if len(call.writes) == 1:
            self._row_mean(loss.name, loss.value, call.reads, "value")
            return
        out, derivative, name = call.writes[1], None, "-"
        after = self._take("activation_backward", reads=out)
        if after and after.reads[1] == call.reads[0]:
            name, out = after.options["formula"], after.writes[0]
            derivative = ACTIVATIONS[name].derivative
        elif after:
            self.calls.insert(0, after)

        def formula(p, t, mean, share):
            gradient = loss.gradient(p, t) * share
            return gradient * derivative(p) if derivative else gradient, loss.value(p, t) * mean

        self._over_rows(
            Pointwise(f"{loss.name} {name}", formula, 2, 1, 2, sums=1), [*call.reads, out],
            sums="value", scalars=scalars,
        )  # fmt: skip

    def _metric(self, call: Call) -> None:
        name = call.options["metric"]
        self._row_mean(f"metric {name}", METRICS[name], call.reads, name)

    def _row_mean(self, name: str, value, reads, out: str) -> None:
        spec = Pointwise(f"{name} mean", lambda p, t, mean: value(p, t) * mean, 2, 0, 1, sums=1)
        scalars = np.array([1.0 / self.network.widths[-1]], self.dtype)
        self._over_rows(spec, list(reads), sums=out, scalars=scalars)

    # -- backward ---------------------------------------------------------------------------------

    def _activation_backward(self, call: Call) -> None:
        name = call.options["formula"]
        derivative = ACTIVATIONS[name].derivative
        formula = Pointwise(f"{name} backward", lambda dy, saved: dy * derivative(saved), 2)
        self._over_rows(formula, [*call.reads, *call.writes])

    def _input_gradient(self, call: Call) -> None:
        dz, w = self.buffers.matrix(call.reads[0]), self.buffers.parameters[call.reads[1]]
        dropped = self._take("multiply", reads=call.writes[0])
        between = dropped.writes[0] if dropped else call.writes[0]
        backward = self._take("activation_backward", reads=between)
        assert backward is not None
        out = self.buffers.matrix(backward.writes[0])
        name = backward.options["formula"]
        derivative = ACTIVATIONS[name].derivative

        def formula(dx, saved, *mask):
            return dx * mask[0] * derivative(saved) if mask else dx * derivative(saved)

        inputs = [backward.reads[1], *(dropped.reads[1:] if dropped else ())]
        spec = Pointwise(f"{name} backward {len(inputs)}", formula, 1 + len(inputs))
        table = operands(*map(self._at, inputs), self._at(backward.writes[0]))
        blocks = {n * self.lanes for n in shares(-(-w.k // self.lanes), self.workers)}
        totals = set(_blocks(blocks | {w.k - n for n in _starts(w.k, self.lanes, self.workers)}))
        batches = -(-self.rows // (2 * self.lanes))
        width = 2 * self.isa.vector_bytes
        scratch = (batches * padded(w.n, self.lanes) + batches * BLOCK_ROWS) * width
        self.plan.add(
            catalog.op("gemm", "input_gradient", self.dtype), dz=dz.address, dz_pitch=dz.pitch,
            m=self.rows, n=w.n, w=w.address, k=w.k,
            scratch=self._scratch(scratch), scratch_step=scratch, dx=out.address,
            dx_pitch=out.pitch, mc=BLOCK_ROWS, chunks=GROUP, epilogue=spec.kernel(self.dtype),
            operands=table, **self._tiles(ROWS, None, totals),
        )  # fmt: skip

    def _weight_gradient(self, call: Call) -> None:
        i = int(call.writes[0][2:])
        source, dz = self.buffers.matrix(call.reads[0]), self.buffers.matrix(call.reads[1])
        w = self.buffers.parameters[f"w{i}"]
        bias = self._take("bias_gradient", writes=f"db{i}")
        update = self._take("update", writes=f"w{i}")
        assert update is not None
        self._take("update", writes=f"b{i}")
        rule = OPTIMIZERS[update.options["rule"]]
        scalars = self._scalars(rule)
        by_panels = self._by_panels(w.count)
        totals = {w.k} if by_panels else shares(w.k, self.workers)
        width = 2 * self.isa.vector_bytes
        scratch = (GROUP * self.rows + 1 + max(self.most)) * width
        kept = [w, *(self.buffers.parameters[f"w{i}.{state}"] for state in rule.states)]
        large = len(kept) * w.k * w.columns * self.size > PREFETCH_BYTES
        spec = Pointwise(f"update {rule.name}", rule.update, 1 + len(kept), len(kept), len(scalars))
        self.plan.add(
            catalog.op("gemm", "weight_gradient", self.dtype), x=source.address, x_step=0,
            x_pitch=source.pitch, m=self.rows, k=w.k, dz=dz.address, dz_pitch=dz.pitch,
            panels=w.count, narrow=w.narrow, scratch=self._scratch(scratch), scratch_step=scratch,
            by_panels=by_panels, group=GROUP, fetches=len(kept) if large else 0,
            fetched=np.array([panels.address for panels in kept], np.int64),
            rule=spec.kernel(self.dtype), operands=self._update_table(f"w{i}", rule, scalars),
            bias_operands=self._update_table(f"b{i}", rule, scalars) if bias else 0,
            **self._tiles(COLUMNS, w, totals, both=True),
        )  # fmt: skip

    def _update_table(self, name: str, rule, scalars) -> np.ndarray:
        names = [name, *(f"{name}.{state}" for state in rule.states)]
        places = [(self.buffers.parameters[n].address, 0) for n in names]
        return operands(*places, *places, scalars=scalars.ctypes.data)

    def _scalars(self, rule) -> np.ndarray:
        count = len(rule.scalars(1, **rule.options))
        current = self.buffers.vector("scalars", count=count + count % 2)
        self.plan.scalars, self.plan.scalar_bytes = current.ctypes.data, current.nbytes
        return current[:count]

    # -- shared -----------------------------------------------------------------------------------

    def _tiles(self, order: str, w, totals, *, both: bool = False) -> dict:
        """Tables of micro-kernels for rows that come in these totals.

        A group with a wide panel cuts its rows for wide tiles; `both` says that its narrow panel
        then follows suit.
        """
        totals = set(_blocks(totals)) if order == ROWS else totals
        wide = tile_rows(totals, self.most[0])
        narrow = tile_rows(totals, self.most[1]) | (wide if both else frozenset())
        has_wide, has_narrow = True, True
        if w is not None:
            has_wide, has_narrow = w.count > w.narrow, w.narrow
        else:
            has_narrow = self.rows % (2 * self.lanes) != 0
            has_wide = self.rows > self.lanes
        none: frozenset[int] = frozenset()
        return {
            "tiles": Tiles(order, 2, wide if has_wide else none),
            "narrow_tiles": Tiles(order, 1, narrow if has_narrow else none),
            "most": self.most[0],
            "narrow_most": self.most[1],
        }

    def _by_panels(self, panels: int) -> bool:
        """Whether threads own panels: they come out even, or there are plenty."""
        return panels % self.workers == 0 or panels >= 8 * self.workers

    def _scratch(self, size: int) -> np.ndarray:
        """Memory of `size` bytes for each worker, which no op reads that has not written it."""
        return self.buffers.scratch(size * self.workers)

    def _at(self, name: str) -> tuple[int, int]:
        matrix = self.buffers.matrix(name)
        return matrix.address, matrix.pitch

    def _over_rows(self, spec: Pointwise, names, *, sums: str | None = None, scalars=None) -> None:
        first, *others = (self._at(name) for name in names)
        if sums:
            others.append((self.buffers.vector(sums).ctypes.data, self.size))
        table = operands(*others, scalars=scalars.ctypes.data if scalars is not None else 0)
        self.plan.keep(scalars)
        columns = self.buffers.matrix(names[0]).array.shape[1]
        self.plan.add(
            catalog.op("rows", "over_rows", self.dtype), m=self.rows, columns=columns,
            first=first[0], first_step=0, first_pitch=first[1], formula=spec.kernel(self.dtype),
            operands=table,
        )  # fmt: skip

    def _needs(self, name: str) -> bool:
        return name in self.results or any(name in call.reads for call in self.calls)

    def _take(self, op: str, *, reads: str = "", writes: str = "", run: bool = False):
        """Remove the call that matches and return it; with `run`, lower it now."""
        for i, call in enumerate(self.calls):
            if call.op == op and (reads in call.reads or not reads) and (
                writes in call.writes or not writes
            ):
                del self.calls[i]
                if run:
                    getattr(self, f"_{op}")(call)
                return call
        return None


def _live(calls, results: set[str]) -> list[Call]:
    """Calls whose results somebody reads."""
    wanted, live = set(results), []
    for call in reversed(calls):
        if call.op == "update" or wanted & set(call.writes):
            wanted |= set(call.reads)
            live.append(call)
    return live[::-1]


def _blocks(totals) -> set[int]:
    """Row counts of the blocks that these totals are cut into."""
    return {min(BLOCK_ROWS, t) for t in totals} | {t % BLOCK_ROWS for t in totals if t > BLOCK_ROWS}


def _starts(k: int, lanes: int, workers: int) -> set[int]:
    """Where the workers' shares of k rows begin, in whole vectors."""
    blocks = -(-k // lanes)
    return {blocks * w // workers * lanes for w in range(workers)}

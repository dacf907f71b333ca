"""An update rule on the caller's arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..cpu.direct import elementwise
from ..cpu.elementwise import elementwise_door
from ..cpu.pointwise import Pointwise


class Rule:
    """An update rule as a function of arrays and numbers, or of lists of arrays."""

    def __init__(self, who: str, update: Callable, scalars: int, states: Sequence[str]):
        self.who, self.names = who, ("grad", "param", *states)
        kept = 1 + len(states)
        self._spec = Pointwise(f"update {who}", update, 1 + kept, kept, scalars)

        def python(*arguments):
            count = len(self.names)
            self._one(arguments[:count], [float(number) for number in arguments[count:]])

        python.__name__ = python.__qualname__ = who
        python.__doc__ = f"One array of `{who}`."
        numbers = [f"number{i}" for i in range(scalars)]
        self._door = elementwise_door(
            self._spec, python, [*self.names, *numbers], in_place=True
        )  # fmt: skip

    def __call__(self, grad, param, *more) -> None:
        """Update `param` and the states in `more`, with the numbers that follow them."""
        if type(param) is np.ndarray or not isinstance(param, (list, tuple)):
            self._door(grad, param, *more)
            return
        count = len(self.names)
        arrays, numbers = (grad, param, *more)[:count], more[count - 2 :]
        for name, entries in zip(self.names, arrays, strict=True):
            if not isinstance(entries, list | tuple) or len(entries) != len(param):
                size = len(entries) if isinstance(entries, list | tuple) else "not a list"
                raise ValueError(
                    f"[{self.who}] there are {len(param)} params but {size} of {name}."
                )
        groups = list(zip(*arrays, strict=True))
        for group in groups:  # all is checked before anything changes
            self._check(group)
        for group in groups:
            self._door(*group, *numbers)

    def _check(self, arrays: Sequence) -> None:
        grad, param = arrays[0], arrays[1]
        for name, array in zip(self.names[1:], arrays[1:], strict=True):
            if not isinstance(array, np.ndarray):
                raise TypeError(
                    f"[{self.who}] {name} is a {type(array).__name__}; pass a NumPy array."
                )
            if array.dtype not in (np.float32, np.float64) or array.dtype != param.dtype:
                raise TypeError(
                    f"[{self.who}] {name} has dtype {array.dtype} and param has {param.dtype}; "
                    "both must be float32 or both float64."
                )
            if not array.flags.writeable:
                raise ValueError(f"[{self.who}] {name} is read-only; it is updated in place.")
        if np.asarray(grad).dtype.kind not in "fiub":
            raise TypeError(
                f"[{self.who}] grad has dtype {np.asarray(grad).dtype}; it must be real."
            )
        for name, array in zip(self.names, arrays, strict=True):
            if np.shape(array) != param.shape:
                raise ValueError(
                    f"[{self.who}] param has shape {param.shape} but {name} has shape "
                    f"{np.shape(array)}; both must be equal."
                )

    def _one(self, arrays: Sequence, numbers: Sequence[float]) -> None:
        self._check(arrays)
        grad, *kept = arrays
        if not kept[0].size:
            return
        if all(a.flags.f_contiguous and a.flags.aligned for a in kept):
            kept = [a.T for a in kept]
            grad = np.transpose(grad)
        grad = np.ascontiguousarray(grad, kept[0].dtype)
        # A view with gaps is updated in a copy, which is then written back into it.
        plain = [a.flags.c_contiguous and a.flags.aligned for a in kept]
        targets = [a if ok else np.array(a, order="C") for a, ok in zip(kept, plain, strict=True)]
        if any(np.may_share_memory(grad, a) and grad.ctypes.data != a.ctypes.data for a in targets):
            grad = grad.copy()
        elementwise(self._spec, [grad, *targets], targets, numbers)
        for array, target in zip(kept, targets, strict=True):
            if array is not target:
                array[...] = target

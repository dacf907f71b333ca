"""An update rule on the caller's arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ..cpu.direct import elementwise
from ..cpu.elementwise import elementwise_door
from ..cpu.pointwise import Pointwise
from .arrays import F32, F64


class Rule:
    """An update rule as a function of arrays and numbers; of lists or dictionaries of arrays."""

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
        if type(param) is np.ndarray or not isinstance(param, (list, tuple, dict)):
            self._door(grad, param, *more)
            return
        count = len(self.names)
        arrays, numbers = (grad, param, *more)[:count], more[count - 2 :]
        keys = param.keys() if isinstance(param, dict) else range(len(param))
        for name, entries in zip(self.names, arrays, strict=True):
            theirs = entries.keys() if isinstance(entries, dict) else range(len(entries))
            if keys != theirs:
                raise ValueError(
                    f"[{self.who}] param has the entries {list(keys)} and {name} has "
                    f"{list(theirs)}; they must be the same."
                )
        groups = [[entries[key] for entries in arrays] for key in keys]
        for group in groups:  # all is checked before anything changes
            self._check(group)
        for group in groups:
            self._door(*group, *numbers)

    def _check(self, arrays: Sequence) -> None:
        grad, param = arrays[0], arrays[1]
        if all(
            type(a) is np.ndarray and a.dtype is param.dtype and a.shape == param.shape
            and a.flags.writeable
            for a in arrays
        ) and (param.dtype is F32 or param.dtype is F64):  # fmt: skip
            return
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

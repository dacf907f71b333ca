"""An update rule on the caller's arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ..cpu.direct import elementwise
from ..cpu.elementwise import elementwise_door
from ..cpu.pointwise import Pointwise
from .arrays import F32, F64, gpu_of, same_shape


def rule(who: str, update: Callable, scalars: int, states: Sequence[str]) -> Any:
    """``f(grad, param, *states, *numbers)``: an update in place.

    All arrays may be lists or dictionaries of arrays with the same entries.
    """
    general = _Rule(who, update, scalars, states)
    names = [*general.names, *(f"number{i}" for i in range(scalars))]
    general.door = elementwise_door(general.spec, general, names, in_place=True)
    return general.door


class _Rule:
    """What an update does with anything but plain arrays."""

    door: Any

    def __init__(self, who: str, update: Callable, scalars: int, states: Sequence[str]):
        self.who, self.names = who, ("grad", "param", *states)
        self.__name__, self.__doc__ = who, f"One step of `{who}`."
        kept = 1 + len(states)
        self.spec = Pointwise(f"update {who}", update, 1 + kept, kept, scalars)

    def __call__(self, *arguments) -> None:
        """Update one array, or each of several."""
        count = len(self.names)
        arrays = arguments[:count]
        numbers = [float(number) for number in arguments[count:]]
        param = arrays[1]
        if not isinstance(param, (list, tuple, dict)):
            self._one(arrays, numbers)
            return
        keys = param.keys() if isinstance(param, dict) else range(len(param))
        for name, entries in zip(self.names, arrays, strict=True):
            if not isinstance(entries, (list, tuple, dict)):
                raise TypeError(
                    f"[{self.who}] param is a {type(param).__name__} and {name} is a "
                    f"{type(entries).__name__}; pass one entry for each."
                )
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
            self.door(*group, *numbers)

    def _check(self, arrays: Sequence) -> None:
        grad, param = arrays[0], arrays[1]
        if type(param) is np.ndarray and all(
            type(a) is np.ndarray and a.dtype is param.dtype and a.shape == param.shape
            and a.flags.writeable
            for a in arrays
        ) and (param.dtype is F32 or param.dtype is F64):  # fmt: skip
            return
        on = gpu_of(*arrays)
        if on:
            arrays = on.arrays(self.who, **dict(zip(self.names, arrays, strict=True)))
        else:
            arrays = [np.asarray(grad), *arrays[1:]]
        grad, param = arrays[0], arrays[1]
        for name, array in zip(self.names[1:], arrays[1:], strict=True):
            if not on and not isinstance(array, np.ndarray):
                raise TypeError(
                    f"[{self.who}] {name} is a {type(array).__name__}; pass a NumPy array."
                )
            if array.dtype not in (F32, F64) or array.dtype != param.dtype:
                raise TypeError(
                    f"[{self.who}] {name} has dtype {array.dtype} and param has {param.dtype}; "
                    "both must be float32 or both float64."
                )
            if not on and not array.flags.writeable:
                raise ValueError(f"[{self.who}] {name} is read-only; it is updated in place.")
        if grad.dtype.kind not in "fiub":
            raise TypeError(f"[{self.who}] grad has dtype {grad.dtype}; it must be real.")
        names = ("param", "grad", *self.names[2:])
        same_shape(self.who, **dict(zip(names, (param, grad, *arrays[2:]), strict=True)))

    def _one(self, arrays: Sequence, numbers: Sequence[float]) -> None:
        self._check(arrays)
        on = gpu_of(*arrays)
        if on:
            from .gpu.updates import update

            update(on, self.spec, dict(zip(self.names, arrays, strict=True)), numbers)
            return
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
        elementwise(self.spec, [grad, *targets], targets, numbers)
        for array, target in zip(kept, targets, strict=True):
            if array is not target:
                array[...] = target

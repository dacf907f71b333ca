"""Optimizer updates, in place on the caller's arrays."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..cpu.direct import elementwise
from ..cpu.pointwise import Pointwise
from ..vocabulary import fma, maximum, sqrt


def _sgd(g, w, rate, decay):
    return w - rate * fma(decay, w, g)


def _sgd_momentum(g, w, v, rate, decay, momentum, keep):
    v = fma(momentum, v, keep * fma(decay, w, g))
    return w - rate * v, v


def _sgd_nesterov(g, w, v, rate, decay, momentum, keep):
    g = fma(decay, w, g)
    v = fma(momentum, v, keep * g)
    return w - rate * fma(momentum, v, g), v


def _adam(g, w, m, v, beta1, rest1, beta2, rest2, rate, root, eps, decay, shrink):
    g = fma(decay, w, g)
    m = fma(beta1, m, rest1 * g)
    v = fma(beta2, v, rest2 * g * g)
    return w * shrink - rate * m / fma(sqrt(v), root, eps), m, v


def _rmsprop(g, w, v, rate, rho, rest, eps):
    v = fma(rho, v, rest * g * g)
    return w - rate * g / (sqrt(v) + eps), v


_RULES = {
    "sgd": Pointwise("sgd_update", _sgd, 2, 1, 2),
    "momentum": Pointwise("sgd_update momentum", _sgd_momentum, 3, 2, 4),
    "nesterov": Pointwise("sgd_update nesterov", _sgd_nesterov, 3, 2, 4),
    "adam": Pointwise("adam_update", _adam, 4, 3, 9),
    "rmsprop": Pointwise("rmsprop_update", _rmsprop, 3, 2, 4),
}


def _update(who: str, rule: str, arrays: dict, scalars) -> None:
    """Run a rule on one parameter, or on each of a list of them; all is checked first."""
    lists = {name: a if isinstance(a, list | tuple) else [a] for name, a in arrays.items()}
    count = len(lists["param"])
    for name, entries in lists.items():
        if len(entries) != count:
            raise ValueError(f"[{who}] there are {count} params but {len(entries)} of {name}.")
    groups = list(zip(*lists.values(), strict=True))
    for group in groups:
        _check(who, dict(zip(lists, group, strict=True)))
    for param, grad, *states in groups:
        if not param.size:
            continue
        grad = np.ascontiguousarray(grad, param.dtype)
        kept = [param, *states]
        # A view with gaps is updated in a copy, which is then written back into it.
        targets = [a if a.flags.c_contiguous else np.ascontiguousarray(a) for a in kept]
        elementwise(_RULES[rule], [grad, *targets], targets, scalars)
        for array, target in zip(kept, targets, strict=True):
            if array is not target:
                array[...] = target


def _check(who: str, arrays: dict) -> None:
    param = arrays["param"]
    for name, array in arrays.items():
        if name == "grad":
            arrays[name] = array = np.asarray(array)
            if array.dtype.kind not in "fiub":
                raise TypeError(f"[{who}] grad has dtype {array.dtype}; it must be real.")
        elif not isinstance(array, np.ndarray):
            raise TypeError(f"[{who}] {name} is a {type(array).__name__}; pass a NumPy array.")
        elif array.dtype not in (np.float32, np.float64) or array.dtype != param.dtype:
            raise TypeError(
                f"[{who}] {name} has dtype {array.dtype} and param has {param.dtype}; both must be "
                "float32 or both float64."
            )
        elif not array.flags.writeable:
            raise ValueError(f"[{who}] {name} is read-only; it is updated in place.")
        if array.shape != param.shape:
            raise ValueError(
                f"[{who}] param has shape {param.shape} but {name} has shape {array.shape}; both "
                "must be equal."
            )


def sgd_update(
    param, grad, *, lr, velocity=None, momentum=0, dampening=0, nesterov=False, weight_decay=0
) -> None:
    """Gradient descent: ``v = momentum v + (1 - dampening) g; param -= lr v``, in place.

    Parameters
    ----------
    param : ndarray, or list of them
        float32 or float64; may be views.
    grad : array_like of param's shape, or list
    lr : float
    velocity : ndarray, or list, needed with momentum
        Starts as zeros, and is updated too.
    momentum, dampening : float
    nesterov : bool
        Step along ``g + momentum v`` instead (Sutskever et al. 2013).
    weight_decay : float
        Adds ``weight_decay * param`` to the gradient.

    Raises
    ------
    TypeError, ValueError
        Before anything has changed.
    """
    if not momentum:
        _update("sgd_update", "sgd", {"param": param, "grad": grad}, (lr, weight_decay))
        return
    if velocity is None:
        raise ValueError(
            f"[sgd_update] momentum is {momentum} and velocity is missing; pass an array of zeros "
            "like param."
        )
    _update(
        "sgd_update", "nesterov" if nesterov else "momentum",
        {"param": param, "grad": grad, "velocity": velocity},
        (lr, weight_decay, momentum, 1 - dampening),
    )  # fmt: skip


def adam_update(
    param, grad, m, v, *, step, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0,
    decoupled=False, amsgrad=False, v_max=None,
) -> None:  # fmt: skip
    """Adam (Kingma & Ba 2015): ``param -= lr m_hat / (sqrt(v_hat) + eps)``, in place.

    Parameters
    ----------
    param : ndarray, or list of them
        float32 or float64; may be views.
    grad : array_like of param's shape, or list
    m, v : ndarray, or lists
        The moving averages; they start as zeros, and are updated too.
    step : int
        Number of this update, from 1.
    lr, beta1, beta2, eps : float
    weight_decay : float
        Adds ``weight_decay * param`` to the gradient; `decoupled`, shrinks param by
        ``lr * weight_decay`` instead (AdamW, Loshchilov & Hutter 2019).
    amsgrad : bool
        Divide by the largest v so far (Reddi et al. 2018), which is kept in `v_max`.
    v_max : ndarray, or list, needed with amsgrad

    Raises
    ------
    TypeError, ValueError
        Before anything has changed.
    """
    if step < 1:
        raise ValueError(f"[adam_update] step is {step}; the first update is step 1.")
    scalars = [
        beta1, 1 - beta1, beta2, 1 - beta2, lr / (1 - beta1**step), 1 / np.sqrt(1 - beta2**step),
        eps, 0.0 if decoupled else weight_decay, 1 - lr * weight_decay if decoupled else 1.0,
    ]  # fmt: skip
    arrays = {"param": param, "grad": grad, "m": m, "v": v}
    if amsgrad:
        if v_max is None:
            raise ValueError("[adam_update] amsgrad needs v_max: pass an array of zeros like v.")
        arrays["v_max"] = v_max
    _update("adam_update", "amsgrad" if amsgrad else "adam", arrays, scalars)


def _amsgrad(g, w, m, v, top, beta1, rest1, beta2, rest2, rate, root, eps, decay, shrink):
    g = fma(decay, w, g)
    m = fma(beta1, m, rest1 * g)
    v = fma(beta2, v, rest2 * g * g)
    top = maximum(top, v)
    return w * shrink - rate * m / fma(sqrt(top), root, eps), m, v, top


_RULES["amsgrad"] = Pointwise("adam_update amsgrad", _amsgrad, 5, 4, 9)


def rmsprop_update(param, grad, v, *, lr=0.01, rho=0.99, eps=1e-8) -> None:
    """RMSprop (Tieleman & Hinton 2012): ``param -= lr g / (sqrt(v) + eps)``, in place.

    Parameters
    ----------
    param : ndarray, or list of them
        float32 or float64; may be views.
    grad : array_like of param's shape, or list
    v : ndarray, or list
        Moving average of the squared gradient; starts as zeros, and is updated too.
    lr, rho, eps : float

    Raises
    ------
    TypeError, ValueError
        Before anything has changed.
    """
    arrays = {"param": param, "grad": grad, "v": v}
    _update("rmsprop_update", "rmsprop", arrays, (lr, rho, 1 - rho, eps))


FUNCTIONS: dict[str, Callable] = {
    "sgd_update": sgd_update,
    "adam_update": adam_update,
    "rmsprop_update": rmsprop_update,
}

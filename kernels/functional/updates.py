"""Optimizer updates, in place on the caller's arrays."""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import Any

from ..formulas import UPDATES
from .rule import rule

VELOCITY, HEAVY_BALL, EMA = "velocity", "heavy_ball", "ema"
EXPLICIT, FOLDED, NONE = "explicit", "folded", "none"


def _rule(who: str, name: str, *states: str) -> Any:
    entry = UPDATES[name]
    return rule(who, entry.update, entry.scalars, states)


_SGD = _rule("sgd_update", "sgd")
_MOMENTUM = _rule("sgd_update", "momentum", "velocity")
_NESTEROV = _rule("sgd_update", "nesterov", "velocity")
_ADAM = _rule("adam_update", "adam", "m", "v")
_AMSGRAD = _rule("adam_update", "amsgrad", "m", "v", "v_max")
_NADAM = _rule("nadam_update", "nadam", "m", "v")
_ADAMAX = _rule("adamax_update", "adamax", "m", "u")
_RMSPROP = _rule("rmsprop_update", "rmsprop", "v")
_RMSPROP_MOMENTUM = _rule("rmsprop_update", "rmsprop_momentum", "v", "velocity")
_ADAGRAD = _rule("adagrad_update", "adagrad", "total")
_ADADELTA = _rule("adadelta_update", "adadelta", "square", "change")


def sgd_update(
    param, grad, *, lr, velocity=None, momentum=0.0, dampening=0.0, nesterov=False,
    weight_decay=0.0, form=VELOCITY,
) -> None:  # fmt: skip
    """Gradient descent with or without momentum, in place: ``param -= lr grad``.

    Parameters
    ----------
    param : ndarray, or list or dictionary of them
        float32 or float64; may be views.
    grad : array_like of param's shape, or list or dictionary
    lr : float
    velocity : like param, needed with momentum
        Starts as zeros, and is updated too.
    momentum, dampening : float
    nesterov : bool
        Look ahead by one more step of the velocity (Sutskever et al. 2013).
    weight_decay : float
        Adds ``weight_decay * param`` to the gradient.
    form : {"velocity", "heavy_ball", "ema"}
        What the velocity v is (g gradient, w param):

        - "velocity": ``v = momentum v + (1 - dampening) g; w -= lr v``, as in PyTorch
        - "heavy_ball": ``v = momentum v - lr g; w += v`` (Polyak 1964), as in Keras
        - "ema": ``v = momentum v + (1 - momentum) g; w -= lr v``, a moving average

    Raises
    ------
    TypeError, ValueError
        Before anything has changed.
    """
    lr = float(lr)
    if not momentum:
        _SGD(grad, param, lr, weight_decay)
        return
    if velocity is None:
        raise ValueError(
            f"[sgd_update] momentum is {momentum} and velocity is missing; pass an array of zeros "
            "like param."
        )
    if form == VELOCITY:
        gain, rate = 1.0 - dampening, lr
    elif form == EMA:
        gain, rate = 1.0 - momentum, lr
    elif form == HEAVY_BALL:
        gain, rate = -lr, -1.0
    else:
        raise ValueError(
            f"[sgd_update] form is {form!r}; it must be {VELOCITY!r}, {HEAVY_BALL!r} or {EMA!r}."
        )
    if nesterov:
        _NESTEROV(grad, param, velocity, rate, weight_decay, momentum, gain, rate * gain)
    else:
        _MOMENTUM(grad, param, velocity, rate, weight_decay, momentum, gain)


def adam_update(
    param, grad, m, v, *, step, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0,
    decoupled=False, amsgrad=False, v_max=None, bias_correction=EXPLICIT, eps_inside=False,
) -> None:  # fmt: skip
    """Adam (Kingma & Ba 2015): ``param -= lr m_hat / (sqrt(v_hat) + eps)``, in place.

    Parameters
    ----------
    param : ndarray, or list or dictionary of them
        float32 or float64; may be views.
    grad : array_like of param's shape, or list or dictionary
    m, v : like param
        The moving averages; they start as zeros, and are updated too.
    step : int
        Number of this update, from 1.
    lr, beta1, beta2, eps : float
    weight_decay : float
        Adds ``weight_decay * param`` to the gradient; `decoupled`, shrinks param by
        ``lr * weight_decay`` instead (AdamW, Loshchilov & Hutter 2019).
    amsgrad : bool
        Divide by the largest v so far (Reddi et al. 2018), which is kept in `v_max`.
    v_max : like param, needed with amsgrad
    bias_correction : {"explicit", "folded", "none"}
        "explicit" divides m and v by ``1 - beta**step``, as in PyTorch; "folded" puts both into
        lr, so that eps is not corrected, as in Keras; "none" takes m and v as they are.
    eps_inside : bool
        ``sqrt(v + eps)`` instead of ``sqrt(v) + eps``.

    Raises
    ------
    TypeError, ValueError
        Before anything has changed.
    """
    if not type(lr) is type(beta1) is type(beta2) is float:
        lr, beta1, beta2 = float(lr), float(beta1), float(beta2)  # NumPy's scalars would round
    if step < 1:
        raise ValueError(f"[adam_update] step is {step}; the first update is step 1.")
    if bias_correction == EXPLICIT:
        rate, correction = lr / (1.0 - beta1**step), 1.0 / (1.0 - beta2**step)
    elif bias_correction == FOLDED:
        rate, correction = lr * sqrt(1.0 - beta2**step) / (1.0 - beta1**step), 1.0
    elif bias_correction == NONE:
        rate, correction = lr, 1.0
    else:
        raise ValueError(
            f"[adam_update] bias_correction is {bias_correction!r}; it must be {EXPLICIT!r}, "
            f"{FOLDED!r} or {NONE!r}."
        )
    numbers = (
        beta1, 1.0 - beta1, beta2, 1.0 - beta2, rate, correction, eps if eps_inside else 0.0,
        0.0 if eps_inside else eps, 0.0 if decoupled else weight_decay,
        1.0 - lr * weight_decay if decoupled else 1.0,
    )  # fmt: skip
    if not amsgrad:
        _ADAM(grad, param, m, v, *numbers)
        return
    if v_max is None:
        raise ValueError("[adam_update] amsgrad needs v_max: pass an array of zeros like v.")
    _AMSGRAD(grad, param, m, v, v_max, *numbers)


def nadam_update(
    param, grad, m, v, *, step, lr=0.002, beta1=0.9, beta2=0.999, eps=1e-8, momentum_decay=0.004,
    weight_decay=0.0,
) -> None:  # fmt: skip
    """Adam with Nesterov momentum (Dozat 2016), with the schedule of momenta of PyTorch, in place.

    Step t has the momentum ``mu(t) = beta1 (1 - 0.96**(t momentum_decay) / 2)`` and takes
    ``param -= lr (mu(t + 1) m / (1 - mu(1) ... mu(t + 1)) + (1 - mu(t)) grad /
    (1 - mu(1) ... mu(t))) / (sqrt(v_hat) + eps)``.

    Parameters
    ----------
    param, grad, m, v, step, lr, beta1, beta2, eps
        As for `adam_update`.
    momentum_decay : float
    weight_decay : float
        Adds ``weight_decay * param`` to the gradient.

    Raises
    ------
    TypeError, ValueError
        Before anything has changed.
    """
    lr, beta1, beta2 = float(lr), float(beta1), float(beta2)
    if step < 1:
        raise ValueError(f"[nadam_update] step is {step}; the first update is step 1.")
    momenta = _momenta(beta1, momentum_decay, step + 1)
    (now, product), (ahead, later) = momenta[step], momenta[step + 1]
    _NADAM(
        grad, param, m, v, beta1, 1.0 - beta1, beta2, 1.0 - beta2, lr * ahead / (1.0 - later),
        lr * (1.0 - now) / (1.0 - product), 1.0 / (1.0 - beta2**step), eps, weight_decay,
    )  # fmt: skip


_schedules: dict[tuple[float, float], list[tuple[float, float]]] = {}


def _momenta(beta1: float, decay: float, steps: int) -> list[tuple[float, float]]:
    """(momentum of the step, product of all so far), from step 0 to `steps` or beyond."""
    found = _schedules.setdefault((beta1, decay), [(1.0, 1.0)])
    while len(found) <= steps:
        momentum = beta1 * (1.0 - 0.5 * 0.96 ** (len(found) * decay))
        found.append((momentum, found[-1][1] * momentum))
    return found


def adamax_update(
    param, grad, m, u, *, step, lr=0.002, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.0
) -> None:
    """Adam with the largest gradient instead of the mean square (Kingma & Ba 2015), in place.

    ``u = max(beta2 u, abs(grad) + eps); param -= lr m_hat / u``.

    Parameters
    ----------
    param, grad, m, u : as for `adam_update`, u being the decaying maximum
    step, lr, beta1, beta2, eps, weight_decay
        As for `adam_update`.

    Raises
    ------
    TypeError, ValueError
        Before anything has changed.
    """
    lr, beta1, beta2 = float(lr), float(beta1), float(beta2)
    if step < 1:
        raise ValueError(f"[adamax_update] step is {step}; the first update is step 1.")
    rate = lr / (1.0 - beta1**step)
    _ADAMAX(grad, param, m, u, beta1, 1.0 - beta1, beta2, rate, eps, weight_decay)


def rmsprop_update(
    param, grad, v, *, lr=0.01, rho=0.99, eps=1e-8, eps_inside=False, momentum=0.0, velocity=None,
    weight_decay=0.0,
) -> None:  # fmt: skip
    """RMSprop (Tieleman & Hinton 2012): ``param -= lr grad / (sqrt(v) + eps)``, in place.

    Parameters
    ----------
    param : ndarray, or list or dictionary of them
        float32 or float64; may be views.
    grad : array_like of param's shape, or list or dictionary
    v : like param
        Moving average of the squared gradient; starts as zeros, and is updated too.
    lr, rho, eps : float
    eps_inside : bool
        ``sqrt(v + eps)``, as in Keras, instead of ``sqrt(v) + eps``, as in PyTorch.
    momentum : float
        Of the quotient, kept in `velocity`.
    velocity : like param, needed with momentum
    weight_decay : float
        Adds ``weight_decay * param`` to the gradient.

    Raises
    ------
    TypeError, ValueError
        Before anything has changed.
    """
    inner, outer = (eps, 0.0) if eps_inside else (0.0, eps)
    if not momentum:
        _RMSPROP(grad, param, v, lr, rho, 1.0 - rho, inner, outer, weight_decay)
        return
    if velocity is None:
        raise ValueError(
            f"[rmsprop_update] momentum is {momentum} and velocity is missing; pass an array of "
            "zeros like param."
        )
    _RMSPROP_MOMENTUM(
        grad, param, v, velocity, lr, rho, 1.0 - rho, inner, outer, weight_decay, momentum
    )


def adagrad_update(
    param, grad, total, *, lr=0.01, eps=1e-10, eps_inside=False, weight_decay=0.0
) -> None:
    """Adagrad (Duchi et al. 2011): ``param -= lr grad / (sqrt(total) + eps)``, in place.

    Parameters
    ----------
    param : ndarray, or list or dictionary of them
        float32 or float64; may be views.
    grad : array_like of param's shape, or list or dictionary
    total : like param
        Sum of the squared gradients; starts as zeros (Keras: 0.1), and is updated too.
    lr, eps : float
    eps_inside : bool
        ``sqrt(total + eps)``, as in Keras, instead of ``sqrt(total) + eps``, as in PyTorch.
    weight_decay : float
        Adds ``weight_decay * param`` to the gradient.

    Raises
    ------
    TypeError, ValueError
        Before anything has changed.
    """
    inner, outer = (eps, 0.0) if eps_inside else (0.0, eps)
    _ADAGRAD(grad, param, total, lr, inner, outer, weight_decay)


def adadelta_update(
    param, grad, square, change, *, lr=1.0, rho=0.9, eps=1e-6, weight_decay=0.0
) -> None:
    """Adadelta (Zeiler 2012), in place.

    ``param -= lr grad sqrt(change + eps) / sqrt(square + eps)``.

    Parameters
    ----------
    param : ndarray, or list or dictionary of them
        float32 or float64; may be views.
    grad : array_like of param's shape, or list or dictionary
    square, change : like param
        Moving averages of the squared gradient and of the squared step (without lr); they start as
        zeros, and are updated too.
    lr, rho, eps : float
    weight_decay : float
        Adds ``weight_decay * param`` to the gradient.

    Raises
    ------
    TypeError, ValueError
        Before anything has changed.
    """
    _ADADELTA(grad, param, square, change, lr, rho, 1.0 - rho, eps, weight_decay)


FUNCTIONS: dict[str, Callable] = {
    function.__name__: function
    for function in (
        sgd_update, adam_update, nadam_update, adamax_update, rmsprop_update, adagrad_update,
        adadelta_update,
    )
}  # fmt: skip

"""Arrays of any library that keeps them on the GPU, as CuPy arrays of the same memory."""

from __future__ import annotations

from typing import Any

import numpy as np

CUDA, CUDA_MANAGED = 2, 13  # DLPack's numbers of device types


def adopt(cupy: Any, name: str, array: Any, device: int) -> Any:
    """`array` as a CuPy array, without a copy.

    Parameters
    ----------
    cupy : module
    name : str
        What messages call it.
    array : cupy.ndarray, or an object with ``__dlpack__`` or ``__cuda_array_interface__``
        bfloat16 becomes uint16 of the same bits.
    device : int
        Number of the GPU on which it has to be.

    Raises
    ------
    TypeError
        It is not on a GPU.
    ValueError
        It is on another GPU.
    """
    found = array if isinstance(array, cupy.ndarray) else _imported(cupy, name, array)
    if found.device.id != device:
        raise ValueError(
            f"[{name}] is on GPU {found.device.id} but the kernels run on GPU {device}; copy it "
            f"there."
        )
    return found.view("uint16") if found.dtype.name == "bfloat16" else found


def _imported(cupy: Any, name: str, array: Any) -> Any:
    if isinstance(array, np.ndarray | np.generic):
        raise TypeError(
            f"[{name}] is a NumPy array among arrays on the GPU; move it there with cupy.asarray."
        )
    if hasattr(array, "__dlpack_device__"):
        kind = int(array.__dlpack_device__()[0])
        if kind not in (CUDA, CUDA_MANAGED):
            raise TypeError(
                f"[{name}] is not in a GPU's memory (DLPack device type {kind}); move it there."
            )
        return cupy.from_dlpack(array)
    if hasattr(array, "__cuda_array_interface__"):
        return cupy.asarray(array)
    raise TypeError(f"[{name}] got a {type(array).__name__}; pass an array on the GPU.")

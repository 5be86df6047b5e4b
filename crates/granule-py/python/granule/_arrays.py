"""Arrays as granule takes them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._errors import GranuleTypeError, GranuleValueError

#: DLPack's number of memory that the CPU reads.
_CPU = 1


def singles(packed: tuple[bytearray, list[int]]) -> NDArray[np.float32]:
    """An array of single precision from its bytes and its shape."""
    return np.ndarray(tuple(packed[1]), np.float32, packed[0])


def doubles(packed: tuple[bytearray, list[int]]) -> NDArray[np.float64]:
    """The same of double precision."""
    return np.ndarray(tuple(packed[1]), np.float64, packed[0])


def as_array(value: Any, what: str) -> NDArray[Any]:
    """Anything with ``__array__``, DLPack on the CPU, and nested lists, as an array of numbers of the machine's own byte
    order that lies in C order.

    Raises ``GranuleTypeError`` for what holds no real numbers, ``GranuleValueError`` for masked values.
    """
    if isinstance(value, np.ma.MaskedArray) and np.ma.is_masked(value):
        raise GranuleValueError(
            f"{what}: it has masked values; fill them, as {what}.filled(0) does, or leave such samples out"
        )
    if hasattr(value, "__dlpack__") and not hasattr(value, "__array__"):
        array = _from_dlpack(value, what)
    elif type(value).__module__.startswith("scipy.sparse"):
        raise GranuleTypeError(f"{what}: it is sparse; give {what}.toarray()")
    else:
        try:
            array = np.asarray(value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise GranuleValueError(f"{what}: it is no array of numbers: {error}") from error
    if array.dtype.kind == "O":
        # NumPy would read texts as numbers, and None as NaN.
        other = next((item for item in array.ravel() if item is None or isinstance(item, (str, bytes))), array)
        if other is not array:
            raise GranuleTypeError(f"{what}: it is no array of numbers: it has {other!r}")
        whole = all(isinstance(item, (int, np.integer)) for item in array.ravel())
        try:
            array = array.astype(np.int64 if whole else np.float64)
        except OverflowError as error:
            raise GranuleValueError(f"{what}: a number is too large: {error}") from error
        except (TypeError, ValueError) as error:
            raise GranuleTypeError(f"{what}: it is no array of numbers: {error}") from error
    if array.dtype.kind not in "buif":
        raise GranuleTypeError(f"{what}: elements of type {array.dtype}; real numbers are taken")
    if array.dtype.kind == "b":
        array = array.astype(np.float32)
    elif array.dtype.kind == "f":
        wide = array.dtype.itemsize > 4
        array = array.astype(np.float64 if wide else np.float32, copy=False)
    else:
        array = array.astype(array.dtype.newbyteorder("="), copy=False)
    return np.ascontiguousarray(array) if array.ndim else array


def _from_dlpack(value: Any, what: str) -> NDArray[Any]:
    try:
        device, _ = value.__dlpack_device__()
        if device == _CPU:
            return np.asarray(np.from_dlpack(value))
    except (AttributeError, BufferError, RuntimeError, TypeError, ValueError) as error:
        raise GranuleTypeError(f"{what}: it cannot be read by DLPack: {error}") from error
    raise GranuleTypeError(f"{what}: it lies on another device than the CPU; copy it there first")


def as_floats(value: Any, what: str) -> NDArray[np.float64]:
    """As ``as_array``, in double precision, and finite."""
    array = as_array(value, what).astype(np.float64, copy=False)
    check_finite(array, what)
    return array


def check_finite(array: NDArray[Any], what: str) -> None:
    """Raises ``GranuleValueError`` for the first NaN or infinity."""
    if array.dtype.kind != "f":
        return
    finite = np.isfinite(array)
    if not finite.all():
        place = np.unravel_index(int(np.argmin(finite)), array.shape)
        at = ", ".join(str(int(index)) for index in place)
        name = "NaN" if np.isnan(array[place]) else "infinity"
        raise GranuleValueError(
            f"{what}[{at}] is {name}; every value must be finite: leave such samples out, or replace the numbers, as "
            "numpy.nan_to_num does"
        )


def is_integer(array: NDArray[Any]) -> bool:
    """Whether the elements are integers."""
    return array.dtype.kind in "ui"


def as_pixels(array: NDArray[Any], what: str) -> NDArray[Any]:
    """Integers of images: 0 to 255."""
    if array.dtype == np.uint8:
        return array
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    if low < 0 or high > 255:
        raise GranuleValueError(
            f"{what}: integers of images go from 0 to 255, these from {low} to {high}; scale them to floats from 0 to 1"
        )
    return array.astype(np.uint8)


def arranged(
    array: NDArray[Any], kind: str, extents: tuple[int, ...], what: str
) -> tuple[bool, int]:
    """Whether an array is one sample, and how many it has.

    A sample of the extents ``(c, h, w)`` is one array of them, ``(h, w)`` where ``c`` is 1, or in a batch also flat. A
    batch has one axis more, in front.
    """
    shape = array.shape
    squeezed = extents[1:] if kind == "image" and extents[0] == 1 else extents
    if kind == "sequence" and extents[-1] == 1:
        squeezed = extents[:-1]
    if shape in (extents, squeezed):
        return True, 1
    flat = (int(np.prod(extents)),)
    if len(shape) > 0 and shape[1:] in (extents, squeezed, flat):
        return False, shape[0]
    names = {"image": "(channels, height, width)", "vector": "(features,)", "sequence": "(steps, channels)"}
    hint = ""
    if kind == "image" and shape[-3:] == (*extents[1:], extents[0]):
        axes = "(2, 0, 1)" if len(shape) == 3 else "(0, 3, 1, 2)"
        hint = f"; the channels come first: give {what}.transpose{axes}"
    raise GranuleValueError(
        f"{what}: the model takes {extents} {names[kind]}, or a batch of such with one axis more in front, but the shape is "
        f"{shape}{hint}"
    )

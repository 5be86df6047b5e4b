"""Trained models."""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._arrays import arranged, as_array, as_pixels, check_finite, is_integer, singles
from ._errors import GranuleTypeError, GranuleValueError
from ._granule import NativeModel

__all__ = ["Model", "load"]


class Model:
    """A trained model. Made by :func:`load`, by a run or by :func:`fit`; it never changes, and any number of threads may
    use it at once."""

    __slots__ = ("_native",)

    def __init__(self, native: NativeModel) -> None:
        self._native = native

    @property
    def classes(self) -> list[str] | None:
        """The names of the classes, in the order of the outputs; None where the model gives real values."""
        return self._native.classes

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The extents of a sample: ``(channels, height, width)`` of an image, ``(features,)`` of a vector,
        ``(steps, channels)`` of a sequence."""
        return tuple(self._native.input[1])

    @property
    def output_shape(self) -> tuple[int, ...]:
        """The extents of the outputs for one sample: ``(classes,)``, ``(values,)``, or ``(instants, values)``."""
        return tuple(self._native.output)

    @property
    def device(self) -> str:
        """Where it computes."""
        return self._native.device

    def outputs(self, x: Any) -> NDArray[np.float32]:
        """The raw outputs for one sample or a batch: logits of a classifier, else real values on their own scale.

        Samples are arrays as :meth:`predict` takes them. Returns ``output_shape``, with the batch in front where there is
        one.
        """
        single, array, count = self._samples(x)
        rows = singles(self._native.outputs(array, count))
        return rows[0] if single else rows

    def predict_proba(self, x: Any) -> NDArray[np.float32]:
        """The probabilities of the classes, ``(classes,)`` for one sample, ``(samples, classes)`` for a batch.

        Raises :class:`GranuleTypeError` where the model gives real values.
        """
        if self.classes is None:
            raise GranuleTypeError(
                f"the model gives real values of the shape {self.output_shape}, not classes; use predict"
            )
        single, array, count = self._samples(x)
        rows = singles(self._native.probabilities(array, count))
        return rows[0] if single else rows

    def predict(self, x: Any) -> Any:
        """The name of the most probable class, or an array of names for a batch; the outputs of a model that gives real
        values.

        ``x`` is one sample of :attr:`input_shape` or a batch with one axis more in front; greyscale images may lack the
        axis of the channels, and the samples of a batch may be flat, as scikit-learn has them. Integers of images are
        pixels from 0 to 255, floats intensities from 0 to 1, or both in the range that the model was trained on. Whatever
        has ``__array__``, or DLPack on the CPU, is taken.

        Raises :class:`GranuleValueError` for another shape, NaN, infinity or numbers outside the range,
        :class:`GranuleTypeError` for what holds no real numbers.
        """
        classes = self.classes
        if classes is None:
            return self.outputs(x)
        best = np.argmax(self.predict_proba(x), axis=-1)
        return classes[int(best)] if best.ndim == 0 else np.asarray(classes)[best]

    def state_dict(self) -> dict[str, NDArray[np.float32]]:
        """The weights by PyTorch's names, in PyTorch's layouts: ``module.load_state_dict`` takes them as tensors."""
        return {name: singles(packed) for name, packed in self._native.state_dict().items()}

    def describe(self) -> dict[str, Any]:
        """What the model is: its settings, input, task, where it comes from, and how many parameters it has."""
        described = json.loads(self._native.description())
        assert isinstance(described, dict)
        return described

    def to_bytes(self) -> bytes:
        """The content of its model file."""
        return self._native.to_bytes()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes its model file, whole or not at all."""
        self._native.save(as_path(path))

    def __reduce__(self) -> tuple[Any, ...]:
        return load, (self.to_bytes(), self.device)

    def __repr__(self) -> str:
        about = self.describe()
        classes = "" if self.classes is None else f", {len(self.classes)} classes"
        return f"<granule.Model {about['model']['kind']}, {self.input_shape} → {self.output_shape}{classes}>"

    def _samples(self, x: Any) -> tuple[bool, NDArray[Any], int]:
        array = as_array(x, "x")
        kind, extents = self._native.input
        single, count = arranged(array, kind, tuple(extents), "x")
        check_finite(array, "x")
        if kind == "image" and self._native.range is None:
            if is_integer(array):
                array = as_pixels(array, "x")
        elif is_integer(array):
            array = array.astype(np.float64)
        return single, array, count


def load(source: str | os.PathLike[str] | bytes | bytearray | memoryview, device: str = "cpu") -> Model:
    """Loads a model: a ``model.granule`` file, a checkpoint, the folder of a run, or the content of a model file.

    ``device`` is a word as in the command: ``"cpu"``, ``"gpu"``, ``"auto"``, ``"wgpu"``, ``"cuda:0"``.

    Raises :class:`GranuleOSError` for a file that is not there or damaged, :class:`GranuleError` for a device that cannot
    be opened.
    """
    if not isinstance(device, str):
        raise GranuleTypeError(f"device: a word such as \"cpu\" is taken, not {type(device).__name__}")
    if isinstance(source, (bytes, bytearray, memoryview)):
        return Model(NativeModel.from_bytes(bytes(source), device))
    return Model(NativeModel.from_path(as_path(source), device))


def as_path(path: Any) -> str:
    """A path, or a name, as text."""
    if not isinstance(path, (str, os.PathLike)):
        raise GranuleTypeError(f"a path is taken, not {type(path).__name__}")
    text = os.fspath(path)
    if not isinstance(text, str):
        text = os.fsdecode(text)
    if "\0" in text:
        raise GranuleValueError("a path has no null character")
    try:
        os.fsencode(text)
    except UnicodeEncodeError as error:
        raise GranuleValueError(f"{text!r} is no path: {error.reason}") from error
    return text

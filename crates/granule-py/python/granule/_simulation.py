"""Simulations."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._arrays import doubles
from ._errors import GranuleOSError, GranuleTypeError, GranuleValueError
from ._granule import NativeResult, simulate_run, simulation_presets
from ._model import as_path
from ._settings import as_json, text

__all__ = ["Group", "Result", "Trace", "presets", "simulate"]


class Trace:
    """A recorded quantity over time."""

    __slots__ = ("labels", "name", "unit", "values")

    def __init__(self, name: str, unit: str, labels: list[str], values: NDArray[np.float64]) -> None:
        #: Its name, for example ``v``.
        self.name = name
        #: Its unit; ``1`` where it has none.
        self.unit = unit
        #: What the columns are called; empty where they have numbers only.
        self.labels = labels
        #: ``[times, columns]``: cells, units or nodes.
        self.values = values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        array = self.values if dtype is None else self.values.astype(dtype)
        return array.copy() if copy and array is self.values else array

    def __repr__(self) -> str:
        unit = "" if self.unit == "1" else f" in {self.unit}"
        return f"<granule.Trace {self.name}{unit}, {self.values.shape[0]} times, {self.values.shape[1]} columns>"


class Group:
    """Cells that belong together."""

    __slots__ = ("cells", "name", "rate")

    def __init__(self, name: str, cells: range, rate: float) -> None:
        #: What they are called.
        self.name = name
        #: Their places in the order of the cells.
        self.cells = cells
        #: Their mean rate over the run, Hz.
        self.rate = rate

    def __repr__(self) -> str:
        return f"<granule.Group {self.name}, {len(self.cells)} cells, {self.rate:.2f} Hz>"


class Result(Mapping[str, Trace]):
    """What a simulation has recorded: the traces by name, their times, and the spikes."""

    def __init__(self, native: NativeResult) -> None:
        self._native = native
        #: The instants of the traces, ms.
        self.time: NDArray[np.float64] = doubles(native.times)
        #: The channels of the input, by name; each sample is what the step after it gets.
        self.stimulus = _traces(native.stimulus)
        #: The times of the spikes of each cell, ms; empty for models without.
        self.spikes: list[NDArray[np.float64]] = [doubles(cell) for cell in native.spikes]
        #: The mean rate of each cell over the run, Hz.
        self.rates: NDArray[np.float64] = np.asarray(native.rates, dtype=np.float64)
        #: Groups of cells.
        self.groups = [Group(name, range(first, end), rate) for name, first, end, rate in native.groups]
        #: What was taken for granted, and what may be wrong with it, a sentence each.
        self.notes: list[str] = native.notes
        #: The method that took the steps.
        self.solver = native.solver
        #: What was simulated.
        self.title = native.title
        self._traces = _traces(native.traces)

    def __getitem__(self, name: str) -> Trace:
        return self._traces[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._traces)

    def __len__(self) -> int:
        return len(self._traces)

    @property
    def units(self) -> dict[str, str]:
        """The units of the traces by their names."""
        return {name: trace.unit for name, trace in self._traces.items()}

    @property
    def config(self) -> dict[str, Any]:
        """The configuration that gives the same result again."""
        config = json.loads(self._native.config())
        assert isinstance(config, dict)
        return config

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Times and traces by name, as the command writes them with ``--out``."""
        traces = {name: trace.values for name, trace in self._traces.items()}
        stimulus = {f"stimulus.{name}": trace.values for name, trace in self.stimulus.items()}
        return {"time": self.time, **traces, **stimulus}

    def plot(self, axes: Any = None) -> Any:
        """Draws the traces and the spikes; the axes of matplotlib, a panel for each variable.

        Raises :class:`GranuleError` without matplotlib.
        """
        from ._plot import result

        return result(self, axes)

    def svg(self, path: str | os.PathLike[str] | None = None, *, width: int = 960, height: int = 640) -> str:
        """The picture that the command draws with ``--plot``, as SVG; written to ``path`` where there is one."""
        for name, length in (("width", width), ("height", height)):
            if not 0 <= length < 2**31:
                raise GranuleValueError(f"{name} is {length}; pixels are a number above 0")
        picture = self._native.svg(width, height)
        if path is not None:
            try:
                Path(as_path(path)).write_text(picture, encoding="utf-8")
            except OSError as error:
                raise GranuleOSError(f"{os.fspath(path)}: cannot write: {error.strerror}") from error
        return picture

    def _repr_svg_(self) -> str:
        return self.svg()

    def __repr__(self) -> str:
        spikes = sum(len(cell) for cell in self.spikes)
        of_spikes = f", {spikes} spikes of {len(self.spikes)} cells" if self.spikes else ""
        return f"<granule.Result {self.title}: {', '.join(self._traces)}{of_spikes}>"


def _traces(recorded: list[tuple[str, str, list[str], tuple[bytearray, list[int]]]]) -> dict[str, Trace]:
    return {name: Trace(name, unit, labels, doubles(packed)) for name, unit, labels, packed in recorded}


def simulate(
    what: str | os.PathLike[str] | Mapping[str, Any],
    *,
    device: str = "cpu",
    precision: str | None = None,
    set: Mapping[str, Any] | None = None,
    **overrides: Any,
) -> Result:
    """Runs a simulation, as ``granule simulate`` does.

    ``what`` is the name of a preset, a ``.toml`` file, a text of TOML, or a dict of settings. Every setting of
    ``granule config`` is given by ``set={"unit.current": 10.0}`` or by keyword, ``unit__current=10.0``, ``duration=100``.
    ``precision`` is ``"f64"``, the default on a CPU, or ``"f32"``.

    Raises :class:`GranuleValueError` for a setting, :class:`GranuleOSError` for a file, :class:`GranuleError` for a run that
    blows up.
    """
    if precision not in (None, "f32", "f64"):
        raise GranuleTypeError(f"precision: \"f32\" or \"f64\" is taken, not {precision!r}")
    if isinstance(what, Mapping):
        both = {**what, **(set or {})}
        return Result(simulate_run(None, as_json(both, overrides, {}), device, precision == "f32"))
    return Result(simulate_run(text(as_path(what), "what"), as_json(set, overrides, {}), device, precision == "f32"))


def presets() -> dict[str, str]:
    """The ready-made simulations, each with a line on it."""
    return dict(simulation_presets())

"""Pictures by matplotlib, where it is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._errors import GranuleError

if TYPE_CHECKING:
    from ._simulation import Result


def _pyplot() -> Any:
    try:
        import matplotlib.pyplot
    except ImportError as error:
        raise GranuleError(
            "matplotlib is not installed, which draws this: pip install matplotlib; a simulation's svg() needs nothing"
        ) from error
    return matplotlib.pyplot


def history(epochs: list[dict[str, Any]], axes: Any) -> Any:
    """Loss, and accuracy where there is one, over the epochs."""
    names = ["loss", "accuracy"] if epochs and epochs[0]["train_accuracy"] is not None else ["loss"]
    if axes is None:
        _, axes = _pyplot().subplots(1, len(names), squeeze=False, figsize=(5 * len(names), 4))
        axes = axes[0]
    x = [epoch["epoch"] for epoch in epochs]
    for axis, name in zip(axes, names, strict=False):
        for part in ("train", "validation"):
            y = [epoch[f"{part}_{name}"] for epoch in epochs]
            if any(value is not None for value in y):
                axis.plot(x, y, marker="o", label=part)
        axis.set_xlabel("epoch")
        axis.set_ylabel(name)
        axis.legend()
    return axes


def result(result: Result, axes: Any) -> Any:
    """A panel for each recorded variable, and one for the spikes of several cells."""
    names = list(result)
    cells = len(result.spikes)
    panels = len(names) + (cells > 1)
    if axes is None:
        _, axes = _pyplot().subplots(
            max(panels, 1), 1, squeeze=False, sharex=True, figsize=(8, 2 * max(panels, 1) + 1)
        )
        axes = axes[:, 0]
    for axis, name in zip(axes, names, strict=False):
        trace = result[name]
        axis.plot(result.time, trace.values, linewidth=1)
        axis.set_ylabel(name if trace.unit == "1" else f"{name} ({trace.unit})")
    if cells > 1:
        axes[panels - 1].eventplot(result.spikes, linelengths=0.8, colors="black")
        axes[panels - 1].set_ylabel("cell")
    axes[panels - 1].set_xlabel("time (ms)")
    axes[0].set_title(result.title)
    return axes

"""granule: train, evaluate and use neural models, and simulate neurons, on any CPU or GPU.

``train`` and ``fit`` train a model, ``load`` takes one from a file, ``simulate`` runs neurons and populations, and
``GranuleClassifier`` and ``GranuleRegressor`` are estimators of scikit-learn, which is imported with them alone.
"""

from typing import TYPE_CHECKING, Any

from ._errors import (
    GranuleError,
    GranuleMemoryError,
    GranuleOSError,
    GranuleTypeError,
    GranuleValueError,
)
from ._granule import VERSION as __version__
from ._model import Model, load
from ._run import Callback, Run, fit, fit_recording, resume, train
from ._simulation import Group, Result, Trace, presets, simulate

if TYPE_CHECKING:
    from ._estimators import GranuleClassifier, GranuleRegressor

__all__ = [
    "Callback",
    "GranuleClassifier",
    "GranuleError",
    "GranuleMemoryError",
    "GranuleOSError",
    "GranuleRegressor",
    "GranuleTypeError",
    "GranuleValueError",
    "Group",
    "Model",
    "Result",
    "Run",
    "Trace",
    "__version__",
    "fit",
    "fit_recording",
    "load",
    "presets",
    "resume",
    "simulate",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in ("GranuleClassifier", "GranuleRegressor"):
        from . import _estimators

        return getattr(_estimators, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

"""Settings as the native half takes them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from ._errors import GranuleTypeError, GranuleValueError

#: Short names, those of the command's flags, and their keys.
SHORT = {
    "dataset": "data.dataset",
    "data_dir": "data.data_dir",
    "offline": "data.offline",
    "task": "data.task.kind",
    "trials": "data.trials.epoch",
    "limit_train": "data.limit_train",
    "limit_test": "data.limit_test",
    "validation": "data.validation",
    "epochs": "train.epochs",
    "batch_size": "train.batch_size",
    "early_stopping": "train.early_stopping.patience",
    "optimizer": "optimizer.kind",
    "lr": "optimizer.lr",
    "schedule": "schedule.kind",
}


#: No setting is in so many tables.
_DEEPEST = 64


def text(value: str, what: str) -> str:
    """A text that is valid Unicode; ``GranuleValueError`` for another."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise GranuleValueError(f"{what}: {value!r} is not valid Unicode") from error
    return value


def as_json(settings: Mapping[str, Any] | None, named: Mapping[str, Any], short: Mapping[str, str]) -> str:
    """One JSON object of dotted keys: those of a mapping, then keyword arguments with ``__`` for each dot or a short name.

    Raises ``GranuleTypeError`` for a value that no setting has, ``GranuleValueError`` for a key that is given twice.
    """
    if settings is not None and not isinstance(settings, Mapping):
        raise GranuleTypeError(f"set: a dict of keys and values is taken, not {type(settings).__name__}")
    all_: dict[str, Any] = {}
    for key, value in (settings or {}).items():
        if not isinstance(key, str):
            raise GranuleTypeError(f"set: keys are texts such as \"optimizer.lr\", not {key!r}")
        all_[text(key, "set")] = plain(value, key)
    for name, value in named.items():
        key = short.get(name, name.replace("__", "."))
        if key in all_:
            raise GranuleValueError(f"`{key}` is given twice, by set and by {name}; name one of them")
        all_[key] = plain(value, key)
    return json.dumps(all_, allow_nan=False)


def plain(value: Any, path: str) -> Any:
    """A value of JSON."""
    if path.count(".") > _DEEPEST:
        raise GranuleValueError(f"`{path[:40]}…` is deeper than any setting")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise GranuleValueError(f"`{path}` is {value}; whole numbers go from {-(2**63)} to {2**63 - 1}")
    if isinstance(value, str):
        return text(value, f"`{path}`")
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        if not np.isfinite(value):
            raise GranuleValueError(f"`{path}` is {value}; settings are finite numbers")
        return value
    if isinstance(value, os.PathLike):
        return text(os.fsdecode(os.fspath(value)), f"`{path}`")
    if isinstance(value, Mapping):
        return {text(str(key), f"`{path}`"): plain(inner, f"{path}.{key}") for key, inner in value.items()}
    if isinstance(value, np.generic):
        return plain(value.item(), path)
    if isinstance(value, np.ndarray):
        return plain(value.tolist(), path)
    if isinstance(value, (list, tuple, range)):
        return [plain(inner, path) for inner in value]
    raise GranuleTypeError(f"`{path}`: no setting is a {type(value).__name__}")

"""Training."""

from __future__ import annotations

import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ._arrays import as_array, as_pixels, check_finite, is_integer
from ._errors import GranuleError, GranuleOSError, GranuleTypeError, GranuleValueError
from ._granule import resume_run, train_run
from ._model import Model, as_path, load
from ._progress import Progress
from ._settings import SHORT, as_json, text

__all__ = ["Callback", "Run", "fit", "fit_recording", "resume", "train"]

#: Hears of every epoch. What it raises ends the run, which is saved, and is raised; False ends the run.
Callback = Callable[[dict[str, Any]], Any]


class Run:
    """What a training has left."""

    def __init__(
        self,
        outcome: dict[str, Any],
        history: list[dict[str, Any]],
        *,
        model: Model | None = None,
        notes: list[str] | None = None,
        gone: bool = False,
    ) -> None:
        #: How the run ended, as ``granule train --json`` says it.
        self.outcome = outcome
        #: An entry for each epoch of this call: ``epoch``, ``train_loss``, ``train_accuracy``, ``validation_loss``,
        #: ``validation_accuracy``, ``learning_rate``, ``seconds`` and others.
        self.history = history
        #: What was recognised in the data, and what may be wrong with them, a sentence each.
        self.notes = notes or []
        self._model = model
        self._gone = gone

    @property
    def dir(self) -> Path | None:
        """The run folder; None where it was a temporary one."""
        return None if self._gone else Path(self.outcome["run_dir"])

    @property
    def interrupted(self) -> bool:
        """Whether the callback ended it; :func:`resume` goes on with it."""
        return bool(self.outcome["interrupted"])

    @property
    def model(self) -> Model:
        """The model, on the CPU (:func:`load` of :attr:`dir` takes another device); of a run that was stopped that of its
        last checkpoint."""
        if self._model is None:
            path = self.outcome["model_path"] or self.outcome.get("checkpoint")
            if path is None:
                raise GranuleError("the run was stopped before its first checkpoint")
            self._model = load(path)
        return self._model

    @property
    def scores(self) -> dict[str, Any] | None:
        """The scores on the test part: ``accuracy``, ``macro_f1``, ``confusion``, … of classes, ``r2``, … of real values.
        None of a run that was stopped."""
        evaluation = self.outcome["evaluation"]
        if evaluation is None:
            return None
        (scores,) = map(dict, evaluation["scores"].values())
        # Of several values their mean stands for all.
        mean = scores.pop("mean", {}) if "outputs" in scores else {}
        return {"loss": evaluation["loss"], "samples": evaluation["samples"], **scores, **mean}

    @property
    def accuracy(self) -> float | None:
        """The share of the test part that was classified rightly; None for other models and for runs that were stopped."""
        scores = self.scores or {}
        value = scores.get("accuracy")
        return None if value is None else float(value)

    @property
    def confusion(self) -> NDArray[np.int64] | None:
        """Counts on the test part, ``[true class, predicted class]``; None where there are no classes or no scores."""
        counts = (self.scores or {}).get("confusion")
        if counts is None:
            return None
        matrix = np.zeros((counts["classes"], counts["classes"]), dtype=np.int64)
        for truth, predicted, count in counts["cells"]:
            matrix[truth, predicted] = count
        return matrix

    def report(self) -> Path:
        """The page with curves, scores and mistakes, to be opened in a browser."""
        if self._gone:
            raise GranuleError("the run folder was a temporary one; give run_dir to keep it")
        return Path(self.outcome["run_dir"]) / "report.html"

    def plot(self, axes: Any = None) -> Any:
        """Draws loss and accuracy over the epochs; the axes of matplotlib.

        Raises :class:`GranuleError` without matplotlib.
        """
        from ._plot import history

        return history(self.history, axes)

    def __repr__(self) -> str:
        how = "stopped after" if self.interrupted else "of"
        accuracy = "" if self.accuracy is None else f", {100 * self.accuracy:.2f} % of the test part"
        return f"<granule.Run {how} {self.outcome['epochs']} epochs{accuracy}>"


class _Watcher:
    """Hears what a run tells."""

    def __init__(self, callback: Callback | None, progress: bool | None) -> None:
        if callback is not None and not callable(callback):
            raise GranuleTypeError(f"callback: something to call is taken, not {type(callback).__name__}")
        self.history: list[dict[str, Any]] = []
        self.notes: list[str] = []
        self._callback = callback
        self._shown = Progress() if progress is not False else None
        if self._shown is not None and progress is None and not self._shown.is_live:
            self._shown = None

    def __call__(self, event: str, content: str) -> bool | None:
        fields = json.loads(content)
        if self._shown is not None:
            self._shown(event, fields)
        if event in ("note", "warning"):
            self.notes.append(fields["text"])
        if event != "epoch":
            return None
        self.history.append(fields)
        if self._callback is None:
            return None
        return False if self._callback(dict(fields)) is False else None

    def close(self) -> None:
        if self._shown is not None:
            self._shown.close()


def train(
    model: str | os.PathLike[str] | None = None,
    dataset: str | None = None,
    *,
    device: str | None = None,
    epochs: int | None = None,
    run_dir: str | os.PathLike[str] | None = None,
    callback: Callback | None = None,
    progress: bool | None = None,
    set: Mapping[str, Any] | None = None,
    **overrides: Any,
) -> Run:
    """Trains a model, as ``granule train`` does.

    ``model`` is the name of a model, of a preset, or a ``.toml`` file; ``dataset`` is ``"mnist"``, ``"folder:DIR"``,
    ``"parquet:PATH"``, ``"arrays:FILE.npz"`` and so on; without one it is the drawn digits, for which nothing is downloaded.
    Every other setting of ``granule config`` is given by ``set={"optimizer.lr": 1e-3}`` or by keyword, ``optimizer__lr=1e-3``; the flags of the
    command have their names: ``lr``, ``batch_size``, ``validation``, ``seed``, ``limit_train`` and others. None takes a
    default back.

    ``callback`` hears of every epoch; see :data:`Callback`. ``progress`` shows how far the run is: by default in a terminal
    and in a notebook. Ctrl-C saves the run, which :func:`resume` goes on with, and raises ``KeyboardInterrupt``. Other
    threads of Python run meanwhile.

    Raises :class:`GranuleValueError` for a setting, :class:`GranuleOSError` for a file, :class:`GranuleError` for what goes
    wrong in training.
    """
    named = dict(overrides)
    given = {"dataset": dataset, "device": device, "epochs": epochs}
    named |= {name: value for name, value in given.items() if value is not None}
    settings = as_json(set, named, SHORT)
    what = None if model is None else text(as_path(model), "model")
    return _watched(
        callback,
        progress,
        lambda tell: train_run(what, settings, None if run_dir is None else as_path(run_dir), tell),
    )


def resume(
    run: Run | str | os.PathLike[str],
    *,
    callback: Callback | None = None,
    progress: bool | None = None,
) -> Run:
    """Goes on with a run that was stopped, as ``granule train --resume`` does: the result is that of a run that was not.

    Raises as :func:`train`.
    """
    folder = run.dir if isinstance(run, Run) else as_path(run)
    if folder is None:
        raise GranuleValueError("the run folder was a temporary one; give run_dir to go on with a run")
    return _watched(callback, progress, lambda tell: resume_run(os.fspath(folder), tell))


def _watched(
    callback: Callback | None, progress: bool | None, work: Callable[[_Watcher], str]
) -> Run:
    watcher = _Watcher(callback, progress)
    try:
        outcome = json.loads(work(watcher))
    finally:
        watcher.close()
    return Run(outcome, watcher.history, notes=watcher.notes)


def fit(
    model: str | os.PathLike[str] | None,
    x: Any,
    y: Any,
    *,
    x_test: Any = None,
    y_test: Any = None,
    x_validation: Any = None,
    y_validation: Any = None,
    targets: Literal["classes", "values"] | None = None,
    run_dir: str | os.PathLike[str] | None = None,
    device: str | None = None,
    epochs: int | None = None,
    callback: Callback | None = None,
    progress: bool | None = False,
    set: Mapping[str, Any] | None = None,
    **overrides: Any,
) -> Run:
    """Trains a model on arrays.

    ``x`` is ``[samples, features]``, images ``[samples, height, width]`` or ``[samples, channels, height, width]`` (integers
    from 0 to 255, floats from 0 to 1), or sequences ``[samples, steps, channels]`` with ``set={"data.layout": "sequence"}``;
    ``y`` is ``[samples]`` of classes, given by numbers or names, or of real values, also ``[samples, values]``. ``targets``
    says which, where that is not clear. Without ``x_test`` and ``y_test`` the scores are those of what was learnt from.
    Without ``run_dir`` the folder of the run is gone in the end; the model is in the result.

    Everything else is as in :func:`train`.
    """
    if (x_test is None) != (y_test is None) or (x_validation is None) != (y_validation is None):
        raise GranuleValueError("x and y of a part go together: give both or none of them")
    arrays = {"x_train": _inputs(x, "x"), "y_train": _targets(y, "y")}
    arrays["x_test"] = arrays["x_train"] if x_test is None else _inputs(x_test, "x_test")
    arrays["y_test"] = arrays["y_train"] if y_test is None else _targets(y_test, "y_test")
    if x_validation is not None:
        arrays["x_val"] = _inputs(x_validation, "x_validation")
        arrays["y_val"] = _targets(y_validation, "y_validation")
    for part in ("train", "test", "val"):
        if f"x_{part}" in arrays and len(arrays[f"x_{part}"]) != len(arrays[f"y_{part}"]):
            found = len(arrays[f"x_{part}"]), len(arrays[f"y_{part}"])
            raise GranuleValueError(f"x holds {found[0]} samples, y {found[1]}: they do not belong together")
    extra = dict(overrides)
    if targets is not None:
        extra["data__targets"] = targets
    with tempfile.TemporaryDirectory(prefix="granule-") as folder:
        file = Path(folder, "arrays.npz") if run_dir is None else _beside(run_dir, "arrays")
        _write(file, arrays)
        try:
            run = train(
                model,
                f"arrays:{file}",
                run_dir=Path(folder, "run") if run_dir is None else run_dir,
                device=device,
                epochs=epochs,
                callback=callback,
                progress=progress,
                set=set,
                **extra,
            )
        except GranuleOSError as error:
            raise _of_arrays(error, file) from None
        finally:
            _leave(file, run_dir)
        if run_dir is None:
            # Read before the folder goes.
            return Run(run.outcome, run.history, model=run.model, notes=run.notes, gone=True)
        return run


def fit_recording(
    model: str | os.PathLike[str],
    recording: Any,
    *,
    run_dir: str | os.PathLike[str] | None = None,
    device: str | None = None,
    epochs: int | None = None,
    callback: Callback | None = None,
    progress: bool | None = False,
    set: Mapping[str, Any] | None = None,
    **overrides: Any,
) -> Run:
    """Fits a model of several levels, described in a ``.toml`` file, to a recording.

    ``recording`` is an ``.npz`` file, or arrays by name: ``time``, ``[samples]`` in ms at equal distances, and for each
    quantity that the model observes ``[samples, columns]`` or ``[trials, samples, columns]``; a result of :func:`simulate`
    is taken as well. Without ``run_dir`` the folder of the run is gone in the end.

    Everything else is as in :func:`train`.
    """
    from ._simulation import Result

    with tempfile.TemporaryDirectory(prefix="granule-") as folder:
        if isinstance(recording, Result):
            recording = recording.arrays()
        if isinstance(recording, Mapping):
            file = Path(folder, "recording.npz") if run_dir is None else _beside(run_dir, "recording")
            arrays = {str(name): as_array(value, str(name)) for name, value in recording.items()}
            for name, array in arrays.items():
                check_finite(array, name)
            _write(file, arrays)
        else:
            file = Path(as_path(recording))
        try:
            run = train(
                model,
                run_dir=Path(folder, "run") if run_dir is None else run_dir,
                device=device,
                epochs=epochs,
                callback=callback,
                progress=progress,
                set={**(set or {}), "data.recording.file": file},
                **overrides,
            )
        finally:
            if isinstance(recording, Mapping):
                _leave(file, run_dir)
        if run_dir is None:
            return Run(run.outcome, run.history, model=run.model, notes=run.notes, gone=True)
        return run


def _beside(run_dir: str | os.PathLike[str], name: str) -> Path:
    """Where arrays are kept beside a run that is kept: it can be resumed, which reads them again."""
    kept = Path(f"{as_path(run_dir)}.{name}.npz")
    if kept.exists():
        raise GranuleValueError(f"{kept} is there already: give the run another run_dir, or move that file away")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise GranuleOSError(f"cannot create the folder {kept.parent}: {error}") from error
    return kept


def _leave(file: Path, run_dir: str | os.PathLike[str] | None) -> None:
    """Removes arrays that were to be kept beside a run that never began."""
    if run_dir is not None and not Path(as_path(run_dir)).exists():
        file.unlink(missing_ok=True)


def _of_arrays(error: GranuleOSError, file: Path) -> GranuleError:
    """What is said of the file, of the arrays that it was made from."""
    said = str(error)
    if str(file) not in said:
        return error
    for part, end in (("train", ""), ("test", "_test"), ("val", "_validation")):
        for name in ("x", "y"):
            said = said.replace(f"{file}!{name}_{part}.npy", f"{name}{end}")
    return GranuleValueError(said.replace(str(file), "the arrays"))


def _inputs(value: Any, what: str) -> NDArray[Any]:
    array = as_array(value, what)
    check_finite(array, what)
    if array.ndim < 2:
        raise GranuleValueError(
            f"{what}: the shape is {array.shape}; samples stand along the first axis and have at least one more: "
            f"{what}.reshape(-1, 1) has one feature a sample"
        )
    if array.size == 0:
        raise GranuleValueError(f"{what}: the shape is {array.shape}; there is nothing to learn from")
    if array.ndim > 2 and is_integer(array):
        return as_pixels(array, what)
    return array


def _targets(value: Any, what: str) -> NDArray[Any]:
    array = np.asarray(value)
    if array.dtype.kind in "OU" and all(isinstance(name, str) for name in array.ravel()):
        return array.astype(np.str_)
    if array.dtype.kind in "SU":
        try:
            return array.astype(np.str_)
        except UnicodeDecodeError as error:
            raise GranuleValueError(f"{what}: names that are bytes must be ASCII; decode them: {error}") from error
    array = as_array(value, what)
    check_finite(array, what)
    return array


def _write(file: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """As ``numpy.savez``, whose own arguments would take some names away from arrays."""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)

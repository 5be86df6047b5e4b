"""Estimators of scikit-learn, which is imported with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._errors import GranuleError
from ._run import fit

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError as error:
    raise GranuleError(
        "scikit-learn 1.6 or later is not installed, whose estimators these are: pip install scikit-learn; granule.fit "
        "needs nothing"
    ) from error

__all__ = ["GranuleClassifier", "GranuleRegressor"]


class _Estimator(BaseEstimator):  # type: ignore[misc]
    """What both have."""

    def __init__(
        self,
        model: str = "mlp",
        *,
        epochs: int | None = None,
        lr: float | None = None,
        batch_size: int | None = None,
        input_shape: tuple[int, ...] | None = None,
        settings: Mapping[str, Any] | None = None,
        device: str = "cpu",
        random_state: Any = None,
    ) -> None:
        self.model = model
        self.epochs = epochs
        self.lr = lr
        self.batch_size = batch_size
        self.input_shape = input_shape
        self.settings = settings
        self.device = device
        self.random_state = random_state

    def _learn(self, x: NDArray[Any], y: NDArray[Any], targets: Any) -> None:
        given: dict[str, Any] = {"lr": self.lr, "batch_size": self.batch_size, "seed": _seed(self.random_state)}
        run = fit(
            self.model,
            self._shaped(x),
            y,
            targets=targets,
            device=self.device,
            epochs=self.epochs,
            set=self.settings,
            **{name: value for name, value in given.items() if value is not None},
        )
        self.model_ = run.model
        self.history_ = run.history
        self.n_iter_ = len(run.history)

    def _shaped(self, x: NDArray[Any]) -> NDArray[Any]:
        return x if self.input_shape is None else x.reshape(len(x), *self.input_shape)

    def _seen(self, x: Any) -> NDArray[Any]:
        check_is_fitted(self, "model_")
        return self._shaped(validate_data(self, x, reset=False))


def _seed(state: Any) -> int | None:
    if state is None or isinstance(state, (int, np.integer)):
        return None if state is None else int(state)
    return int(state.randint(2**31))


class GranuleClassifier(ClassifierMixin, _Estimator):  # type: ignore[misc]
    """A classifier of scikit-learn that is a model of granule.

    ``model`` is a name such as ``"mlp"`` or ``"lenet"``, or a ``.toml`` file. ``input_shape``, for example ``(1, 28, 28)``,
    is what a row of ``X`` is for models of images. ``settings`` are those of :func:`granule.train`'s ``set``. Without
    ``epochs`` a training has the length that the command gives it. ``random_state`` is the seed.
    """

    def fit(self, X: Any, y: Any) -> GranuleClassifier:
        """Learns from ``X`` ``[samples, features]`` and ``y`` ``[samples]``."""
        X, y = validate_data(self, X, y)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y has one class, {self.classes_[0]!r}; a classifier tells two or more apart")
        self._learn(X, labels.astype(np.int64), "classes")
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """The probabilities of ``classes_``, ``[samples, classes]``."""
        x = self._seen(X)
        shares = self.model_.predict_proba(x).astype(np.float64)
        return np.asarray(shares / shares.sum(axis=1, keepdims=True), dtype=np.float64)

    def predict(self, X: Any) -> NDArray[Any]:
        """The most probable classes, ``[samples]``."""
        best = np.argmax(self.predict_proba(X), axis=1)
        return np.asarray(self.classes_[best])


class GranuleRegressor(RegressorMixin, _Estimator):  # type: ignore[misc]
    """A regressor of scikit-learn that is a model of granule, of one or several values; the parameters are those of
    :class:`GranuleClassifier`."""

    def fit(self, X: Any, y: Any) -> GranuleRegressor:
        """Learns from ``X`` ``[samples, features]`` and ``y`` ``[samples]`` or ``[samples, values]``."""
        X, y = validate_data(self, X, y, multi_output=True, y_numeric=True)
        self._single = y.ndim == 1
        self._learn(X, y.astype(np.float64), "values")
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:
        """The values, ``[samples]`` or ``[samples, values]`` as in training."""
        x = self._seen(X)
        values = self.model_.outputs(x).astype(np.float64)
        return values[:, 0] if self._single else values

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags

"""Estimators of scikit-learn."""

import pickle

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_digits, make_classification, make_regression
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import granule
from granule import GranuleClassifier, GranuleRegressor


@parametrize_with_checks([GranuleClassifier(), GranuleRegressor()])
def test_what_scikit_learn_checks(estimator, check):
    check(estimator)


def test_a_pipeline_is_searched_and_cross_validated():
    x, y = make_classification(200, n_informative=4, random_state=1)
    y = np.where(y == 1, "yes", "no")
    pipeline = make_pipeline(StandardScaler(), GranuleClassifier(epochs=60, random_state=1))
    assert cross_val_score(pipeline, x, y, cv=3).mean() > 0.7
    search = GridSearchCV(pipeline, {"granuleclassifier__lr": [1e-6, 1e-3]}, cv=2).fit(x, y)
    assert search.best_params_ == {"granuleclassifier__lr": 1e-3}
    assert set(search.predict(x)) <= {"yes", "no"}
    spread = cross_val_score(pipeline, x, y, cv=2, n_jobs=2)
    assert spread.shape == (2,)


def test_a_regressor_gives_one_or_several_values():
    x, y = make_regression(300, 4, n_targets=2, noise=0.1, random_state=1)
    several = GranuleRegressor(epochs=60).fit(x, y)
    assert several.predict(x).shape == (300, 2) and several.score(x, y) > 0.9
    one = GranuleRegressor(epochs=60).fit(x, y[:, 0])
    assert one.predict(x).shape == (300,) and one.score(x, y[:, 0]) > 0.9


def test_images_are_rows_with_a_shape():
    x, y = load_digits(return_X_y=True)
    images = GranuleClassifier("cnn", input_shape=(1, 8, 8), epochs=6, random_state=1)
    images.fit(x[:1200] / 16, y[:1200])
    assert images.model_.input_shape == (1, 8, 8)
    assert images.score(x[1200:] / 16, y[1200:]) > 0.85


def test_what_was_learnt_is_kept_by_pickle_and_joblib(tmp_path):
    x, y = make_classification(100, random_state=2)
    fitted = GranuleClassifier(epochs=3, random_state=2).fit(x, y)
    joblib.dump(fitted, tmp_path / "fitted.joblib")
    for again in (pickle.loads(pickle.dumps(fitted)), joblib.load(tmp_path / "fitted.joblib")):
        np.testing.assert_array_equal(again.predict_proba(x), fitted.predict_proba(x))
    with pytest.raises(NotFittedError):
        clone(fitted).predict(x)
    same = clone(fitted).fit(x, y)
    np.testing.assert_array_equal(same.predict_proba(x), fitted.predict_proba(x))


def test_settings_and_their_errors_come_through():
    x, y = make_classification(60, random_state=2)
    fitted = GranuleClassifier(epochs=1, settings={"model.widths": [5]}).fit(x, y)
    assert fitted.model_.describe()["model"]["widths"] == [5]
    with pytest.raises(granule.GranuleValueError, match="model.width"):
        GranuleClassifier(epochs=1, settings={"model.width": [5]}).fit(x, y)


def test_without_scikit_learn_the_error_says_so():
    import subprocess
    import sys

    code = (
        "import sys; sys.modules['sklearn.base'] = None\n"
        "import granule\n"
        "try:\n    granule.GranuleClassifier\n"
        "except granule.GranuleError as error:\n    print(error)"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install scikit-learn" in out.stdout

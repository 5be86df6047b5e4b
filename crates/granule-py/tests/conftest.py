from pathlib import Path

import numpy as np
import pytest

import granule


@pytest.fixture(scope="session")
def digits(tmp_path_factory):
    """A short training on the drawn digits, in a folder that is kept."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    return granule.train(
        "lenet", device="cpu", epochs=1, limit_train=6000, limit_test=300, run_dir=folder, validation=0.1
    )


@pytest.fixture(scope="session")
def model(digits):
    return digits.model


@pytest.fixture(scope="session")
def root():
    """Where README.md and the examples lie, beside the tests."""
    return Path(__file__).parents[1]


@pytest.fixture
def image():
    """A picture with something in it, [28, 28] of uint8."""
    return np.random.default_rng(3).integers(0, 256, (28, 28), dtype=np.uint8)


@pytest.fixture(scope="session")
def line():
    """A regression of two features."""
    random = np.random.default_rng(5)
    x = random.normal(size=(400, 2))
    return x, 3 * x[:, 0] - 2 * x[:, 1] + 7


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    """Nothing is written where the tests are started."""
    monkeypatch.chdir(tmp_path)

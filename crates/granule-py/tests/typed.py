"""What a typed program does; mypy reads it, pytest does not."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import granule


def train(epoch: dict[str, Any]) -> bool:
    return bool(epoch["epoch"] < 3)


run: granule.Run = granule.train("lenet", dataset="mnist", device="auto", epochs=2, callback=train, optimizer__lr=1e-3)
page: Path = run.report()
matrix: NDArray[np.int64] | None = run.confusion
model: granule.Model = granule.load(page.parent)
shares: NDArray[np.float32] = model.predict_proba(np.zeros((28, 28), np.uint8))
names: list[str] | None = model.classes
weights: dict[str, NDArray[np.float32]] = model.state_dict()
result: granule.Result = granule.simulate("hodgkin-huxley", set={"unit.current": 10.0}, duration=50)
trace: granule.Trace = result["v"]
volts: NDArray[np.float64] = trace.values
spikes: list[NDArray[np.float64]] = result.spikes
fitted: granule.Run = granule.fit("mlp", volts, volts[:, 0], targets="values")
classifier = granule.GranuleClassifier("mlp", epochs=3)
granule.load(3)  # type: ignore[arg-type]
granule.train(epochs="many")  # type: ignore[arg-type]

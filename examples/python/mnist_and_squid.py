"""Trains on MNIST, plots the history, and simulates a squid's axon.

Run it as a whole, or cell by cell in an editor that knows ``# %%``; in Jupyter by jupytext. The first run downloads MNIST.
"""

# %% A model of MNIST
import sys

import numpy as np

import granule

DATASET = sys.argv[1] if len(sys.argv) > 1 and not sys.argv[1].startswith("-") else "mnist"

run = granule.train("lenet", DATASET, epochs=2, limit_train=10_000, validation=0.1)
print(run)
print(run.confusion)

# %% How it went
figure = run.plot()[0].figure
figure.savefig("history.png", dpi=150)

# %% What it says of two pictures, one of them upside down
ring = np.zeros((28, 28), np.uint8)
row, column = np.mgrid[:28, :28] - 13.5
ring[(np.hypot(row, column) > 6) & (np.hypot(row, column) < 9)] = 255
print(run.model.predict(ring), run.model.predict_proba(ring).round(3))
print(run.model.predict(np.stack([ring, ring[::-1]])))

# %% A squid's axon under a current
squid = granule.simulate("hodgkin-huxley", unit__current=10.0, duration=100)
print(squid)
print(f"{squid.rates[0]:.0f} Hz, the first spikes at {squid.spikes[0][:3].round(2)} ms")
squid.plot()[0].figure.savefig("squid.png", dpi=150)

# %% How its rate grows with the current
currents = np.linspace(0, 20, 21)
cells = granule.simulate("hodgkin-huxley", unit__current=currents, duration=500)
for current, rate in zip(currents, cells.rates):
    print(f"{current:5.1f} µA/cm²  {rate:5.1f} Hz")

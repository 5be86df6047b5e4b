"""Ten areas in The Virtual Brain: milliseconds of a run, after a short one that compiles.

    python benches/peers/whole_brain.py

As the row simulate-whole-brain of `granule bench`: the reduced model of Wong and Wang at every area, with noise, over the
connectivity and the lengths of the preset, 10 mm/ms, for 30 s in steps of 1 ms by Heun's stochastic method, and the BOLD signals, here by a response function.
"""
import logging
import pathlib
import time
import tomllib

import numpy as np
from tvb.simulator import coupling, integrators, monitors, noise, simulator
from tvb.simulator.models.wong_wang import ReducedWongWang
from tvb.datatypes.connectivity import Connectivity

logging.disable(logging.INFO)
PRESET = pathlib.Path(__file__).parents[2] / "crates/granule-simulate/src/presets/whole-brain.toml"
preset = tomllib.loads(PRESET.read_text())
connectivity = preset["connectivity"]
distances = connectivity["delays"]["distances"]
areas = preset["system"]["nodes"]
brain = Connectivity(
    weights=np.array(connectivity["weights"]),
    tract_lengths=np.array(distances["lengths"]),
    speed=np.array([distances["speed"]]),
    region_labels=np.array([f"area {i}" for i in range(areas)]),
    centres=np.zeros((areas, 3)),
)
# Of the noise dS = … + σ dW TVB takes σ²/2.
strength = np.array([0.5 * preset["system"]["noise"] ** 2])
whole = simulator.Simulator(
    model=ReducedWongWang(),
    connectivity=brain,
    coupling=coupling.Linear(a=np.array([connectivity["strength"]])),
    integrator=integrators.HeunStochastic(dt=preset["dt"], noise=noise.Additive(nsig=strength, noise_seed=preset["seed"])),
    monitors=[monitors.Bold(period=500.0), monitors.TemporalAverage(period=50.0)],
).configure()
whole.run(simulation_length=100.0)
began = time.perf_counter()
whole.run(simulation_length=preset["duration"])
print(f"{(time.perf_counter() - began) * 1e3:.1f}")

"""The networks of granule's presets in Brian2 (Cython): their spikes, and seconds of `run`, after a short run that compiles.

    python benches/peers/networks.py NETWORK SEED MS SCALE SPIKES.npz

NETWORK is brunel, brunel-fast, vogels-abbott-coba or vogels-abbott-cuba; SCALE multiplies the numbers of cells, at the same number of
connections to each. Steps, delays, refractoriness and initial values are those of the presets; conductances by RK4, the others exact.
"""
import sys
import time

import numpy as np
from brian2 import (
    NeuronGroup, Network, PoissonInput, SpikeMonitor, Synapses, defaultclock, ms, prefs, seed, second,
)

prefs.codegen.target = "cython"
defaultclock.dt = 0.1 * ms
name, number, duration, scale, out = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]), sys.argv[5]
seed(number)
random = np.random.default_rng(number)


def in_degree(sources, degree, targets):
    """So many sources to each target, no two the same and none itself."""
    pre = np.empty((len(targets), degree), dtype=np.int32)
    for row, target in zip(pre, targets):
        drawn = np.array([], dtype=np.int64)
        while len(drawn) < degree:
            more = random.choice(sources, size=2 * degree)
            drawn = np.unique(np.concatenate([drawn, more[more != target]]))
        row[:] = random.permutation(drawn)[:degree]
    return pre.ravel(), np.repeat(np.arange(len(targets)), degree)


def within(draw, count, low, high):
    """Drawn again where it is beyond."""
    values = draw(count)
    while (beyond := (values < low) | (values > high)).any():
        values[beyond] = draw(beyond.sum())
    return values


def brunel(inhibition, rate):
    excitatory, inhibitory = round(10000 * scale), round(2500 * scale)
    cells = excitatory + inhibitory
    equations = "dv/dt = -v/(20*ms) : 1 (unless refractory)"
    group = NeuronGroup(
        cells, equations, method="exact", threshold="v >= 20", reset="v = 10", refractory=2 * ms
    )
    group.v = random.uniform(0, 19.9, cells)
    parts = [group]
    for first, last, degree, weight in [(0, excitatory, 1000, 0.1), (excitatory, cells, 250, inhibition)]:
        synapses = Synapses(group[first:last], group, on_pre=f"v_post += {weight}", delay=1.5 * ms)
        # Of the sources by their places in their own population.
        targets = np.arange(cells) - first
        pre, post = in_degree(np.arange(last - first), degree, targets)
        synapses.connect(i=pre, j=post)
        parts.append(synapses)
    # So many inputs that their sum is nearly of Poisson.
    inputs = 10000
    parts.append(PoissonInput(group, "v", inputs, rate / inputs / second, weight=0.1))
    return parts, group


def vogels_abbott(conductances):
    excitatory, inhibitory = round(3200 * scale), round(800 * scale)
    cells = excitatory + inhibitory
    if conductances:
        currents, method = "- (v + 60) + ge*(0 - v) + gi*(-80 - v)", "rk4"
    else:
        currents, method = "- (v + 49) + ge + gi", "exact"
    equations = f"""
    dv/dt = ({currents})/(20*ms) : 1 (unless refractory)
    dge/dt = -ge/(5*ms) : 1
    dgi/dt = -gi/(10*ms) : 1
    """
    group = NeuronGroup(
        cells, equations, method=method, threshold="v >= -50", reset="v = -60", refractory=5 * ms
    )
    if conductances:
        group.v = within(lambda n: random.normal(-65, 5, n), cells, -np.inf, -50.001)
        group.ge = within(lambda n: random.normal(4, 1.5, n), cells, 0, np.inf)
        group.gi = random.uniform(0, 40, cells)
        weights = [("ge", 0.6), ("gi", 6.7)]
    else:
        group.v = random.uniform(-60, -50.001, cells)
        weights = [("ge", 1.62), ("gi", -9.0)]
    parts = [group]
    for (first, last), (target, weight) in zip([(0, excitatory), (excitatory, cells)], weights):
        synapses = Synapses(group[first:last], group, on_pre=f"{target}_post += {weight}", delay=0.1 * ms)
        synapses.connect(condition=f"i + {first} != j", p=0.02 / scale)
        parts.append(synapses)
    return parts, group


parts, group = {
    "brunel": lambda: brunel(-0.5, 20_000),
    "brunel-fast": lambda: brunel(-0.6, 40_000),
    "vogels-abbott-coba": lambda: vogels_abbott(True),
    "vogels-abbott-cuba": lambda: vogels_abbott(False),
}[name]()
spikes = SpikeMonitor(group)
network = Network(*parts, spikes)
network.store()
network.run(1 * ms)
network.restore()
began = time.perf_counter()
network.run(duration * ms)
seconds = time.perf_counter() - began
np.savez(out, spike_times=np.asarray(spikes.t / ms), spike_cells=np.asarray(spikes.i))
print(f"{seconds:.4f}")

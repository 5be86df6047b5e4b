"""The networks of granule's presets in NEST, on as many threads as there are cores: their spikes, and seconds of `Simulate`.

    python benches/peers/networks_nest.py NETWORK SEED MS SCALE SPIKES.npz

As networks.py; conductances by NEST's adaptive solver, and a delay of a step at least.
"""
import os
import sys
import time

import numpy as np

import nest

name, number, duration, scale, out = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]), sys.argv[5]
nest.set_verbosity("M_ERROR")
nest.ResetKernel()
nest.SetKernelStatus({"resolution": 0.1, "local_num_threads": os.cpu_count() or 1, "rng_seed": number})
random = np.random.default_rng(number)


def within(draw, count, low, high):
    """Drawn again where it is beyond."""
    values = draw(count)
    while (beyond := (values < low) | (values > high)).any():
        values[beyond] = draw(beyond.sum())
    return values


def brunel(inhibition, rate):
    parameters = {"tau_m": 20.0, "V_th": 20.0, "V_reset": 10.0, "E_L": 0.0, "t_ref": 2.0, "C_m": 1.0}
    excitatory = nest.Create("iaf_psc_delta", round(10000 * scale), parameters)
    inhibitory = nest.Create("iaf_psc_delta", round(2500 * scale), parameters)
    both = excitatory + inhibitory
    both.V_m = list(random.uniform(0, 19.9, len(both)))
    for sources, degree, weight in ((excitatory, 1000, 0.1), (inhibitory, 250, inhibition)):
        rule = {"rule": "fixed_indegree", "indegree": degree, "allow_autapses": False, "allow_multapses": False}
        nest.Connect(sources, both, rule, {"weight": weight, "delay": 1.5})
    outside = nest.Create("poisson_generator", params={"rate": float(rate)})
    nest.Connect(outside, both, syn_spec={"weight": 0.1, "delay": 0.1})
    return both


def vogels_abbott(conductances):
    counts = round(3200 * scale), round(800 * scale)
    parameters = {"V_th": -50.0, "V_reset": -60.0, "t_ref": 5.0, "tau_syn_ex": 5.0, "tau_syn_in": 10.0, "C_m": 20.0}
    if conductances:
        parameters |= {"E_L": -60.0, "g_L": 1.0, "E_ex": 0.0, "E_in": -80.0}
        kind, weights = "iaf_cond_exp", (0.6, -6.7)
    else:
        parameters |= {"E_L": -49.0, "tau_m": 20.0}
        kind, weights = "iaf_psc_exp", (1.62, -9.0)
    excitatory, inhibitory = (nest.Create(kind, count, parameters) for count in counts)
    both = excitatory + inhibitory
    if conductances:
        both.V_m = list(within(lambda n: random.normal(-65, 5, n), len(both), -np.inf, -50.001))
        both.g_ex = list(within(lambda n: random.normal(4, 1.5, n), len(both), 0, np.inf))
        both.g_in = list(random.uniform(0, 40, len(both)))
    else:
        both.V_m = list(random.uniform(-60, -50.001, len(both)))
    for sources, weight in zip((excitatory, inhibitory), weights):
        rule = {"rule": "pairwise_bernoulli", "p": 0.02 / scale, "allow_autapses": False}
        nest.Connect(sources, both, rule, {"weight": weight, "delay": 0.1})
    return both


cells = {
    "brunel": lambda: brunel(-0.5, 20_000),
    "brunel-fast": lambda: brunel(-0.6, 40_000),
    "vogels-abbott-coba": lambda: vogels_abbott(True),
    "vogels-abbott-cuba": lambda: vogels_abbott(False),
}[name]()
recorder = nest.Create("spike_recorder")
nest.Connect(cells, recorder)
nest.Prepare()
began = time.perf_counter()
nest.Run(duration)
seconds = time.perf_counter() - began
nest.Cleanup()
events = recorder.get("events")
np.savez(out, spike_times=events["times"], spike_cells=events["senders"] - cells[0].global_id)
print(f"{seconds:.4f}")

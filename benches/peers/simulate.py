"""Small simulations in Brian2 (Cython): seconds of `run`, after a short run that compiles.

    python benches/peers/simulate.py hodgkin-huxley CELLS | balanced-network CELLS

The same equations, steps and durations as the rows simulate-… of `granule bench`: Hodgkin-Huxley cells for 150 ms in steps of
0.025 ms by RK4; a balanced network, four fifths of its cells excitatory, for a second in steps of 0.1 ms, exact between spikes.
"""
import sys
import time

import numpy as np
from brian2 import (
    NeuronGroup, Network, PoissonInput, SpikeMonitor, Synapses, defaultclock, ms, prefs, seed,
)

prefs.codegen.target = "cython"
seed(1)
kind, cells = sys.argv[1], int(sys.argv[2])


def hodgkin_huxley():
    defaultclock.dt = 0.025 * ms
    equations = """
    dv/dt = (10 - 120*m**3*h*(v - 50) - 36*n**4*(v + 77) - 0.3*(v + 54.387))/ms : 1
    dm/dt = (am*(1 - m) - bm*m)/ms : 1
    dh/dt = (ah*(1 - h) - bh*h)/ms : 1
    dn/dt = (an*(1 - n) - bn*n)/ms : 1
    am = 1/exprel(-(v + 40)/10) : 1
    bm = 4*exp(-(v + 65)/18) : 1
    ah = 0.07*exp(-(v + 65)/20) : 1
    bh = 1/(1 + exp(-(v + 35)/10)) : 1
    an = 0.1/exprel(-(v + 55)/10) : 1
    bn = 0.125*exp(-(v + 65)/80) : 1
    """
    group = NeuronGroup(cells, equations, method="rk4", threshold="v > 0", refractory="v > 0")
    group.v, group.m, group.h, group.n = -65, 0.0529, 0.5961, 0.3177
    return Network(group, SpikeMonitor(group)), 150 * ms


def balanced_network():
    defaultclock.dt = 0.1 * ms
    excitatory, inhibitory = cells * 4 // 5, cells - cells * 4 // 5
    weight, tau, tau_s, threshold, ratio, probability = 0.7, 20.0, 2.0, 20.0, 1.5, 0.1
    equations = """
    dv/dt = (-v + current)/(20*ms) : 1 (unless refractory)
    dcurrent/dt = -current/(2*ms) : 1
    """
    group = NeuronGroup(
        cells, equations, method="exact", threshold="v >= 20", reset="v = 10", refractory=2 * ms
    )
    group.v = 20 * np.random.default_rng(0).random(cells)
    strength = weight * tau / tau_s
    parts = [group]
    for first, last, w in [(0, excitatory, strength), (excitatory, cells, -7 * strength)]:
        synapses = Synapses(group[first:last], group, on_pre=f"current_post += {w}", delay=1.5 * ms)
        synapses.connect(p=probability)
        parts.append(synapses)
    count = int(probability * excitatory)
    rate = ratio * threshold / (weight * count * tau * ms)
    parts.append(PoissonInput(group, "v", count, rate, weight=weight))
    return Network(*parts, SpikeMonitor(group)), 1000 * ms


network, duration = {"hodgkin-huxley": hodgkin_huxley, "balanced-network": balanced_network}[kind]()
network.run(1 * ms)
began = time.perf_counter()
network.run(duration)
print(f"{time.perf_counter() - began:.4f}")

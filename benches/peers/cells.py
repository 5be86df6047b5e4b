"""Hodgkin-Huxley cells in JAX, Jaxley or PyTorch: python cells.py jax|jaxley|eager|compile [forward]

Exponential Euler in single precision, dt 0.025 ms: 10 000 cells for 2 000 steps, as the row cells-10000 of `granule bench`; and unless
`forward` is asked for, 1 000 cells for 100 steps with the gradient by four parameters, as benches/cells.rs. Medians of five
runs; of the first in million cell-steps a second. Jaxley has channels of its own and moves the voltage by backward Euler.
"""

import math
import statistics
import sys
import time

DT, REPEATS = 0.025, 5


def step(np, state, current, g_na, g_k, g_l, e_l):
    v, m, h, n = state

    def linear(rate, midpoint):
        z = (v - midpoint) / 10.0
        small = np.abs(z) < 1e-4
        safe = np.where(small, np.ones_like(z), z)
        return rate * np.where(small, 1.0 + z / 2.0, safe / -np.expm1(-safe))

    rates = (
        (m, linear(1.0, -40.0), 4.0 * np.exp(-(v + 65.0) / 18.0)),
        (h, 0.07 * np.exp(-(v + 65.0) / 20.0), 1.0 / (1.0 + np.exp(-(v + 35.0) / 10.0))),
        (n, linear(0.1, -55.0), 0.125 * np.exp(-(v + 65.0) / 80.0)),
    )
    na, k = g_na * m**3 * h, g_k * n**4
    total = na + k + g_l
    drive = na * 50.0 + k * -77.0 + g_l * e_l + current
    kept = np.exp(-DT * total)
    gates = []
    for gate, alpha, beta in rates:
        decay = np.exp(-DT * (alpha + beta))
        gates.append(gate * decay + alpha / (alpha + beta) * (1.0 - decay))
    return v * kept + drive / total * (1.0 - kept), *gates


PARAMETERS = (120.0, 36.0, 0.3, -54.387)
REST = (-65.0, 0.0529, 0.5961, 0.3177)


def with_jax():
    import jax
    import jax.numpy as jnp

    def run(parameters, current, steps):
        start = tuple(jnp.full_like(current, x) for x in REST)
        body = lambda state, _: (step(jnp, state, current, *parameters), None)
        return jax.lax.scan(body, start, None, length=steps)[0][0]

    forward = jax.jit(run, static_argnums=2)
    slope = jax.jit(jax.grad(lambda p, i, steps: run(p, i, steps).mean()), static_argnums=2)
    parameters = tuple(jnp.float32(x) for x in PARAMETERS)
    current = lambda cells: 20.0 * jnp.arange(cells, dtype=jnp.float32) / cells
    return (
        lambda cells, steps: forward(parameters, current(cells), steps).block_until_ready(),
        lambda cells, steps: jax.block_until_ready(slope(parameters, current(cells), steps)),
    )


def with_jaxley():
    import jax
    import jax.numpy as jnp
    import jaxley as jx
    from jaxley.channels import HH

    cell = jx.Compartment()
    cell.set("radius", 1.0)
    cell.set("length", 10.0)
    cell.insert(HH())
    cell.record("v", verbose=False)

    def last(current, steps):
        stimulus = cell.data_stimulate(jnp.full(steps, current), verbose=False)
        return jx.integrate(cell, data_stimuli=stimulus, delta_t=DT)[0, -1]

    def run(cells, steps):
        # nA into the membrane of a cylinder of 1 µm radius and 10 µm length, as µA/cm² of the others.
        area = 2 * math.pi * 1e-4 * 10e-4
        currents = 20.0 * jnp.arange(cells, dtype=jnp.float32) / cells * area * 1e3
        return jax.vmap(lambda current: last(current, steps))(currents)

    forward = jax.jit(run, static_argnums=(0, 1))
    return lambda cells, steps: forward(cells, steps).block_until_ready(), None


def with_torch(compiled):
    import torch

    one = torch.compile(lambda *a: step(torch, a[:4], *a[4:])) if compiled else lambda *a: step(torch, a[:4], *a[4:])

    def run(parameters, cells, steps):
        current = 20.0 * torch.arange(cells, dtype=torch.float32) / cells
        state = tuple(torch.full_like(current, x) for x in REST)
        for _ in range(steps):
            state = one(*state, current, *parameters)
        return state[0]

    def forward(cells, steps):
        with torch.no_grad():
            run([torch.tensor(x) for x in PARAMETERS], cells, steps)

    def slope(cells, steps):
        parameters = [torch.tensor(x, requires_grad=True) for x in PARAMETERS]
        run(parameters, cells, steps).mean().backward()

    return forward, slope


def median(run):
    run()
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


peer = sys.argv[1]
peers = {"jax": with_jax, "jaxley": with_jaxley}
forward, slope = peers[peer]() if peer in peers else with_torch(peer == "compile")
seconds = median(lambda: forward(10_000, 2000))
print(f"{10_000 * 2000 / seconds / 1e6:.1f}")
if slope is None or sys.argv[2:] == ["forward"]:
    sys.exit()
alone, both = median(lambda: forward(1_000, 100)), median(lambda: slope(1_000, 100))
print(f"{peer}: the run with its gradient takes {both / alone:.1f} times as long as the run ({both * 1e3:.0f} and {alone * 1e3:.0f} ms)")

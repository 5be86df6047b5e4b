"""The training step of the row train-rate of `granule bench` in PyTorch or JAX: python rate_sequence.py eager|compile|jax [ROUNDS [UNITS]]

Prints the median in milliseconds over the rounds.
"""

import statistics
import sys
import time

STEPS, BATCH, CHANNELS, ALPHA = 100, 64, 3, 0.1


def with_torch(units, compiled):
    import torch

    torch.manual_seed(1)
    spread = units**-0.5
    x0, weight_in, bias, weight, weight_out = parameters = [
        (torch.randn(rows, units) * std).requires_grad_()
        for rows, std in ((1, 0.1), (CHANNELS, 1.0), (1, 0.1), (units, spread), (CHANNELS, spread))
    ]
    inputs = torch.rand(STEPS, BATCH, CHANNELS) * 2 - 1
    target = torch.rand(STEPS, BATCH, CHANNELS) * 2 - 1
    optimizer = torch.optim.Adam(parameters, lr=1e-3)

    def loss_of(inputs, target):
        drive = inputs @ weight_in + bias
        x = x0.expand(BATCH, units)
        rates = []
        for step in range(STEPS):
            x = (1 - ALPHA) * x + ALPHA * torch.addmm(drive[step], torch.tanh(x), weight)
            rates.append(torch.tanh(x))
        return torch.nn.functional.mse_loss(torch.stack(rates) @ weight_out.T, target)

    if compiled:
        loss_of = torch.compile(loss_of)

    def step():
        optimizer.zero_grad()
        loss_of(inputs, target).backward()
        optimizer.step()

    return step


def with_jax(units):
    import jax
    import jax.numpy as jnp
    import numpy as np

    random = np.random.default_rng(1)
    spread = units**-0.5
    parameters = [
        jnp.asarray(random.normal(0, std, (rows, units)), jnp.float32)
        for rows, std in ((1, 0.1), (CHANNELS, 1.0), (1, 0.1), (units, spread), (CHANNELS, spread))
    ]
    inputs, target = (
        jnp.asarray(random.uniform(-1, 1, (STEPS, BATCH, CHANNELS)), jnp.float32) for _ in range(2)
    )

    def loss_of(parameters):
        x0, weight_in, bias, weight, weight_out = parameters

        def advance(x, drive):
            x = (1 - ALPHA) * x + ALPHA * (jnp.tanh(x) @ weight + drive)
            return x, jnp.tanh(x)

        start = jnp.broadcast_to(x0, (BATCH, units))
        _, rates = jax.lax.scan(advance, start, inputs @ weight_in + bias)
        return jnp.mean((rates @ weight_out.T - target) ** 2)

    @jax.jit
    def adam(parameters, first, second, count):
        gradients = jax.grad(loss_of)(parameters)
        first = [0.9 * m + 0.1 * g for m, g in zip(first, gradients)]
        second = [0.999 * v + 0.001 * g * g for v, g in zip(second, gradients)]
        a, b = 1 - 0.9**count, 1 - 0.999**count
        parameters = [
            p - 1e-3 * (m / a) / (jnp.sqrt(v / b) + 1e-8) for p, m, v in zip(parameters, first, second)
        ]
        return parameters, first, second, count + 1

    zeros = [jnp.zeros_like(p) for p in parameters]
    state = [parameters, zeros, zeros, jnp.float32(1)]

    def step():
        state[:] = adam(*state)
        jax.block_until_ready(state)

    return step


def main():
    peer = sys.argv[1]
    rounds, units = (int(a) for a in (sys.argv[2:] + ["11", "256"][len(sys.argv) - 2 :]))
    step = with_jax(units) if peer == "jax" else with_torch(units, peer == "compile")
    times = []
    for _ in range(rounds + 3):
        start = time.perf_counter()
        step()
        times.append((time.perf_counter() - start) * 1e3)
    print(f"{statistics.median(times[3:]):.3f}")


main()

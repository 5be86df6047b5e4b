"""The training step of the rows train-gru and train-lstm of `granule bench` in PyTorch: python gated_sequence.py ROUNDS gru|lstm

Prints the median in milliseconds over the rounds. OMP_NUM_THREADS sets the threads.
"""

import statistics
import sys
import time

import torch

STEPS, BATCH, CHANNELS, OUTPUTS, UNITS = 100, 64, 71, 2, 128


def main():
    rounds, cell = int(sys.argv[1]), sys.argv[2].upper()
    torch.manual_seed(1)
    cells = getattr(torch.nn, cell)(CHANNELS, UNITS, batch_first=True)
    readout = torch.nn.Linear(UNITS, OUTPUTS)
    optimizer = torch.optim.Adam([*cells.parameters(), *readout.parameters()], lr=1e-3)
    inputs = torch.randn(BATCH, STEPS, CHANNELS)
    target = torch.randn(BATCH, STEPS, OUTPUTS)
    times = []
    for _ in range(rounds + 3):
        start = time.perf_counter()
        optimizer.zero_grad()
        states, _ = cells(inputs)
        torch.nn.functional.mse_loss(readout(states), target).backward()
        optimizer.step()
        times.append((time.perf_counter() - start) * 1e3)
    print(f"{statistics.median(times[3:]):.3f}")


main()

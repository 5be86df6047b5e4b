"""Time and memory of loading MNIST from its gzip files by the steps of torchvision's reader.

Usage: python benches/peers/load_mnist.py DIR, with the four files in DIR/mnist. Needs NumPy.
"""

import gzip
import resource
import statistics
import sys
import time
from pathlib import Path

import numpy

FILES = [
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
]
RUNS = 21


def read(path):
    with gzip.open(path, "rb") as file:
        data = file.read()
    rank = data[3]
    shape = [int.from_bytes(data[4 * (i + 1) : 4 * (i + 2)], "big") for i in range(rank)]
    return numpy.frombuffer(data, numpy.uint8, offset=4 * (rank + 1)).reshape(shape)


def load(folder):
    return [read(folder / name) for name in FILES]


def main():
    folder = Path(sys.argv[1]) / "mnist"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    raw = sum(array.nbytes for array in load(folder))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    grown = (peak - before) * 1024
    print(f"memory: {grown / 1e6:.1f} MB for {raw / 1e6:.1f} MB, {grown / raw:.2f} times")
    seconds = []
    for _ in range(RUNS):
        start = time.perf_counter()
        load(folder)
        seconds.append(time.perf_counter() - start)
    median = statistics.median(seconds)
    print(f"load mnist: {median * 1e3:.1f} ms (median of {RUNS}), {raw / 1e6 / median:.0f} MB/s")


if __name__ == "__main__":
    main()

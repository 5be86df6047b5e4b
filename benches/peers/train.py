"""The same training runs in PyTorch: python train.py mlp|lenet|cnn [--data DIR] [--images N] [--epochs N] [--seed N] [--device D]

On random images unless --data names the folder with mnist/ and cifar-10/. All of them lie in memory as one normalised tensor
and batches are cut by index, so that nothing but the model is timed. Prints the test accuracy, where there are data, and as the last
word the images per second.
"""

import argparse
import gzip
import tarfile
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn


def mnist(folder):
    def read(name, header):
        with gzip.open(folder / "mnist" / name) as file:
            return np.frombuffer(file.read(), np.uint8, offset=header)

    def part(prefix):
        images = read(f"{prefix}-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28)
        return images, read(f"{prefix}-labels-idx1-ubyte.gz", 8)

    return part("train"), part("t10k"), [0.1307], [0.3081]


def cifar10(folder):
    with tarfile.open(folder / "cifar-10" / "cifar-10-binary.tar.gz") as archive:
        batches = {
            Path(entry.name).name: np.frombuffer(archive.extractfile(entry).read(), np.uint8)
            for entry in archive
            if entry.name.endswith(".bin")
        }

    def part(names):
        rows = np.concatenate([batches[name].reshape(-1, 3073) for name in names])
        return rows[:, 1:].reshape(-1, 3, 32, 32), rows[:, 0]

    train = part([f"data_batch_{i}.bin" for i in range(1, 6)])
    return train, part(["test_batch.bin"]), [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]


def drawn(shape, count):
    random = np.random.default_rng(1)
    return random.integers(0, 256, (count, *shape), np.uint8), random.integers(0, 10, count)


def model(name):
    if name == "mlp":
        return nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    if name == "lenet":
        return nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, 10),
        )
    return nn.Sequential(
        nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(64, 128, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(8192, 1024), nn.ReLU(), nn.Linear(1024, 10),
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", choices=["mlp", "lenet", "cnn"])
    parser.add_argument("--data", type=Path)
    parser.add_argument("--images", type=int)
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()

    torch.manual_seed(options.seed)
    load = cifar10 if options.model == "cnn" else mnist
    if options.data:
        (train_x, train_y), (test_x, test_y), mean, std = load(options.data)
    else:
        train_x, train_y = drawn((3, 32, 32) if options.model == "cnn" else (1, 28, 28), options.images or 6400)
        (test_x, test_y), mean, std = (train_x[:64], train_y[:64]), [0.5], [0.3]
    device = torch.device(options.device)
    mean, std = (torch.tensor(v).view(1, -1, 1, 1) for v in (mean, std))

    def tensors(images, labels):
        pixels = (torch.tensor(images).float().div(255) - mean) / std
        return pixels.to(device), torch.tensor(labels).long().to(device)

    train_x, train_y = tensors(train_x[: options.images], train_y[: options.images])
    test_x, test_y = tensors(test_x, test_y)
    network = model(options.model).to(device)
    if options.model == "cnn":
        optimizer = torch.optim.SGD(network.parameters(), lr=0.02, momentum=0.9)
    else:
        optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    unseen = 0 if options.data else 1
    steps = (unseen + options.epochs) * -(-len(train_x) // 64)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    criterion = nn.CrossEntropyLoss()

    # What is made ready in the first steps is not timed, unless there is something to learn.
    for epoch in range(unseen + options.epochs):
        if epoch == unseen:
            start = time.perf_counter()
        for rows in torch.randperm(len(train_x), device=device).split(64):
            optimizer.zero_grad()
            loss = criterion(network(train_x[rows]), train_y[rows])
            loss.backward()
            optimizer.step()
            schedule.step()
            loss.item()
    seconds = time.perf_counter() - start
    with torch.no_grad():
        hits = sum((network(x).argmax(1) == y).sum().item() for x, y in zip(test_x.split(500), test_y.split(500)))
    if options.data:
        print(f"torch {torch.__version__}: {options.model}, test accuracy {hits / len(test_x):.4f}")
    print(f"{options.epochs * len(train_x) / seconds:.1f}")


main()

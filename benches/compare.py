#!/usr/bin/env python3
"""granule beside other programs, in turns: every round as it ends, then the medians and their ratios.

    benches/compare.py GRANULE [--with NAME=PYTHON]... [--device flex] [--rounds N] [--busy] [--json] [ROW...]

GRANULE is the built command; its side of every row is `granule bench ROW` on the device, flex unless given; peers run on the CPU.
NAME=PYTHON is an interpreter that has one of the peers: torch (also for compiled models), jax (with Jaxley), onnxruntime, brian2, tvb; of
candle it is the program that `cargo build --release --manifest-path benches/peers/candle/Cargo.toml` makes. Rows of
peers without an interpreter are left out, and said. A ROW is one of those that --list prints, or what several begin with, such
as train; all unless given.

Both sides may use all cores; Brian2 uses one. Not the same is: candle has the CNN's momentum from here, Jaxley moves the
voltage by backward Euler, and The Virtual Brain makes BOLD by a response function, where granule integrates the balloon. Both have run before they are timed. Who goes first changes from round to round. Before each round the machine must be quiet: over two
seconds less than 0.3 of one processor may be busy, else it waits, five minutes at most, and then refuses. --busy measures all the
same, and says so; such numbers are no results. The most memory that a process held is told with each row, of the largest where one starts others.
"""

import argparse
import json
import os
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

PEERS = pathlib.Path(__file__).resolve().parent / "peers"

# Row of granule, and of each peer: its name, whose interpreter, and the words after that, of which "-" stands for no script. A peer
# prints one number in the unit of the row, as the last word of its last line.
ROWS = {
    "train-mlp": [("torch", "torch", "train.py mlp --images 32000"), ("candle", "candle", "- mlp 32000")],
    "train-lenet": [("torch", "torch", "train.py lenet --images 9600"), ("candle", "candle", "- lenet 9600")],
    "train-cnn": [("torch", "torch", "train.py cnn --images 1280"), ("candle", "candle", "- cnn 1280")],
    "train-rate": [
        ("torch", "torch", "rate_sequence.py eager 15 256"),
        ("torch compiled", "torch", "rate_sequence.py compile 15 256"),
        ("jax", "jax", "rate_sequence.py jax 15 256"),
    ],
    "train-gru": [("torch", "torch", "gated_sequence.py 15 gru")],
    "train-lstm": [("torch", "torch", "gated_sequence.py 15 lstm")],
    **{
        f"predict-{model}{many}": [
            (peer, peer, f"inference.py {peer} {model} {what} {rounds}") for peer in ("onnxruntime", "torch")
        ]
        for model, rounds in (("mlp", 2000), ("lenet", 2000), ("cnn", 500))
        for many, what in (("", "one"), ("-256", "together"))
    },
    "load-lenet": [(peer, peer, f"inference.py {peer} lenet load 500") for peer in ("onnxruntime", "torch")],
    "simulate-hodgkin-huxley": [("brian2", "brian2", "simulate.py hodgkin-huxley 1")],
    "simulate-hodgkin-huxley-1000": [("brian2", "brian2", "simulate.py hodgkin-huxley 1000")],
    **{
        f"simulate-balanced-network-{cells}": [("brian2", "brian2", f"simulate.py balanced-network {cells}")]
        for cells in (1000, 2000, 4000, 10000)
    },
    "simulate-whole-brain": [("tvb", "tvb", "whole_brain.py")],
    "cells-10000": [
        ("jax", "jax", "cells.py jax forward"),
        ("jaxley", "jax", "cells.py jaxley forward"),
        ("torch compiled", "torch", "cells.py compile forward"),
    ],
}
MORE_IS_BETTER = ("images/s", "million cell-steps/s")


def busy_processors(seconds=2.0):
    """How many processors are busy, where the system tells."""

    def ticks():
        with open("/proc/stat") as file:
            fields = [int(field) for field in file.readline().split()[1:9]]
        return sum(fields) - fields[3] - fields[4], sum(fields)

    try:
        (busy, total), _ = ticks(), time.sleep(seconds)
        then = ticks()
    except OSError:
        return 0.0
    return (then[0] - busy) / max(then[1] - total, 1) * os.cpu_count()


def processor():
    try:
        with open("/proc/cpuinfo") as file:
            return next((line.split(":")[1].strip() for line in file if line.startswith("model name")), "?")
    except OSError:
        return platform.processor() or "?"


def wait_until_quiet():
    for _ in range(150):
        load = busy_processors()
        if load < 0.3:
            return load
    sys.exit(f"{load:.1f} processors stay busy; wait, or measure all the same with --busy")


def run(words):
    """The lines that a command prints, and the most memory that it held, MiB."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as error:
        process = subprocess.Popen(words, stdout=out, stderr=error)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        for file in (out, error):
            file.seek(0)
        if process.returncode != 0:
            sys.exit(f"{' '.join(map(str, words))} failed:\n{error.read().decode(errors='replace')[-2000:]}")
        # On Linux in KiB, on macOS in bytes.
        return out.read().decode().strip().splitlines(), used.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def of_granule(granule, row, device, seconds):
    lines, memory = run([granule, "bench", row, "--json", "--no-ceilings", "--device", device, "--seconds", str(seconds)])
    return next(line for line in map(json.loads, lines) if line.get("row") == row), memory


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("granule", nargs="?", help="the built command")
    parser.add_argument("rows", nargs="*", help="what to compare [all]")
    parser.add_argument("--with", dest="pythons", action="append", default=[], metavar="NAME=PYTHON", help="a peer's interpreter")
    parser.add_argument("--device", default="flex", help="where granule runs [flex]")
    parser.add_argument("--rounds", type=int, default=5, help="of each row [5]")
    parser.add_argument("--seconds", type=float, default=2.0, help="of granule in each round [2]")
    parser.add_argument("--busy", action="store_true", help="measure on a busy machine, which gives no results")
    parser.add_argument("--json", action="store_true", help="all rounds of each row as an object on a line of its own, too")
    parser.add_argument("--list", action="store_true", help="the rows and their peers")
    options = parser.parse_intermixed_args()
    if options.list:
        return print("\n".join(f"{row:32} {', '.join(peer for peer, _, _ in peers)}" for row, peers in ROWS.items()))
    if options.granule is None:
        parser.error("which granule? target/release/granule")
    if shutil.which(options.granule) is None:
        parser.error(f"there is no command {options.granule}; GRANULE comes before the rows")
    if options.rounds < 1:
        parser.error("--rounds: 1 or more")
    pythons = {}
    known = sorted({python for peers in ROWS.values() for _, python, _ in peers})
    for word in options.pythons:
        name, _, python = word.partition("=")
        if name not in known or shutil.which(python) is None:
            parser.error(f"--with {word}: NAME=PYTHON, NAME one of {', '.join(known)}, PYTHON an interpreter that is there")
        pythons[name] = python
    chosen = [
        row
        for row in ROWS
        if not options.rows or any(row == asked or (asked not in ROWS and row.startswith(asked)) for asked in options.rows)
    ]
    if not chosen:
        parser.error(f"no such row; there are {', '.join(ROWS)}")

    version = run([options.granule, "--version"])[0][0]
    head = f"{time.strftime('%Y-%m-%d', time.gmtime())}, {os.cpu_count()} cores, {processor()}, {version}, {options.device}"
    print(head + (", NOT QUIET: these numbers are no results" if options.busy else ""), flush=True)
    measured = 0
    for row in chosen:
        peers = [peer for peer in ROWS[row] if peer[1] in pythons]
        for peer, python, _ in ROWS[row]:
            if python not in pythons:
                print(f"{row}: {peer} is left out, there is no --with {python}=PYTHON", flush=True)
        if not peers:
            continue
        measured += 1
        found = {name: [] for name in ["granule", *(peer for peer, _, _ in peers)]}
        memory = {name: 0.0 for name in found}
        unit = None
        for number in range(options.rounds):
            load = busy_processors(0.5) if options.busy else wait_until_quiet()
            turns = [("granule", None, None), *peers]
            for name, python, words in turns if number % 2 == 0 else turns[::-1]:
                if python is None:
                    ours, used = of_granule(options.granule, row, options.device, options.seconds)
                    unit, value = ours["unit"], ours["median"]
                else:
                    script, *rest = words.split()
                    lines, used = run([pythons[python], *([] if script == "-" else [PEERS / script]), *rest])
                    value = float(lines[-1].split()[-1])
                found[name].append(value)
                memory[name] = max(memory[name], used)
            shown = ", ".join(f"{name} {values[-1]:.5g}" for name, values in found.items())
            print(f"{row} round {number + 1}: {shown} {unit} ({load:.2f} processors busy before)", flush=True)
        medians = {name: statistics.median(values) for name, values in found.items()}
        ratios = {
            name: (medians["granule"] / median if unit in MORE_IS_BETTER else median / medians["granule"])
            for name, median in medians.items()
            if name != "granule"
        }
        told = ", ".join(f"{ratio:.2f} times as fast as {name} ({medians[name]:.5g})" for name, ratio in ratios.items())
        print(f"{row} medians: granule {medians['granule']:.5g} {unit}, {told}", flush=True)
        held = ", ".join(f"{name} {used:.0f}" for name, used in memory.items())
        print(f"{row} memory at most, MiB of the whole process: {held}", flush=True)
        if options.json:
            print(json.dumps({"row": row, "unit": unit, "rounds": found, "ratios": ratios, "memory": memory}), flush=True)
    if measured == 0:
        sys.exit("no row has a peer with an interpreter; nothing was measured")


try:
    main()
except (BrokenPipeError, KeyboardInterrupt):
    sys.exit(1)

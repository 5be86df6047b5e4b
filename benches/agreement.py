#!/usr/bin/env python3
"""Networks of granule beside the same ones in Brian2: what they fire like over several seeds, or how long they take.

    benches/agreement.py GRANULE --with brian2=PYTHON [--seeds 10] [--speed] [--rounds 3] [--json] [NETWORK...]

GRANULE is the built command, PYTHON an interpreter that has the peer, and this one has numpy. Of every seed from 1 on all run each
NETWORK (all unless given), whose connections and inputs each draws by itself; told are, over the time after the first 100 ms, the
rates of both populations, the mean coefficient of variation of the intervals of the excitatory cells with at least three, and the
mean correlation of 2,000 pairs of them in bins of 5 ms: of each the mean over the seeds with its standard deviation, and how many
standard errors granule is apart. Seeds in which the activity dies out are left out and counted. With --speed all run each network
at a quarter, one and four times its cells, with as many connections to each, in turns: seconds of the steps alone, of granule those
of the run less those of a run of 2 ms. Such numbers are results on a quiet machine alone: see benches/compare.py.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np

FOLDER = pathlib.Path(__file__).resolve().parent / "peers"
PEERS = {"brian2": FOLDER / "networks.py", "nest": FOLDER / "networks_nest.py"}
FAST = [f"circuit.population.outside-{kind}.parameters.rate=4e4" for kind in "ei"]
# Its preset with settings, how long it runs, ms, and how many excitatory and other cells that fire there are.
NETWORKS = {
    "brunel": ("brunel", [], 500, (10000, 2500)),
    "brunel-fast": ("brunel", ["circuit.projection.inhibition.weight=-0.6", *FAST], 500, (10000, 2500)),
    "vogels-abbott-coba": ("vogels-abbott-coba", [], 1000, (3200, 800)),
    "vogels-abbott-cuba": ("vogels-abbott-cuba", [], 1000, (3200, 800)),
}
FROM, BIN = 100.0, 5.0


def measured(command):
    """Runs a command: what it printed, and seconds."""
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    printed, said = process.communicate()
    if process.returncode:
        sys.exit(f"{' '.join(map(str, command))}: {said.strip()[-2000:]}")
    return printed, time.perf_counter() - began


def of_granule(granule, name, seed, duration, scale, out):
    preset, settings, _, sizes = NETWORKS[name]
    command = [granule, "simulate", preset, "--quiet", "--device", "flex", "--out", out]
    settings = [*settings, f"seed={seed}", f"duration={duration}", "record.columns=1", "record.every=1000000"]
    if scale != 1:
        names = ["excitatory", "inhibitory"]
        populations = list(zip(names, sizes))
        if preset == "brunel":
            populations += zip(["outside-e", "outside-i"], sizes)
        settings += [f"circuit.population.{one}.size={round(size * scale)}" for one, size in populations]
        if preset != "brunel":
            settings += [f"circuit.projection.{kind}.rule.probability={0.02 / scale}" for kind in ("excitation", "inhibition")]
    for setting in settings:
        command += ["--set", setting]
    return measured(command)[1]


def statistics_of(path, duration, sizes):
    """Rates of the excitatory and the other cells, mean CV and mean correlation; none where nothing fires at the end."""
    spikes = np.load(path)
    times, cells = spikes["spike_times"], spikes["spike_cells"].astype(int)
    excitatory, total = sizes[0], sum(sizes)
    own = (times > FROM) & (cells < total)
    times, cells = times[own], cells[own]
    if not (times > duration - 100).any():
        return None
    seconds = (duration - FROM) / 1000
    rates = [(cells < excitatory).sum() / excitatory / seconds, (cells >= excitatory).sum() / sizes[1] / seconds]
    order = np.lexsort((times, cells))
    times, cells = times[order], cells[order]
    variations = []
    starts = np.searchsorted(cells, np.arange(excitatory + 1))
    for first, last in zip(starts, starts[1:]):
        intervals = np.diff(times[first:last])
        if len(intervals) >= 3:
            variations.append(intervals.std() / intervals.mean())
    bins = int((duration - FROM) / BIN)
    counts = np.zeros((excitatory, bins))
    of_bin = np.minimum(((times - FROM) / BIN).astype(int), bins - 1)
    np.add.at(counts, (cells[cells < excitatory], of_bin[cells < excitatory]), 1)
    firing = np.flatnonzero(counts.std(axis=1) > 0)
    pairs = np.random.default_rng(0).choice(firing, size=(2000, 2))
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    scores = (counts - counts.mean(axis=1, keepdims=True))[firing] / counts[firing].std(axis=1, keepdims=True)
    places = {cell: place for place, cell in enumerate(firing)}
    left, right = ([places[cell] for cell in pairs[:, side]] for side in (0, 1))
    correlation = (scores[left] * scores[right]).mean()
    return [*rates, float(np.mean(variations)), float(correlation)]


def of_peer(options, side, name, seed, duration, scale, out):
    printed, _ = measured([options.peers[side], PEERS[side], name, str(seed), str(duration), str(scale), out])
    return float(printed.split()[-1])


def agree(options, name, folder):
    _, _, duration, sizes = NETWORKS[name]
    sides = ["granule", *options.peers]
    found, died = {side: [] for side in sides}, dict.fromkeys(sides, 0)
    for seed in range(1, options.seeds + 1):
        for side in sides:
            out = os.path.join(folder, f"{side}.npz")
            if side == "granule":
                of_granule(options.granule, name, seed, duration, 1, out)
            else:
                of_peer(options, side, name, seed, duration, 1, out)
            one = statistics_of(out, duration, sizes)
            if one is None:
                died[side] += 1
            else:
                found[side].append(one)
    gone = ", ".join(f"{count} of {side}" for side, count in died.items() if count)
    print(f"{name}, {options.seeds} seeds of {duration} ms" + (f"; died out: {gone}" if gone else ""))
    rows = []
    for index, what in enumerate(["excitatory rate, Hz", "inhibitory rate, Hz", "CV of intervals", "correlation"]):
        all_of = {side: [one[index] for one in values] for side, values in found.items() if len(values) > 1}
        mean = {side: statistics.fmean(values) for side, values in all_of.items()}
        spread = {side: statistics.stdev(values) for side, values in all_of.items()}
        error = {side: spread[side] ** 2 / len(values) for side, values in all_of.items()}
        apart = {
            side: (mean["granule"] - mean[side]) / (error["granule"] + error[side]) ** 0.5
            for side in all_of
            if side != "granule" and "granule" in all_of
        }
        rows.append({"what": what, "mean": mean, "spread": spread, "apart": apart})
        told = [f"{side} {mean[side]:.4f} ± {spread[side]:.4f}" for side in all_of]
        told += [f"{errors:+.2f} standard errors from {side}" for side, errors in apart.items()]
        print(f"  {what:20} " + "; ".join(told), flush=True)
    return {"network": name, "seeds": options.seeds, "died": died, "rows": rows}


def race(options, name, folder):
    rounds = []
    out = os.path.join(folder, "out.npz")
    for scale in (0.25, 1, 4):
        # A small network runs longer, or the start of a process is all that is seen.
        duration = round(NETWORKS[name][2] / min(scale, 1))
        times = {side: [] for side in ["granule", *options.peers]}
        for turn in range(options.rounds):
            for side in list(times)[:: 1 if turn % 2 == 0 else -1]:
                if side == "granule":
                    # The first takes what memory the system has given away back from it, which may take longer than the run.
                    of_granule(options.granule, name, 1, 2, scale, out)
                    whole = of_granule(options.granule, name, 1, duration, scale, out)
                    own = whole - of_granule(options.granule, name, 1, 2, scale, out)
                else:
                    own = of_peer(options, side, name, 1, duration, scale, out)
                times[side].append(own)
        median = {side: statistics.median(values) for side, values in times.items()}
        told = [f"{side} {', '.join(f'{one:.2f}' for one in values)} s" for side, values in times.items()]
        told += [f"{median[side] / median['granule']:.2f} × {side}" for side in options.peers]
        print(f"{name} × {scale:g}, {duration} ms: " + "; ".join(told), flush=True)
        rounds.append({"scale": scale, "duration_ms": duration, "seconds": times})
    return {"network": name, "rounds": rounds}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("granule")
    parser.add_argument("networks", nargs="*", metavar="NETWORK")
    parser.add_argument("--with", dest="peers", action="append", default=[], metavar="NAME=PYTHON")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_intermixed_args()
    options.peers = dict(peer.split("=", 1) for peer in options.peers)
    unknown = [name for name in options.networks if name not in NETWORKS]
    strange = set(options.peers) - set(PEERS)
    if unknown or strange or not options.peers or options.seeds < 2 or options.rounds < 1:
        parser.error(
            f"networks are {', '.join(NETWORKS)}, peers {', '.join(PEERS)}, one of which is needed; two seeds and a round at least"
        )
    with tempfile.TemporaryDirectory() as folder:
        told = [(race if options.speed else agree)(options, name, folder) for name in options.networks or NETWORKS]
    if options.json:
        print(json.dumps(told))


if __name__ == "__main__":
    main()

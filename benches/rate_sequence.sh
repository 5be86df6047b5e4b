#!/usr/bin/env bash
# A training step of a rate network in granule (fused and in Burn's operations) and in its peers, alternating, and the
# ratios of the medians. PYTHON has torch, and jax for that peer.
#   benches/rate_sequence.sh BENCH PYTHON [ROUNDS [PEERS]]
# BENCH is the built bench: cargo build --release -p granule-cli -p granule-ops --bench rate_sequence
set -euo pipefail
bench=$1 python=$2 rounds=${3:-5} peers=${4:-"eager compile jax"}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

median() { sort -g | awk '{v[NR]=$1} END {print v[int((NR+1)/2)]}'; }

for units in 128 256; do
    for _ in $(seq "$rounds"); do
        for form in fused composed; do
            "$bench" 15 "$form" "$units" >>"$work/$units.$form"
        done
        for peer in $peers; do
            "$python" "$here/peers/rate_sequence.py" "$peer" 15 "$units" >>"$work/$units.$peer"
        done
    done
    ours=$(median <"$work/$units.fused")
    for name in fused composed $peers; do
        awk -v n="$name" -v u="$units" -v a="$ours" -v b="$(median <"$work/$units.$name")" -v load="$(cut -d' ' -f1 /proc/loadavg)" \
            'BEGIN {printf "%4d units %-9s %8.2f ms, %6.2f times the fused step (load %s)\n", u, n, b, b/a, load}'
    done
done

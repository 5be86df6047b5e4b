#!/usr/bin/env bash
# A training step of a GRU and of an LSTM in granule and in PyTorch, in turns, with two threads each: the median of each
# round in milliseconds with the load, and the ratio of the medians of the rounds.
#   benches/gated_sequence.sh BENCH PYTHON [ROUNDS]
# BENCH is the built bench: cargo build --release -p granule-cli -p granule-dynamics --bench gated_sequence
set -euo pipefail
bench=$1 python=$2 rounds=${3:-5}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export RAYON_NUM_THREADS=2 OMP_NUM_THREADS=2

median() { sort -g | awk '{v[NR]=$1} END {print v[int((NR+1)/2)]}'; }

for cell in gru lstm; do
    for round in $(seq "$rounds"); do
        load=$(cut -d' ' -f1 /proc/loadavg)
        ours=$("$bench" 15 "$cell")
        theirs=$("$python" "$here/peers/gated_sequence.py" 15 "$cell")
        echo "$ours" >>"$work/$cell.ours"
        echo "$theirs" >>"$work/$cell.theirs"
        printf '%-4s round %d: granule %8.2f ms, PyTorch %8.2f ms (load %s)\n' "$cell" "$round" "$ours" "$theirs" "$load"
    done
    awk -v c="$cell" -v a="$(median <"$work/$cell.ours")" -v b="$(median <"$work/$cell.theirs")" \
        'BEGIN {printf "%-4s medians: granule %8.2f ms, PyTorch %8.2f ms, %.2f times as long\n", c, a, b, b/a}'
done

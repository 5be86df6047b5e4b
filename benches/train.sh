#!/usr/bin/env bash
# Training throughput of granule and of PyTorch, in turns: every round as it ends, then the medians and their ratio.
#
#   benches/train.sh [--busy] GRANULE PYTHON DATA_DIR [ROUNDS] [MODEL...]
#
# GRANULE is the command, built with `cargo build --release`; PYTHON an interpreter with torch and numpy; DATA_DIR holds
# mnist/ and cifar-10/. ROUNDS is 5 unless given, MODEL any of mlp, lenet and cnn, all three unless given.
#
# Both sides train the same network for one epoch on the same number of images, batch 64, with all cores; loading is not
# timed. Which goes first changes from round to round. The machine must be quiet: with a load average above 0.3 over the
# last minute it refuses to run. --busy measures all the same, and says so; such numbers are no results.
set -euo pipefail

usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2; exit 2; }
busy=
case ${1-} in
    --busy) busy=1; shift ;;
    -*) usage ;;
esac
[ $# -ge 3 ] || usage
granule=$1 python=$2 data=$3 rounds=${4:-5}
shift $(($# < 4 ? $# : 4))
models=("$@")
[ $# -gt 0 ] || models=(mlp lenet cnn)
case $rounds in '' | *[!0-9]* | 0) usage ;; esac

here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

load=$(cut -d ' ' -f 1 /proc/loadavg)
quiet=$(awk -v load="$load" 'BEGIN {print (load <= 0.3)}')
if [ "$quiet" != 1 ]; then
    if [ -z "$busy" ]; then
        echo "the load average is $load; wait until it is 0.3 or less, or measure all the same with --busy" >&2
        exit 1
    fi
    echo "NOT QUIET: load average $load"
fi
echo "$(date -u +%Y-%m-%d), $(nproc) cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)," \
    "load $load, $("$granule" --version), $("$python" -c 'import torch; print("torch", torch.__version__)')"

of_granule() {
    "$granule" train "$1" --dataset "$2" --data-dir "$data" --device flex --epochs 1 --limit-train "$3" \
        --limit-test 100 --run-dir "$work/run-$1-$4" --json | tail -n 1 | throughput
}
of_torch() { "$python" "$here/peers/train.py" "$1" "$data" --limit "$3" | throughput; }
throughput() { "$python" -c 'import json,sys; print(round(json.loads(sys.stdin.readline())["images_per_second"], 1))'; }
median() {
    sort -g "$1" | awk '{v[NR] = $1} END {m = int((NR + 1) / 2); print NR % 2 ? v[m] : (v[m] + v[m + 1]) / 2}'
}

for model in "${models[@]}"; do
    case $model in
        mlp) dataset=mnist limit=60000 ;;
        lenet) dataset=mnist limit=20000 ;;
        cnn) dataset=cifar-10 limit=2560 ;;
        *) usage ;;
    esac
    for round in $(seq "$rounds"); do
        order=(granule torch)
        ((round % 2)) || order=(torch granule)
        for side in "${order[@]}"; do
            "of_$side" "$model" "$dataset" "$limit" "$round" >"$work/last"
            cat "$work/last" >>"$work/$model.$side"
            printf '%-6s round %d  %-8s %10.1f images/s\n' "$model" "$round" "$side" "$(cat "$work/last")"
        done
    done
    awk -v m="$model" -v a="$(median "$work/$model.granule")" -v b="$(median "$work/$model.torch")" \
        'BEGIN {printf "%-6s medians  granule %.0f, torch %.0f images/s, granule %.2f times as fast\n", m, a, b, a / b}'
done
[ "$quiet" = 1 ] || echo "NOT QUIET: these numbers are no results"

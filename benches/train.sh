#!/usr/bin/env bash
# Training throughput of granule and of PyTorch, alternating, and the ratio of the medians.
#   benches/train.sh GRANULE PYTHON DATA_DIR [ROUNDS]
set -euo pipefail
granule=$1 python=$2 data=$3 rounds=${4:-5}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

run_granule() {
    "$granule" train "$1" --dataset "$2" --data-dir "$data" --device flex --epochs 1 --limit-train "$3" --limit-test 100 \
        --run-dir "$work/$RANDOM$RANDOM" --json | tail -n 1
}
throughput() { "$python" -c 'import json,sys; print(json.loads(sys.stdin.readline())["images_per_second"])'; }
median() { sort -g | awk '{v[NR]=$1} END {print v[int((NR+1)/2)]}'; }

for row in "mlp mnist 60000" "lenet mnist 20000" "cnn cifar-10 2560"; do
    read -r model dataset limit <<<"$row"
    for _ in $(seq "$rounds"); do
        run_granule "$model" "$dataset" "$limit" | throughput >>"$work/$model.granule"
        "$python" "$here/peers/train.py" "$model" "$data" --limit "$limit" | throughput >>"$work/$model.torch"
    done
    ours=$(median <"$work/$model.granule") theirs=$(median <"$work/$model.torch")
    awk -v m="$model" -v a="$ours" -v b="$theirs" \
        'BEGIN {printf "%-6s granule %8.0f images/s, torch %8.0f images/s, ratio %.2f\n", m, a, b, a/b}'
done

#!/usr/bin/env bash
# Inference in granule, ONNX Runtime and PyTorch, in turns, with two threads each: microseconds of one image, of an image of
# 256 together and of loading, of each round with the load, and the ratios of the medians of the rounds.
#   benches/inference.sh BENCH PYTHON_ONNXRUNTIME PYTHON_TORCH [ROUNDS [IMAGES]]
# BENCH is the built bench: cargo build --release -p granule-cli -p granule-models --bench inference
set -euo pipefail
bench=$1 onnxruntime=$2 torch=$3 rounds=${4:-5} images=${5:-2000}
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export RAYON_NUM_THREADS=2 OMP_NUM_THREADS=2

# The median of a column of lines.
median() { awk -v c="$1" '{print $c}' "$2" | sort -g | awk '{v[NR]=$1} END {print v[int((NR+1)/2)]}'; }

for model in mlp lenet cnn; do
    for round in $(seq "$rounds"); do
        load=$(cut -d' ' -f1 /proc/loadavg)
        "$bench" "$images" "$model" >>"$work/$model.granule"
        "$onnxruntime" "$here/peers/inference.py" onnxruntime "$model" "$images" >>"$work/$model.onnxruntime"
        "$torch" "$here/peers/inference.py" torch "$model" "$images" >>"$work/$model.torch"
        for who in granule onnxruntime torch; do
            printf 'round %d (load %s) %-12s %s\n' "$round" "$load" "$who" "$(tail -n 1 "$work/$model.$who")"
        done
    done
    # Columns: model, one, MEDIAN, p99, P99, together, EACH, load, LOAD.
    for part in 'one:3' 'together:7' 'load:9'; do
        column=${part#*:}
        ours=$(median "$column" "$work/$model.granule")
        for who in onnxruntime torch; do
            theirs=$(median "$column" "$work/$model.$who")
            awk -v m="$model" -v p="${part%:*}" -v w="$who" -v a="$ours" -v b="$theirs" \
                'BEGIN {printf "%-5s %-8s medians: granule %9.2f µs, %-11s %9.2f µs, %.2f times as long\n", m, p, a, w, b, b/a}'
        done
    done
done

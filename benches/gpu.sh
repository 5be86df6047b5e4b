#!/usr/bin/env bash
# What only a real GPU can tell, in at most seven minutes, as JSON lines: the devices, the rows of `granule bench` on the GPU and on
# the CPU, training in batches that fill a card, ResNet on CIFAR-10, and tests of the wgpu backend.
#   benches/gpu.sh [--tiny] [--device SPEC] [--data DIR] [--python PYTHON] [--test BINARY]... GRANULE OUT.jsonl
# GRANULE is the built command. It needs nothing else but a Vulkan loader with the card's driver. DIR holds cifar-10/; without it
# ResNet learns nothing here. PYTHON has torch with CUDA, whose training rows follow granule's. Each BINARY is a built test that is run
# with GRANULE_REQUIRE_WGPU=1. SPEC is `gpu` unless given; --tiny takes `wgpu:software` and a minute or two, to see that it works.
set -euo pipefail
usage() { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2; exit 2; }
tiny='' device='' data='' python='' tests=()
while [ $# -gt 0 ]; do
    case $1 in
        --tiny) tiny=1; shift ;;
        --device) device=${2-}; shift 2 || usage ;;
        --data) data=${2-}; shift 2 || usage ;;
        --python) python=${2-}; shift 2 || usage ;;
        --test) tests+=("${2-}"); shift 2 || usage ;;
        -*) usage ;;
        *) break ;;
    esac
done
[ $# -eq 2 ] || usage
granule=$1 out=$2
here=$(cd "$(dirname "$0")" && pwd)
if [ -n "$tiny" ]; then device=${device:-wgpu:software}; else device=${device:-gpu}; fi
: >"$out"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
began=$SECONDS
left() { echo $((420 - SECONDS + began)); }

# What a step says goes to the file, each line with the name of the step; one that fails or runs out of time is a line as well.
step() {
    local name=$1 limit=$2 code=0
    shift 2
    [ "$(left)" -gt "$limit" ] || limit=$(left)
    if [ "$limit" -lt 5 ]; then
        echo "{\"step\":\"$name\",\"failed\":\"no time was left\"}" >>"$out"
        return 0
    fi
    echo "$name (at most $limit s)" >&2
    timeout "$limit" "$@" >"$work/lines" 2>"$work/errors" || code=$?
    awk -v step="$name" '/^\{/ {sub(/^\{/, "{\"step\":\"" step "\","); print}' "$work/lines" >>"$out"
    if [ "$code" -ne 0 ]; then
        tail -n 3 "$work/errors" >&2
        echo "{\"step\":\"$name\",\"failed\":\"exit code $code\"}" >>"$out"
    fi
}

step devices 30 "$granule" devices --json
if [ -n "$tiny" ]; then
    step bench 240 "$granule" bench --json --device "$device" --seconds 0.01 train-mlp predict-mlp cells
    step train 120 "$granule" train mlp --device "$device" --epochs 1 --limit-train 256 --limit-test 64 --batch-size 128 \
        --run-dir "$work/mlp" --json
else
    step bench 150 "$granule" bench --json --device "$device" --seconds 2 train predict load cells \
        simulate-hodgkin-huxley-1000 simulate-jansen-rit
    step bench-cpu 60 "$granule" bench --json --device cpu --seconds 1 train-mlp train-lenet train-cnn train-rate cells
    for batch in 256 1024 4096; do
        step "train-mlp-$batch" 20 "$granule" train mlp --device "$device" --epochs 20 --batch-size "$batch" \
            --run-dir "$work/mlp-$batch" --json
    done
    if [ -n "$data" ]; then
        for batch in 256 1024; do
            step "train-cnn-$batch" 30 "$granule" train cnn --dataset cifar-10 --data-dir "$data" --offline --device "$device" \
                --epochs 2 --batch-size "$batch" --run-dir "$work/cnn-$batch" --json
        done
        step resnet 240 "$granule" train resnet --dataset cifar-10 --data-dir "$data" --offline --device "$device" \
            --epochs 20 --batch-size 256 --run-dir "$work/resnet" --json
    fi
fi
if [ -n "$python" ]; then
    for model in mlp lenet cnn; do
        step "torch-$model" 60 "$python" -c "
import json, subprocess, sys
found = subprocess.run([sys.executable, '$here/peers/train.py', '$model', '--images', '32000', '--device', 'cuda'],
                       capture_output=True, text=True, check=True)
print(json.dumps({'row': 'train-$model', 'peer': 'torch', 'images_per_second': float(found.stdout.split()[-1])}))"
    done
fi
for test in "${tests[@]}"; do
    step "test-$(basename "$test")" 200 bash -c "GRANULE_REQUIRE_WGPU=1 '$test' wgpu 2>&1 | tail -n 40 | tee '$work/tested' >&2
        grep -q 'test result: ok' '$work/tested' && grep -o '[0-9]* passed' '$work/tested' | head -n 1 |
        sed 's/\([0-9]*\) passed/{\"passed\":\1}/'"
done
echo "$((SECONDS - began)) s, $(grep -c '"failed"' "$out" || true) failed; $out" >&2
grep -q '"failed"' "$out" && exit 1 || exit 0

#!/usr/bin/env bash
# Small simulations in granule and in Brian2, in turns: the seconds of each round with the load, and the ratios of the medians.
#   benches/simulate.sh [--busy] GRANULE PYTHON [ROUNDS [CASE...]]
# GRANULE is the built command, PYTHON an interpreter with brian2; a CASE is hodgkin-huxley:CELLS or balanced-network:CELLS.
# granule's time is that of the whole command, process and drawing of connections included, Brian2's that of `run` in a process
# that has compiled already. The machine must be quiet, load below 0.3 before each round; --busy measures all the same, and
# says so.
set -euo pipefail
busy=
if [ "${1-}" = --busy ]; then busy=1; shift; fi
[ $# -ge 2 ] || { sed -n '2,/^set/{/^set/d;s/^# \{0,1\}//;p}' "$0" >&2; exit 2; }
granule=$1 python=$2 rounds=${3:-5}
shift $(($# < 3 ? $# : 3))
cases=("$@")
[ $# -gt 0 ] || cases=(hodgkin-huxley:1 hodgkin-huxley:1000 balanced-network:1000 balanced-network:2000 balanced-network:4000 balanced-network:10000)
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

median() { sort -g "$1" | awk '{v[NR] = $1} END {m = int((NR + 1) / 2); print NR % 2 ? v[m] : (v[m] + v[m + 1]) / 2}'; }
quiet() {
    [ -n "$busy" ] && return
    for _ in $(seq 60); do
        awk '{exit !($1 < 0.3)}' /proc/loadavg && return
        sleep 5
    done
    echo "the load average stays at $(cut -d ' ' -f 1 /proc/loadavg); wait, or measure all the same with --busy" >&2
    exit 1
}
ours() {
    local kind=$1 cells=$2 settings=()
    case $kind in
        hodgkin-huxley) settings=(--duration 150 --dt 0.025 --set unit.cells="$cells" --set record.every=1000) ;;
        balanced-network)
            settings=(--duration 1000 --dt 0.1 --set network.excitatory=$((cells * 4 / 5))
                --set network.inhibitory=$((cells - cells * 4 / 5)) --set record.every=1000)
            ;;
        *) echo "no such case: $kind" >&2; exit 2 ;;
    esac
    local before after
    before=$(date +%s.%N)
    "$granule" simulate "$kind" "${settings[@]}" -q >/dev/null
    after=$(date +%s.%N)
    awk -v a="$before" -v b="$after" 'BEGIN {printf "%.4f\n", b - a}'
}

echo "$(date -u +%Y-%m-%d), $(nproc) cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $("$granule" --version)," \
    "$("$python" -c 'import brian2; print("Brian2", brian2.__version__)')${busy:+, NOT QUIET: these numbers are no results}"
for case in "${cases[@]}"; do
    kind=${case%:*} cells=${case#*:}
    for round in $(seq "$rounds"); do
        quiet
        load=$(cut -d ' ' -f 1 /proc/loadavg)
        ours "$kind" "$cells" >"$work/last.ours"
        "$python" "$here/peers/simulate.py" "$kind" "$cells" 2>/dev/null >"$work/last.theirs"
        cat "$work/last.ours" >>"$work/$case.ours"
        cat "$work/last.theirs" >>"$work/$case.theirs"
        printf '%-24s round %d: granule %8.3f s, Brian2 %8.3f s (load %s)\n' "$case" "$round" \
            "$(cat "$work/last.ours")" "$(cat "$work/last.theirs")" "$load"
    done
    awk -v c="$case" -v a="$(median "$work/$case.ours")" -v b="$(median "$work/$case.theirs")" \
        'BEGIN {printf "%-24s medians: granule %8.3f s, Brian2 %8.3f s, %.1f times as long\n", c, a, b, b / a}'
done

#!/usr/bin/env bash
# Hostile files, numbers, limits and kills in large numbers; the tests try a few of each.
#   benches/campaigns.sh [TRUNCATIONS [MUTATIONS [KILLS]]]
# TRUNCATIONS of every kind of image, MUTATIONS of the numbers in configurations, runs under 60 limits on their memory, and
# KILLS of runs that train. Needs the crates built for the tests, or builds them.
set -euo pipefail
cd "$(dirname "$0")/.."
truncations=${1:-2000} mutations=${2:-20000} kills=${3:-200}

campaign() {
    printf '== %s\n' "$1"
    shift
    env "$1" cargo test --release --locked "${@:2}" --nocapture
}

campaign "images cut short" "GRANULE_TRUNCATIONS=$truncations" -p granule-cli -p granule-io --lib -- truncations
campaign "numbers of configurations" "GRANULE_MUTATIONS=$mutations" -p granule-cli -p granule-train --test mutations --
campaign "limits on memory" GRANULE_MUTATIONS=1 -p granule-cli --test system -- limits
campaign "runs killed at any time" "GRANULE_TEST_KILLED_RUNS=$kills" -p granule-cli --test system -- killed_at_any_time

#!/usr/bin/env bash
# Builds the wheel of the Python package, installs it into a fresh virtual environment and tests it there.
# Exits with 77 where Python with venv, or the package index, cannot be had.
set -euo pipefail
cd "$(dirname "$0")"

python="${PYTHON:-python3}"
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
skip() {
    echo "skipped: $*" >&2
    exit 77
}

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || skip "there is no Python 3.11 or later"
"$python" -m venv "$scratch/venv" >"$scratch/log" 2>&1 || skip "python3 -m venv fails: $(tail -n 1 "$scratch/log")"
pip() { "$scratch/venv/bin/python" -m pip --disable-pip-version-check --quiet "$@"; }
pip install --requirement requirements.txt >"$scratch/log" 2>&1 \
    || skip "the packages of requirements.txt cannot be had: $(tail -n 1 "$scratch/log")"

"$scratch/venv/bin/maturin" build --release --locked --out "$scratch/wheels" --interpreter "$scratch/venv/bin/python"
pip install --no-deps "$scratch"/wheels/granule-*.whl

# Away from the sources, so that what is imported is the wheel.
cp -r tests pyproject.toml ../../README.md ../../docs ../../examples "$scratch"
cd "$scratch"
export MPLBACKEND=Agg
venv/bin/python -m pytest "$@"
venv/bin/mypy --config-file pyproject.toml --strict -p granule
venv/bin/mypy --config-file pyproject.toml --strict tests/typed.py
ls -l wheels | awk 'NR > 1 { printf "%s: %.1f MB\n", $NF, $5 / 1e6 }'

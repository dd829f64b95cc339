#!/usr/bin/env bash
# make fmt: formats the Rust and Python sources.
source "$(dirname "$0")/lib.sh"

cargo fmt --all
if [[ -x .cache/venv/lint/bin/ruff ]]; then
  .cache/venv/lint/bin/ruff format --quiet --config python/pyproject.toml python tools bench
else
  echo "Python is formatted once \`make lint\` has installed ruff." >&2
fi

#!/usr/bin/env bash
# make bench: builds in release and measures; prints a table and writes .cache/bench.json.
source "$(dirname "$0")/lib.sh"

require_build_tools
has wrk || fail "wrk is missing. Run \`make deps\`, then try again."
step "Building in release" cargo build --locked --release --workspace --bins
target/release/dataflow-bench --json .cache/bench.json

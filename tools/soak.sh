#!/usr/bin/env bash
# make soak: the promises of docs/security.md with their full numbers. It takes hours, and prints one line for each.
#
#   tools/soak.sh [FILTER]    a filter of cargo-nextest, for a part of them: tools/soak.sh 'binary(store_killed)'
#   tools/soak.sh python      those of the SDK alone
source "$(dirname "$0")/lib.sh"
source tools/python_tests.sh

export DATAFLOW_SOAK=1
all='binary(/^(audit_chain|audit_disk|backup|backup_refused|malformed|outbound_guard|rate_limits|secrets_planted|slow_clients|store_disk|store_keys|store_killed)$/) or test(hostile) or test(/^ops::tests::keys/)'

tools/preflight.sh
step "Looking for what the tests need" tools/deps.sh
step "Building all tests" cargo build --locked --workspace --all-targets
# The promises are of the program that people run, and so is its speed.
step "Building in release" cargo build --locked --release --workspace --bins
export DATAFLOW_BIN=$PWD/target/release/dataflow
if [[ ${1:-} != python ]]; then
  step "Promises with their full numbers" cargo nextest run --locked --workspace --profile soak -E "${1:-$all}"
fi
if [[ ${1:-python} == python ]]; then
  python=$(pythons | tail -1)
  [[ -n $python ]] || fail "No Python 3.9 to 3.13 with venv was found. Install one (apt-get install python3-venv), then try again."
  step "Building the wheel" build_wheel "$python"
  step "Promises of the SDK with their full numbers" test_python 2.1 "$python" promises
fi

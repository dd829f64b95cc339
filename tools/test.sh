#!/usr/bin/env bash
# make test: every test, against real servers that the tests start themselves.
#
# TEST_JOBS says how many tests run at a time. Unless it does, three for every two cores do: most wait for servers more than they compute.
source "$(dirname "$0")/lib.sh"
source tools/python_tests.sh

# plan PYTHON…: "SERIES PYTHON EXTENT" for each run: every interpreter once, and each series of SQLAlchemy at least once. The first and the
# last, between which the drivers' versions lie, run whole; the others leave out what takes minutes and is the same on all.
plan() {
  local rows count=0 extent row
  mapfile -t rows < <(runs "$@")
  for row in "${rows[@]}"; do
    count=$((count + 1))
    extent=brief
    if ((count == 1 || count == ${#rows[@]})); then extent=whole; fi
    printf '%s %s\n' "$row" "$extent"
  done
}

runs() {
  local python version series seen=
  for python in "$@"; do
    version=$(version_of "$python")
    case $version in 3.9 | 3.10 | 3.11) series=2.0 ;; *) series=2.1 ;; esac
    seen+=" $series"
    printf '%s %s\n' "$series" "$python"
  done
  for series in 2.0 2.1; do
    # SQLAlchemy 2.1 wants Python 3.11; the interpreters come in the order of their age.
    if [[ $seen != *$series* ]] && at_least 3.11 "$version"; then printf '%s %s\n' "$series" "$python"; fi
  done
}

tools/preflight.sh
step "Looking for what the tests need" tools/deps.sh

step "Building the binary and all tests" cargo build --locked --workspace --all-targets
step "Rust tests" cargo nextest run --locked --workspace --test-threads "$jobs"
step "Examples in the documentation" cargo test --locked --workspace --doc --quiet

mapfile -t interpreters < <(pythons)
((${#interpreters[@]})) || fail "No Python 3.9 to 3.13 with venv was found. Install one (apt-get install python3-venv), then try again."
first_python=${interpreters[0]}
step "Building the wheel" build_wheel "$first_python"
step "make run as a newcomer types it, and the script of the README" tools/first_run.sh "$first_python"
while read -r series python extent; do
  step "Python tests on $("$python" --version) with SQLAlchemy $series, $extent ($python)" test_python "$series" "$python" "$extent" </dev/null
done < <(plan "${interpreters[@]}")

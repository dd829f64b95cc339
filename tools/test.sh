#!/usr/bin/env bash
# make test: every test, against real servers that the tests start themselves.
#
# TEST_JOBS says how many tests run at a time. Unless it does, three for every two cores do: most wait for servers more than they compute.
source "$(dirname "$0")/lib.sh"

jobs=${TEST_JOBS:-$((($(nproc) * 3 + 1) / 2))}

# pythons: the path of every interpreter of 3.9 to 3.13 on this machine, one of each.
pythons() {
  local minor candidate
  for minor in 9 10 11 12 13; do
    for candidate in "$(command -v "python3.$minor" || true)" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3."$minor".*/bin/python3; do
      if [[ -x $candidate ]] && "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
        printf '%s\n' "$candidate"
        break
      fi
    done
  done
}

build_wheel() {
  rm -rf .cache/wheel
  "$first_python" -m venv .cache/venv/build
  .cache/venv/build/bin/pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir .cache/wheel ./python \
    --config-settings=build-args="--profile dev --locked"
}

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

version_of() {
  "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])'
}

# test_python SERIES PYTHON EXTENT: the SDK's own tests in a fresh environment, which is kept as long as nothing in it changes.
test_python() {
  local venv wheel brief
  venv=.cache/venv/$(version_of "$2")-sqlalchemy-$1
  wheel=$(echo .cache/wheel/*.whl)
  [[ -x $venv/bin/pytest ]] || "$2" -m venv --clear "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --no-compile --upgrade "${wheel}[test]" "SQLAlchemy==$1.*"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --no-compile --force-reinstall --no-deps "$wheel"
  "$venv/bin/pip" freeze | grep -Ei '^(sqlalchemy|psycopg|pymysql|mysqlclient|asyncpg|aiomysql|aiosqlite)' | paste -s -d ' '
  # From another folder, so that the installed package is tested and not the one in the sources.
  (
    cd python/tests
    export DATAFLOW_BIN=$PWD/../../target/debug/dataflow
    if [[ $3 == brief ]]; then brief=(-m 'not lengthy'); else brief=(); fi
    "../../$venv/bin/python" -m pytest --rootdir .. -c ../pyproject.toml --numprocesses "$jobs" --maxprocesses 4 \
      --dist worksteal "${brief[@]}" .
  )
}

tools/preflight.sh
step "Looking for what the tests need" tools/deps.sh

step "Building the binary and all tests" cargo build --locked --workspace --all-targets
step "Rust tests" cargo nextest run --locked --workspace --test-threads "$jobs"
step "Examples in the documentation" cargo test --locked --workspace --doc --quiet

mapfile -t interpreters < <(pythons)
((${#interpreters[@]})) || fail "No Python 3.9 to 3.13 with venv was found. Install one (apt-get install python3-venv), then try again."
first_python=${interpreters[0]}
step "Building the wheel" build_wheel
step "make run as a newcomer types it, and the script of the README" tools/first_run.sh "$first_python"
while read -r series python extent; do
  step "Python tests on $("$python" --version) with SQLAlchemy $series, $extent ($python)" test_python "$series" "$python" "$extent" </dev/null
done < <(plan "${interpreters[@]}")

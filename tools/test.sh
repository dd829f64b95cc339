#!/usr/bin/env bash
# make test: every test, against real servers that the tests start themselves.
#
# TEST_JOBS says how many tests run at a time, if fewer than there are cores.
source "$(dirname "$0")/lib.sh"

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

# test_python PYTHON: the SDK's own tests in a fresh environment, which is kept as long as nothing in it changes.
test_python() {
  local venv wheel
  venv=.cache/venv/$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  wheel=$(echo .cache/wheel/*.whl)
  [[ -x $venv/bin/pytest ]] || "$1" -m venv --clear "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --upgrade "${wheel}[test,asyncpg,aiomysql,aiosqlite]"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --force-reinstall --no-deps "$wheel"
  # From another folder, so that the installed package is tested and not the one in the sources.
  (cd python/tests && DATAFLOW_BIN=$PWD/../../target/debug/dataflow "../../$venv/bin/python" -m pytest --rootdir .. -c ../pyproject.toml .)
}

tools/preflight.sh
step "Looking for what the tests need" tools/deps.sh

step "Building the binary and all tests" cargo build --locked --workspace --all-targets
step "Rust tests" cargo nextest run --locked --workspace ${TEST_JOBS:+--test-threads "$TEST_JOBS"}
step "Examples in the documentation" cargo test --locked --workspace --doc --quiet

mapfile -t interpreters < <(pythons)
((${#interpreters[@]})) || fail "No Python 3.9 to 3.13 with venv was found. Install one (apt-get install python3-venv), then try again."
first_python=${interpreters[0]}
step "Building the wheel" build_wheel
for interpreter in "${interpreters[@]}"; do
  step "Python tests on $("$interpreter" --version) ($interpreter)" test_python "$interpreter"
done

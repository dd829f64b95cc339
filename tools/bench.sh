#!/usr/bin/env bash
# make bench: builds in release and measures; prints a table and writes .cache/bench.json.
#
#   tools/bench.sh [start|credentials|tests|sdk|list|scan]…
#
# PYTHON names the interpreter, if not python3.
source "$(dirname "$0")/lib.sh"

venv=.cache/venv/bench
python=${PYTHON:-python3}
sdk_sources=(python crates/client crates/model catalog Cargo.toml Cargo.lock)

build() {
  cargo build --locked --release --workspace --bins
}

# The SDK as it is published, where its sources are not those that were installed last.
install_sdk() {
  local wanted stamp=$venv/sdk.digest
  wanted="$(digest "${sdk_sources[@]}") $("$python" --version)"
  if [[ -f $stamp && $(<"$stamp") == "$wanted" ]]; then return; fi
  "$python" -m venv --clear "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check ./python --config-settings=build-args="--locked"
  printf '%s' "$wanted" >"$stamp"
}

require_build_tools
require_python "$python"
has wrk || fail "wrk is missing. Run \`make deps\`, then try again."
compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || fail "PostgreSQL is missing. Run \`make deps\`, then try again."
step "Building in release (the first time about 15 minutes)" build
step "Building the Python SDK as it is published (the first time about 5 minutes)" install_sdk

# What the bench leaves if it is interrupted goes with this folder; PostgreSQL, run as another user, must get through it.
TMPDIR=$(mktemp -d)
export TMPDIR
chmod 711 "$TMPDIR"
trap 'rm -rf "$TMPDIR"' EXIT
trap 'exit 1' INT TERM
# The bench ends what it starts; the limit is for a machine on which it hangs.
timeout --foreground 1200 target/release/dataflow-bench --python "$venv/bin/python" --json .cache/bench.json "$@"

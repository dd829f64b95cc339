#!/usr/bin/env bash
# Tells a machine that cannot reach a package mirror from a test that fails. Fetches what the build needs, where it is not here
# yet; exits with 75 (EX_TEMPFAIL) when a mirror does not answer.
source "$(dirname "$0")/lib.sh"

unreachable() {
  printf 'UNREACHABLE: %s\nNo test has run, and none has failed. Check the network, then try again.\n' "$*" >&2
  exit 75
}

# try COMMAND…: up to three times, with a pause; quiet until the last one.
try() {
  local attempt
  for attempt in 1 2; do
    if "$@" >/dev/null 2>&1; then return 0; fi
    sleep $((attempt * 5))
  done
  "$@"
}

fetch_wheel() {
  local folder status=0
  folder=$(mktemp -d)
  "${PYTHON:-python3}" -m pip download --quiet --disable-pip-version-check --no-deps --dest "$folder" typing-extensions || status=$?
  rm -rf "$folder"
  return "$status"
}

require_build_tools
require_python "${PYTHON:-python3}"
try cargo fetch --locked --quiet || unreachable "the registry of Rust crates (crates.io, or the mirror that cargo is set up with)"
try fetch_wheel || unreachable "the Python package index (PyPI, or the mirror that pip is set up with)"

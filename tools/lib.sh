# shellcheck shell=bash
# Shared by the scripts in this folder, which source it first. Leaves the shell in the top folder of the repository.

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# What the scripts install for themselves; nothing of it reaches the system.
TOOLS=$PWD/.cache/tools
PATH=$TOOLS/bin:$PATH

# Where the tests keep what takes long to make. As root their servers run as `nobody`, who cannot enter root's home.
if ((EUID == 0)); then cache=/var/tmp/dataflow-test-cache; else cache=$PWD/.cache; fi
export DATAFLOW_TEST_CACHE=${DATAFLOW_TEST_CACHE:-$cache}

# One clear sentence, and the end.
fail() {
  printf '%s\n' "$*" >&2
  exit 1
}

# step TEXT COMMAND…: says what is done, shows its output, and says how long it took.
step() {
  local text=$1 began=$SECONDS
  shift
  printf '==> %s\n' "$text"
  "$@"
  printf '    done in %s\n' "$(duration $((SECONDS - began)))"
}

# duration SECONDS: 7 s, 3 min 07 s
duration() {
  if (($1 < 60)); then printf '%d s' "$1"; else printf '%d min %02d s' $(($1 / 60)) $(($1 % 60)); fi
}

# The script that the README tells a newcomer to run: what stands between its fences of three backticks.
readme_script() {
  awk 'BEGIN { fence = "\140\140\140" } $0 == fence "python" { inside = 1; next } $0 == fence { inside = 0 } inside' README.md
}

has() {
  command -v "$1" >/dev/null 2>&1
}

# digest PATH…: one hash over the names and contents of all files under the paths, without what builds leave behind.
digest() {
  find "$@" -type f -not -path '*/__pycache__/*' -not -path '*/.venv/*' -not -path '*.egg-info/*' -not -name '*.so' -print0 |
    LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -d ' ' -f 1
}

# The oldest Rust that Cargo.toml allows.
required_rust() {
  sed -n 's/^rust-version = "\(.*\)"$/\1/p' Cargo.toml
}

# at_least WANTED FOUND: whether version FOUND is WANTED or newer.
at_least() {
  [[ $(printf '%s\n%s\n' "$1" "$2" | sort -V | head -n 1) == "$1" ]]
}

# Ends with one sentence if what every build needs is missing or too old.
require_build_tools() {
  local rust
  if ! has cargo || ! has rustc; then
    fail "Rust is missing. Install Rust $(required_rust) or newer from https://rustup.rs, then try again."
  fi
  rust=$(rustc --version | cut -d ' ' -f 2)
  at_least "$(required_rust)" "$rust" ||
    fail "Rust $rust is too old. Install $(required_rust) or newer (rustup update stable), then try again."
  has cc || fail "A C compiler is missing. Install one (apt-get install gcc libc6-dev), then try again."
}

# require_python PYTHON: ends with one sentence unless it is 3.9 or newer and can make virtual environments.
require_python() {
  has "$1" || fail "$1 is missing. Install Python 3.9 or newer with venv (apt-get install python3 python3-venv), then try again."
  "$1" -c 'import sys; sys.exit(sys.version_info < (3, 9))' ||
    fail "$1 is older than Python 3.9. Name a newer one (make run PYTHON=python3.11), then try again."
  "$1" -c 'import ensurepip, venv' 2>/dev/null ||
    fail "$1 cannot make virtual environments. Install its venv module (apt-get install python3-venv), then try again."
}

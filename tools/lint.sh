#!/usr/bin/env bash
# make lint: all linters, or those that are named.
#
#   tools/lint.sh [fmt|clippy|deny|typos|python|shell|guards]…
source "$(dirname "$0")/lib.sh"

deny_version=0.20.2
venv=.cache/venv/lint

# The linters that come as Python wheels, compiled ones among them.
require_linters() {
  local stamp=$venv/requirements.digest wanted
  wanted=$(digest tools/lint-requirements.txt)
  if [[ -f $stamp && $(<"$stamp") == "$wanted" ]]; then return; fi
  "${PYTHON:-python3}" -m venv --clear "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --requirement tools/lint-requirements.txt
  printf '%s' "$wanted" >"$stamp"
}

require_deny() {
  has cargo-deny || cargo install cargo-deny --version "$deny_version" --locked --debug --root "$TOOLS"
}

lint_fmt() {
  cargo fmt --all --check
}

lint_clippy() {
  cargo clippy --locked --workspace --all-targets -- -D warnings
}

# Advisories need a database from the network: `make audit`.
lint_deny() {
  require_deny
  cargo deny --locked check bans licenses sources
}

lint_typos() {
  require_linters
  "$venv/bin/typos"
}

lint_python() {
  require_linters
  cd python # The paths in its pyproject.toml start here.
  "../$venv/bin/ruff" format --check --config pyproject.toml . ../tools ../bench
  "../$venv/bin/ruff" check --config pyproject.toml . ../tools ../bench
  "../$venv/bin/mypy"
  cd ..
}

lint_shell() {
  require_linters
  local scripts
  mapfile -t scripts < <(git ls-files '*.sh' .ci/run)
  "$venv/bin/shellcheck" --external-sources --source-path=SCRIPTDIR "${scripts[@]}"
}

lint_guards() {
  tools/guards.sh
}

for part in "${@:-fmt clippy deny typos python shell guards}"; do
  # The default is one word list, so it is split here.
  for name in $part; do step "lint: $name" "lint_$name"; done
done

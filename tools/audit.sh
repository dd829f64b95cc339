#!/usr/bin/env bash
# make audit: known vulnerabilities in the dependencies. Apart from `make lint`, because it fetches the RustSec database from the
# network, and because its answer changes without a change here.
source "$(dirname "$0")/lib.sh"

has cargo-deny || fail "cargo-deny is missing. Run \`make lint\` once, which installs it, then try again."
cargo deny --locked check advisories

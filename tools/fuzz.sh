#!/usr/bin/env bash
# make fuzz: every reader of foreign bytes, with many more cases than in `make test`, and others each time.
#
#   tools/fuzz.sh [CASES]
#
# A failure prints the shortest input that was found. Put it into the corpus of that reader (a module or test named fuzz).
source "$(dirname "$0")/lib.sh"

export PROPTEST_CASES=${1:-200000}
step "Fuzzing with $PROPTEST_CASES cases for each reader" cargo test --locked --workspace --lib --quiet fuzz

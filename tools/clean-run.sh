#!/usr/bin/env bash
# make clean-run: throws away what `make run` made. Refuses while its server runs.
source "$(dirname "$0")/lib.sh"

if [[ -e .run/lock ]] && ! flock --nonblock .run/lock true; then
  fail "\`make run\` is still running. Stop it with Ctrl-C in its terminal, then try again."
fi
rm -rf .run
echo "Removed .run: the next \`make run\` begins anew."

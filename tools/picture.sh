#!/usr/bin/env bash
# make picture: renders the page of the README's picture, photographs it as docs/studio.png, and notes what it was made from.
source "$(dirname "$0")/lib.sh"

step "Looking for what the tests need" tools/deps.sh
step "Building the tests" cargo build --locked --workspace --all-targets
step "Rendering the page" env INSTA_UPDATE=always cargo nextest run --locked --workspace -E 'test(=studio::view::picture::picture)'
step "Taking the picture" env DATAFLOW_WRITE_PICTURE=1 cargo nextest run --locked --workspace -E 'binary(studio_picture)'
printf 'Look at docs/studio.png, then commit what git shows as changed.\n'

#!/usr/bin/env bash
# What no other linter looks for: foreign crypto in the build, switched-off lints and tests, unfinished work, paths of one machine.
source "$(dirname "$0")/lib.sh"

problems=0

problem() {
  printf '%s\n' "$*" >&2
  problems=$((problems + 1))
}

# absent CRATE: fails if it is compiled in on any target. aws-lc-rs is the one crypto provider.
absent() {
  local tree
  tree=$(cargo tree --locked --workspace --target all --edges normal,build,dev --invert "$1" 2>/dev/null || true)
  [[ -z $tree ]] || problem "$1 is compiled in; choose features of these that use aws-lc-rs:"$'\n'"$tree"
}

# none PATTERN REMEDY PATHSPEC…: fails if a tracked file holds the pattern. Patterns are written so that they do not match themselves.
none() {
  local pattern=$1 remedy=$2 found
  shift 2
  if found=$(git grep --untracked -nE -e "$pattern" -- "$@"); then problem "$remedy"$'\n'"$found"; fi
}

# What dials or asks for addresses is forbidden by clippy, and who is exempt stands here: the list only shrinks.
for method in std::net::TcpStream::{connect,connect_timeout} std::net::ToSocketAddrs::to_socket_addrs tokio::net::lookup_host \
  tokio::net::{TcpStream,TcpSocket,UdpSocket,UnixStream,UnixDatagram}::connect tokio::net::{UdpSocket,UnixDatagram}::send_to \
  std::net::UdpSocket::{connect,send_to} std::os::unix::net::{UnixStream,UnixDatagram}::connect std::os::unix::net::UnixStream::connect_addr \
  std::os::unix::net::UnixDatagram::send_to libc::{connect,sendto}; do
  grep -qF "path = \"$method\"" clippy.toml || problem "$method is not forbidden: it dials around the guarded dialer; put it back into clippy.toml."
done
exempt='crates/client/src/config/discovery.rs:1
crates/client/src/config/environment.rs:2
crates/connectors/src/connector.rs:1
crates/connectors/src/dialer.rs:2
crates/server/src/admin.rs:1
crates/server/src/audit/checkpoint.rs:1
crates/server/src/clock.rs:1
crates/server/src/config.rs:1'
found=$(git grep --untracked -c -F 'clippy::disallowed_methods' -- 'crates/*/src/*.rs' 'python/src/*.rs' ':!*/tests.rs' ':!*/src/*/tests/*' || true)
[[ $found == "$exempt" ]] ||
  problem "Only these files are exempt from what clippy.toml forbids; go through connectors::dialer, or the clock, or config:"$'\n'"$(diff <(printf '%s\n' "$exempt") <(printf '%s\n' "$found") || true)"

for crate in ring openssl-sys native-tls; do absent "$crate"; done

none 'is_of[f]: true' 'The audit is off in the bench alone, which measures what it costs:' 'crates' 'tests' 'python'
none '#!?\[allow[(]' 'Write #[expect(lint, reason = "…")] instead: it says why, and ends when it is no longer needed:' '*.rs'
none '#\[[i]gnore' 'A test runs or is removed:' '*.rs'
none 'pytest\.(mark\.)?(ski[p]|xfai[l])|importorski[p]' 'A test runs or is removed:' '*.py'
none '(TOD[O]|FIXM[E])\b|(tod[o]|unimplemente[d])!' 'Finish it, or open an issue:' '*' ':!Cargo.lock' ':!*/assets/*'
none '(^|[^A-Za-z0-9_.~-])/(work|tmp/wt|home/[a-z]+)/' 'A path of one machine stands here:' '*' ':!Cargo.lock' ':!python/tests/*'

((problems == 0)) || fail "$problems guard(s) found something."

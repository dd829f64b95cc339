#!/usr/bin/env bash
# make run: builds the binary and the SDK, sets everything up in .run/, and runs the server until Ctrl-C.
#
#   tools/run.sh [ADDRESS:PORT]
#
#   .run/data         the store; its key is .run/data.key
#   .run/first-admin  e-mail, password and recovery key of the first admin
#   .run/sqlite       the folder of SQLite files, with sample.db
#   .run/venv         a Python environment with the SDK; its dataflow.toml holds a token of the role `user`
#   .run/server.log   what the server says; .run/sdk.log what pip said
#
# PYTHON names the interpreter, if not python3; RUN_FOLDER the folder, if not .run.
source "$(dirname "$0")/lib.sh"

listen=${1:-127.0.0.1:8080}
host=${listen%:*}
port=${listen##*:}
python=${PYTHON:-python3}
run=$(realpath --canonicalize-missing "${RUN_FOLDER:-.run}")
data=$run/data
log=$run/server.log
binary=target/debug/dataflow
email=admin@localhost
sdk_sources=(python crates/client crates/model catalog Cargo.toml Cargo.lock)

# answers PATH: whether the server answers this path with 200.
answers() (
  exec 3<>"/dev/tcp/$host/$port" || exit 1
  printf 'GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$1" "$listen" >&3
  read -r -t 2 _ status _ <&3
  [[ $status == 200 ]]
) 2>/dev/null

# shown PATH: a path in the folder, as somebody at the shell types it.
shown() {
  realpath --canonicalize-missing --no-symlinks --relative-base="$PWD" "$run/$1"
}

require_free_port() {
  if (exec 3<>"/dev/tcp/$host/$port") 2>/dev/null; then
    fail "Port $port on $host is taken by another program. Stop it, or choose another: make run LISTEN=$host:$((port + 1))."
  fi
}

# Held by this script and its server, so that not even a killed script leaves two servers on one store.
require_only_run() {
  exec 9>"$run/lock"
  flock --nonblock 9 || fail "\`make run\` is already running in this folder. Stop it with Ctrl-C in its terminal, then try again."
}

build_binary() {
  cargo build --locked --bin dataflow 9>&-
}

# Installs the SDK where its sources, or the Python it is for, are not those that were installed last.
install_sdk() {
  local wanted stamp=$run/venv/sdk.digest
  wanted="$(digest "${sdk_sources[@]}") $("$python" --version)"
  if [[ -f $stamp && $(<"$stamp") == "$wanted" ]]; then return; fi
  step "Building the Python SDK into $(shown venv) (the first time about 2 minutes)" build_sdk
  printf '%s' "$wanted" >"$stamp"
}

# Of all that pip has to say, the crates are shown as they are compiled.
build_sdk() {
  if [[ $("$run/venv/bin/python" --version 2>/dev/null) != $("$python" --version) ]]; then "$python" -m venv --clear "$run/venv"; fi
  if ! "$run/venv/bin/pip" install --verbose --disable-pip-version-check --force-reinstall ./python \
    --config-settings=build-args="--profile dev --locked" 2>&1 9>&- | tee "$run/sdk.log" | sed --unbuffered -n '/^ *Compiling /p'; then
    tail -n 20 "$run/sdk.log" >&2
    fail "The Python SDK could not be installed; the lines above are the end of $(shown sdk.log)."
  fi
}

# The first admin signs in with the printed link; the password is for the day when the link is gone.
set_up() {
  local password recovery_key
  password=$(head -c 18 /dev/urandom | base64)
  recovery_key=$("$binary" setup --data "$data" --email "$email" --password-stdin <<<"$password" 2>"$log")
  printf 'e-mail: %s\npassword: %s\nrecovery key: %s\n' "$email" "$password" "$recovery_key" >"$run/first-admin"
}

start_server() {
  "$binary" serve --data "$data" --listen "$listen" --sqlite-folder "$run/sqlite" >"$log" 2>&1 &
  server=$!
  trap stop_server EXIT
  trap 'echo; exit 0' INT TERM
  until answers /readyz; do
    if ! kill -0 "$server" 2>/dev/null; then
      tail -n 5 "$log" >&2
      fail "The server did not start; the lines above are the end of $(shown server.log)."
    fi
    sleep 0.05
  done
}

# Ctrl-C reaches the server too; it closes its connections first.
stop_server() {
  kill -TERM "$server" 2>/dev/null || true
  wait "$server" 2>/dev/null || true
}

# With a token of its own, which ends the next day.
create_sample_connection() {
  local token
  token=$("$binary" token create --data "$data" --role editor --name "make run: sample connection" --days 1)
  DATAFLOW_URL=http://$listen DATAFLOW_TOKEN=$token "$binary" connections create sample --type sqlite --set database=sample.db \
    --description "A small shop, to play with" >/dev/null
}

# Tokens expire, so an old one is replaced well before that.
write_token() {
  local token file=$run/venv/dataflow.toml
  if [[ -z $(find "$file" -mtime -30 -newer "$run/first-admin" 2>/dev/null) ]]; then
    token=$("$binary" token create --data "$data" --role user --name "make run $(date "+%F %T")")
  else
    token=$(sed -n 's/^token = "\(.*\)"$/\1/p' "$file")
    if grep -qxF "url = \"http://$listen\"" "$file"; then return; fi
  fi
  printf 'url = "http://%s"\ntoken = "%s"\nworkspace = "default"\nsqlite_folder = "%s"\n' "$listen" "$token" "$run/sqlite" >"$file"
}

require_build_tools
require_python "$python"
mkdir -p "$run"
chmod 700 "$run"
require_only_run
require_free_port

step "Building the binary (the first time about 4 minutes)" build_binary
install_sdk

umask 077
mkdir -p "$run/sqlite"
[[ -f $run/sqlite/sample.db ]] || "$run/venv/bin/python" tools/sample_database.py "$run/sqlite/sample.db"
[[ -f $run/first-admin ]] || step "Setting up the store and the first admin" set_up
start_server
if [[ ! -f $run/sample-created ]]; then
  create_sample_connection
  touch "$run/sample-created"
fi
write_token

cat <<END

Ready after $(duration "$SECONDS").

  Studio   $("$binary" sign-in-link --data "$data" --email "$email" --url "http://$listen")
           (signs you in once; run \`make run\` again for another)
  Python   $(shown venv/bin/python), in a second terminal:

$(readme_script | sed 's/^./             &/')

  Log      $(shown server.log)
  Stop     Ctrl-C
END
wait "$server" || fail "The server stopped by itself; $(shown server.log) says why."

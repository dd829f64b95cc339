#!/usr/bin/env bash
# make deps: installs what the tests need and this machine does not have. Touches nothing that is there.
#
#   Debian packages   through apt-get, as root or with sudo; what is a service is not started
#   cargo-nextest     built by cargo into .cache/tools
#   MySQL 9           unpacked into the cache of the tests; Debian has MariaDB only
#   axe-core          from npm into the cache of the tests; looks for what keeps people out of a page
#   docker-registry   Debian's, unpacked into the cache of the tests: installed, it would be started as a service
#   pypiserver        from PyPI into the cache of the tests; an index of Python packages
#   moto              likewise; it answers as services of AWS do, and looks at signatures
#   oidc-provider     likewise from npm; the certified OpenID Connect provider that people of the tests sign in with
#   Redis and others  Debian's, unpacked likewise, each with the libraries that it brings
#   aiosmtpd, pyftpdlib  from PyPI into the cache of the tests; servers for mail and files
#   chdb              likewise; ClickHouse's engine
#   PyMongo and others   likewise; clients that the fakes of MongoDB, Cassandra and Kafka are tried with
#   asyncssh, DuckDB  likewise; a server of shells, and what makes DuckDB's files
source "$(dirname "$0")/lib.sh"

nextest_version=0.9.143
axe_version=4.14.1
oidc_version=8.8.1
pypiserver_version=2.4.2
aiosmtpd_version=1.4.6
pyftpdlib_version=2.2.0
pyopenssl_version=26.4.0
# As in python/tests/clickhouse_server.py.
chdb_version=26.9.0
pymongo_version=4.20.1
cassandra_driver_version=3.30.1
kafka_python_version=3.0.12
asyncssh_version=2.24.1
duckdb_version=2.0.1

# What is unpacked into the cache of the tests: its folder there, and the Debian packages in it.
unpacked=(
  "docker-registry docker-registry"
  "redis redis-server redis-tools libjemalloc2 liblua5.1-0 liblzf1 libatomic1"
  "mosquitto mosquitto libmosquitto1 libcjson1 libdlt2 libwrap0"
  "microsocks microsocks"
  "nats nats-server"
  "openssh openssh-server openssh-client libwrap0"
  "openldap slapd libldap-2.5-0 libltdl7 libodbc2 libsasl2-2 libargon2-1 libwrap0"
  "tinyproxy tinyproxy-bin"
  "rabbitmq rabbitmq-server erlang-base erlang-asn1 erlang-crypto erlang-eldap erlang-inets erlang-mnesia erlang-os-mon erlang-parsetools erlang-public-key erlang-runtime-tools erlang-ssl erlang-syntax-tools erlang-tools erlang-xmerl"
)
moto_version=5.2.5

# program (or file pattern) and the Debian package it comes from
wanted=(
  "/usr/lib/postgresql/*/bin/initdb postgresql"
  "/usr/sbin/mariadbd mariadb-server"
  "/usr/bin/mariadb mariadb-client"
  "chromium chromium"
  "chromedriver chromium-driver"
  "/usr/share/fonts/truetype/liberation*/LiberationSans-Regular.ttf fonts-liberation"
  "npm npm"
  "/usr/bin/sqlite3 sqlite3"
  "wrk wrk"
  "/usr/lib/dovecot/imap dovecot-imapd"
  "/usr/include/mariadb/mysql.h libmariadb-dev"
  "pkg-config pkg-config"
  "/usr/include/python3*/Python.h python3-dev"
)

present() {
  has "$1" || compgen -G "$1" >/dev/null
}

missing_packages() {
  local entry
  for entry in "${wanted[@]}"; do
    present "${entry% *}" || printf '%s\n' "${entry#* }"
  done
}

as_root() {
  if ((EUID == 0)); then
    "$@"
  elif has sudo; then
    sudo "$@"
  else
    fail "These Debian packages are missing: ${packages[*]}. Install them as root (apt-get install ${packages[*]}), then try again."
  fi
}

# Of these nothing is to run but what a test starts: Debian would start a server for databases and one for mail. Where this machine has said what
# may start, that stands.
install_packages() {
  local policy=/usr/sbin/policy-rc.d
  if [[ ! -e $policy ]]; then
    trap 'as_root rm -f /usr/sbin/policy-rc.d' EXIT
    printf '#!/bin/sh\nexit 101\n' | as_root install -m 755 /dev/stdin "$policy"
  fi
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install --yes --quiet=2 --no-install-recommends "${packages[@]}"
}

install_nextest() {
  cargo install cargo-nextest --version "$nextest_version" --locked --debug --root "$TOOLS"
}

# The tests have no time for that, and here a mirror that is away is not taken for a failed test.
fetch_mysql() {
  tests/servers/mysql9.sh "$DATAFLOW_TEST_CACHE/mysql-9"
}

fetch_axe() {
  local work
  work=$(mktemp -d)
  npm pack "axe-core@$axe_version" --silent --pack-destination "$work" >/dev/null
  tar -xzf "$work/axe-core-$axe_version.tgz" -C "$work" package/axe.min.js
  mkdir -p "$(dirname "$axe")"
  mv "$work/package/axe.min.js" "$axe"
  rm -r "$work"
}

fetch_oidc_provider() {
  local work=$oidc.$$
  mkdir -p "$work"
  cp tests/servers/oidc/package.json tests/servers/oidc/package-lock.json "$work"
  npm ci --prefix "$work" --silent --omit=optional --no-audit --no-fund --ignore-scripts >/dev/null
  rm -rf "$oidc"
  mv "$work" "$oidc"
}

# unpack NAME PACKAGE…: what would be started as a service if it were installed.
unpack() {
  local folder=$DATAFLOW_TEST_CACHE/$1 work=$DATAFLOW_TEST_CACHE/$1.$$
  shift
  has apt-get || fail "These come from Debian's packages, and this machine has no apt-get: $*. Unpack them into $folder, then try again."
  mkdir -p "$work"
  (
    cd "$work" || exit
    apt-get download --quiet=2 "$@" 2>/dev/null || {
      as_root apt-get update --quiet=2
      apt-get download --quiet=2 "$@"
    }
    local package
    for package in ./*.deb; do dpkg-deb --extract "$package" .; done
    rm ./*.deb
  )
  rm -rf "$folder"
  mv "$work" "$folder"
}

fetch_pypiserver() {
  rm -rf "$pypiserver"
  python3 -m venv "$pypiserver"
  "$pypiserver/bin/pip" install --quiet --disable-pip-version-check "pypiserver[passlib]==$pypiserver_version"
}

fetch_python_servers() {
  rm -rf "$python_servers"
  python3 -m venv "$python_servers"
  "$python_servers/bin/pip" install --quiet --disable-pip-version-check \
    "aiosmtpd==$aiosmtpd_version" "pyftpdlib==$pyftpdlib_version" "pyopenssl==$pyopenssl_version"
  touch "$python_servers/complete"
}

# Without the packages that only its results as data frames need.
fetch_chdb() {
  rm -rf "$chdb"
  python3 -m venv "$chdb"
  "$chdb/bin/pip" install --quiet --disable-pip-version-check --no-compile --no-deps "chdb-core==$chdb_version"
  touch "$chdb/complete"
}

# fetch_packages FOLDER REQUIREMENT…: Python packages in an environment of their own.
fetch_packages() {
  local folder=$1
  shift
  rm -rf "$folder"
  python3 -m venv "$folder"
  "$folder/bin/pip" install --quiet --disable-pip-version-check "$@"
  touch "$folder/complete"
}

# Its extra “server” brings a compiler of templates and more; what is asked of it here needs none of that.
fetch_moto() {
  rm -rf "$moto"
  python3 -m venv "$moto"
  "$moto/bin/pip" install --quiet --disable-pip-version-check "moto[s3]==$moto_version" flask flask-cors
}

mapfile -t packages < <(missing_packages)
if ((${#packages[@]})); then
  has apt-get || fail "These are missing, and this machine has no apt-get to install them: ${packages[*]}. Install them, then try again."
  step "Reading the lists of Debian packages" as_root apt-get update --quiet=2
  step "Installing ${packages[*]}" install_packages
fi
cargo nextest --version >/dev/null 2>&1 || step "Building cargo-nextest" install_nextest
step "Looking for MySQL 9" fetch_mysql
axe=$DATAFLOW_TEST_CACHE/axe-$axe_version/axe.min.js
[[ -f $axe ]] || step "Fetching axe-core $axe_version" fetch_axe
oidc=$DATAFLOW_TEST_CACHE/oidc-provider-$oidc_version
[[ -d $oidc/node_modules ]] || step "Fetching oidc-provider $oidc_version" fetch_oidc_provider
for entry in "${unpacked[@]}"; do
  read -r -a words <<<"$entry"
  [[ -d $DATAFLOW_TEST_CACHE/${words[0]} ]] || step "Fetching Debian's ${words[*]:1}" unpack "${words[@]}"
done
pypiserver=$DATAFLOW_TEST_CACHE/pypiserver-$pypiserver_version
[[ -f $pypiserver/bin/pypi-server ]] || step "Fetching pypiserver $pypiserver_version" fetch_pypiserver
python_servers=$DATAFLOW_TEST_CACHE/python-servers-$aiosmtpd_version-$pyftpdlib_version
[[ -f $python_servers/complete ]] || step "Fetching aiosmtpd $aiosmtpd_version and pyftpdlib $pyftpdlib_version" fetch_python_servers
asyncssh=$DATAFLOW_TEST_CACHE/asyncssh-$asyncssh_version
[[ -f $asyncssh/complete ]] || step "Fetching asyncssh $asyncssh_version" fetch_packages "$asyncssh" "asyncssh[bcrypt]==$asyncssh_version"
duckdb=$DATAFLOW_TEST_CACHE/duckdb-$duckdb_version
[[ -f $duckdb/complete ]] || step "Fetching DuckDB $duckdb_version" fetch_packages "$duckdb" "duckdb==$duckdb_version"
moto=$DATAFLOW_TEST_CACHE/moto-$moto_version
[[ -f $moto/bin/moto_server ]] || step "Fetching moto $moto_version" fetch_moto
chdb=$DATAFLOW_TEST_CACHE/chdb-$chdb_version
[[ -f $chdb/complete ]] || step "Fetching chdb $chdb_version" fetch_chdb
wire_clients=$DATAFLOW_TEST_CACHE/wire-clients-$pymongo_version-$cassandra_driver_version-$kafka_python_version
[[ -f $wire_clients/complete ]] || step "Fetching PyMongo $pymongo_version and other clients" fetch_packages "$wire_clients" \
  "pymongo==$pymongo_version" "cassandra-driver==$cassandra_driver_version" "kafka-python==$kafka_python_version"

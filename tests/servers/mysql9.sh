#!/bin/sh
# Brings MySQL 9 to a machine whose Debian has MariaDB only.
#
#   tests/servers/mysql9.sh FOLDER
#
# Takes the server's packages and the libraries they need from Debian's unstable suite and unpacks them in FOLDER. Nothing is
# installed and no root is needed: the fixture `mysql` starts the server with the unpacked dynamic loader. About 60 MB to
# download, 270 MB on disk. Does nothing if FOLDER has a server already.
set -eu

target=${1:?usage: mysql9.sh FOLDER}
if [ -x "$target/usr/sbin/mysqld" ]; then exit 0; fi

parent=$(dirname "$target")
mkdir -p "$parent"
parent=$(cd "$parent" && pwd)
work=$(mktemp -d "$parent/mysql9.XXXXXX")
trap 'rm -rf "$work"' EXIT INT TERM

# The mirror that this machine's own apt is set up with. A fresh list, status and archive folder keep the system's out of it.
mirror=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -Eo 'https?://[^ ]*/debian/?([[:space:]]|$)' | head -n 1 | tr -d '[:space:]')
if [ -z "$mirror" ]; then
  echo "mysql9.sh: /etc/apt names no Debian mirror to take MySQL 9 from" >&2
  exit 1
fi
keyring=$(find /usr/share/keyrings -name 'debian-archive-keyring.*' | head -n 1)
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" "$work/root"
: >"$work/status"
echo "deb [signed-by=$keyring] $mirror sid main" >"$work/sources.list"

private_apt() {
  apt-get -qq -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null -o Dir::State::Lists="$work/lists" \
    -o Dir::State::status="$work/status" -o Dir::Cache="$work/cache" -o APT::Sandbox::User= -o Debug::NoLocking=1 "$@" >&2
}
private_apt update
private_apt --yes --no-install-recommends --download-only install mysql-server-core

for package in "$work"/cache/archives/*.deb; do
  case $package in
    */perl*|*/libperl*|*/udev*) ;; # wanted by scripts beside the server, not by the server
    *) dpkg-deb --extract "$package" "$work/root" ;;
  esac
done
chmod 755 "$work/root"
mv "$work/root" "$target"

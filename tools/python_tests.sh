# shellcheck shell=bash
# The tests of the Python SDK, for `make test` and `make soak`. Sourced after lib.sh.

jobs=${TEST_JOBS:-$((($(nproc) * 3 + 1) / 2))}

# pythons: the path of every interpreter of 3.9 to 3.13 on this machine, one of each.
pythons() {
  local minor candidate
  for minor in 9 10 11 12 13; do
    for candidate in "$(command -v "python3.$minor" || true)" "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3."$minor".*/bin/python3; do
      if [[ -x $candidate ]] && "$candidate" -c 'import ensurepip, venv' 2>/dev/null; then
        printf '%s\n' "$candidate"
        break
      fi
    done
  done
}

# build_wheel PYTHON
build_wheel() {
  rm -rf .cache/wheel
  "$1" -m venv .cache/venv/build
  .cache/venv/build/bin/pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir .cache/wheel ./python \
    --config-settings=build-args="--profile dev --locked"
}

version_of() {
  "$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])'
}

# test_python SERIES PYTHON EXTENT: the SDK's own tests in a fresh environment, which is kept as long as nothing in it changes. EXTENT is
# whole, brief, or promises: those of docs/security.md alone.
test_python() {
  local venv wheel extent=()
  venv=.cache/venv/$(version_of "$2")-sqlalchemy-$1
  wheel=$(echo .cache/wheel/*.whl)
  [[ -x $venv/bin/pytest ]] || "$2" -m venv --clear "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --no-compile --upgrade "${wheel}[test]" "SQLAlchemy==$1.*"
  "$venv/bin/pip" install --quiet --disable-pip-version-check --no-compile --force-reinstall --no-deps "$wheel"
  "$venv/bin/pip" freeze | grep -Ei '^(sqlalchemy|psycopg|pymysql|mysqlclient|asyncpg|aiomysql|aiosqlite|clickhouse|duckdb|trino)' | paste -s -d ' '
  # From another folder, so that the installed package is tested and not the one in the sources.
  (
    cd python/tests || exit
    case $3 in
      brief) extent=(-m 'not lengthy') ;;
      promises) extent=(-k 'test_faults or test_hostile') ;;
    esac
    DATAFLOW_BIN=${DATAFLOW_BIN:-$PWD/../../target/debug/dataflow} "../../$venv/bin/python" -m pytest --rootdir .. -c ../pyproject.toml --numprocesses "$jobs" --maxprocesses 4 \
      --dist worksteal "${extent[@]}" .
  )
}

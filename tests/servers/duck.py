"""DuckDB itself. `make FOLDER` writes a file of each kind into the folder; `open FILE…` tells as JSON which of them DuckDB opens to read and
write; `hold FILE` has one open until somebody ends it, and says so."""

import json
import sys
import time
from pathlib import Path

import duckdb

KINDS = {
    "usual.duckdb": "",
    "old.duckdb": "(storage_version 'v1.0.0')",
    "small_blocks.duckdb": "(block_size 16384)",
    "encrypted.duckdb": "(encryption_key 'a key')",
}


def make(folder: Path) -> None:
    duckdb.connect(folder / "empty.duckdb").close()
    with duckdb.connect() as connection:
        connection.execute("SET force_mbedtls_unsafe = 'true'")
        for name, options in KINDS.items():
            connection.execute(f"ATTACH '{folder / name}' AS made {options}")
            connection.execute("CREATE TABLE made.item AS SELECT range AS number FROM range(1000)")
            connection.execute("DETACH made")


def opens(path: str) -> bool:
    try:
        with duckdb.connect(path) as connection:
            connection.execute("SELECT count(*) FROM duckdb_tables()").fetchone()
    except duckdb.Error:
        return False
    return True


verb, *paths = sys.argv[1:]
if verb == "make":
    make(Path(paths[0]))
elif verb == "open":
    print(json.dumps({Path(path).name: opens(path) for path in paths}))
else:
    with duckdb.connect(paths[0], read_only=verb == "hold_to_read"):
        print("held", flush=True)
        time.sleep(600)

#!/usr/bin/env python3
"""Opens a frozen backup, with the audit in it, from what is written of its form alone.

A second implementation: of the backup from crates/server/src/backup/format.rs, of the audit's segments and chains from
crates/server/src/audit/segments.rs and audit.rs. Keys and sealed records are opened by crates/vault/tests/vault_open.py.
Usage: backup_open.py BACKUP KEYS.json SEGMENT
"""

import base64
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

sys.path.insert(0, str(Path(__file__).parents[2] / "crates/vault/tests"))
from vault_open import (  # noqa: E402
    FIELD,
    KEY_FILE,
    RECOVERY_KEY,
    endpoint_digest,
    expect,
    key_of_file,
    key_of_recovery_text,
    lp,
    mac,
    open_record,
    open_ring,
    open_workspace_keys,
    u32,
    u64,
    unpad,
)

MAC_LINE = b'{"mac":"'
NO_LINK = bytes(32)
LIST_VERSION = 1

Rows = dict[str, list[dict[str, Any]]]


class Keys:
    """The root keys of a ring, and the one that makes MACs."""

    def __init__(self, ring: bytes, frozen: dict[str, Any]) -> None:
        keks = {
            KEY_FILE: lambda _: key_of_file(frozen["key_file"]),
            RECOVERY_KEY: lambda _: key_of_recovery_text(frozen["recovery_key"]),
        }
        self.instance, self.roots, versions = open_ring(ring, keks)
        self.active = versions["active"]

    def row_mac(self, table: str, *parts: bytes) -> bytes:
        computed = mac(self.roots[self.active], "row", lp(table.encode(), *parts))
        return computed if self.active == min(self.roots) else u32(self.active) + computed

    def audit_holds(self, data: bytes, stored: bytes) -> bool:
        """Under the root key of whichever time."""
        return any(mac(root, "audit", data) == stored for root in self.roots.values())


def read(backup: bytes, frozen: dict[str, Any]) -> tuple[Keys, list[bytes], int]:
    """Gives the keys, the lines that the MACs cover, and how many blocks there are."""
    lines = backup.splitlines(keepends=True)
    expect(lines[0] == b"dataflow-backup 1\n", "first line")
    header = json.loads(lines[1])
    keys = Keys(base64.b64decode(header["key_ring"]), frozen)
    expect(UUID(header["instance"]).bytes == keys.instance, "instance")
    before, block, proven, blocks = b"", b"", [], 0
    for line in lines:
        if not line.startswith(MAC_LINE):
            block += line
            continue
        expect(line.endswith(b'"}\n'), "line of a MAC")
        stored = bytes.fromhex(line[len(MAC_LINE) : -3].decode())
        expect(keys.row_mac("backup", before, block) == stored, "backup MAC")
        proven += block.splitlines(keepends=True)
        before, block, blocks = stored, b"", blocks + 1
    expect(not block, "end of the backup")
    return keys, proven[2:], blocks


def sections(lines: list[bytes]) -> tuple[Rows, dict[str, bytes]]:
    """Gives the tables' rows by the names of their columns, and the segment files."""
    tables: Rows = {}
    segments: dict[str, bytes] = {}
    rows, here = 0, {}
    for line in lines:
        entry = json.loads(line)
        if isinstance(entry, dict):
            here = entry
            if "end" in here:
                expect(here["end"] == {"rows": rows} and line is lines[-1], "number of rows")
            continue
        rows += 1
        if "segment" in here:
            name = here["segment"]["name"]
            segments[name] = segments.get(name, b"") + base64.b64decode(entry[0])
            continue
        values = {}
        for (column, kind), value in zip(here["table"]["columns"], entry):
            values[column] = base64.b64decode(value) if kind == "bytes" and value is not None else value
        tables.setdefault(here["table"]["name"], []).append(values)
    expect("end" in here, "end")
    return tables, segments


def secrets(keys: Keys, tables: Rows) -> Iterator[tuple[str, int, str, str]]:
    """Gives each stored secret, with its connection, version and field."""
    workspaces = {}
    for row in tables["workspaces"]:
        opened = open_workspace_keys(row["wrapped_key"], [keys.instance, UUID(row["id"]).bytes], keys.roots, keys.active)
        workspaces[row["id"]] = opened[0]
    connections = {row["id"]: row for row in tables["connections"]}
    for row in tables["connection_versions"]:
        fields = json.loads(row["fields"])
        texts = {path: str(value).lower() if isinstance(value, bool) else str(value) for path, value in fields.items()}
        values = [[path, texts.get(path)] for path in json.loads(row["endpoint_paths"])]
        digest = endpoint_digest({"list_version": LIST_VERSION, "type": row["type"], "values": values})
        workspace = connections[row["connection_id"]]["workspace_id"]
        for path, secret in json.loads(row["secrets"]).items():
            record = base64.b64decode(secret["sealed"])
            version = int.from_bytes(record[3:7], "big")
            place = [keys.instance, UUID(workspace).bytes, UUID(row["connection_id"]).bytes]
            place += [u64(secret["version"]), path.encode(), digest]
            plain = open_record(workspaces[workspace][version], version, FIELD, place, record)
            yield row["name"], row["version"], path, unpad(plain).decode()


def canonical(row: dict[str, Any]) -> bytes:
    names = ["id", "at", "workspace_id", "actor", "action", "object", "detail", "actor_id"]
    return json.dumps([row[name] for name in names], ensure_ascii=False, separators=(",", ":")).encode()


def check_changes(keys: Keys, tables: Rows) -> int:
    """Walks the chain of changes; gives how many it has."""
    for row in tables["audit_events"]:
        expect(keys.audit_holds(canonical(row), row["mac"]), "MAC of a change")
    chained = sorted((row for row in tables["audit_events"] if row["seq"] is not None), key=lambda row: row["seq"])
    link = NO_LINK
    for number, row in enumerate(chained, 1):
        expect(row["seq"] == number and keys.audit_holds(lp(b"link", link, canonical(row)), row["link"]), "link of a change")
        link = row["link"]
    (chain,) = (row for row in tables["audit_chains"] if row["name"] == "changes")
    expect((chain["seq"], chain["link"]) == (len(chained), link), "end of the chain of changes")
    return len(chained)


def check_reads(keys: Keys, tables: Rows, segment: bytes) -> int:
    """Walks the chain of machine reads; gives how many lines it has."""
    link, number, chain = NO_LINK, 0, ""
    expect(segment.endswith(b"\n"), "segment")
    for line in segment.splitlines():
        event, _, shown = line.rpartition(b"\t")
        number += 1
        stored = bytes.fromhex(shown.decode())
        expect(len(stored) == 32 and keys.audit_holds(lp(b"link", link, event), stored), "link of a read")
        told = json.loads(event)
        if told["action"] == "segment.begin":
            expect((told["line"], bytes.fromhex(told["after"])) == (number, link), "begin of a segment")
            expect(chain == "", "id of a chain")
            chain = told["chain"]
        link = stored
    (row,) = (row for row in tables["audit_chains"] if row["name"] == chain)
    expect((row["seq"], row["link"]) == (number, link), "end of the chain of reads")
    return number


def main() -> None:
    frozen = json.loads(Path(sys.argv[2]).read_text(encoding="utf-8"))
    keys, lines, blocks = read(Path(sys.argv[1]).read_bytes(), frozen)
    tables, segments = sections(lines)
    opened = [list(secret) for secret in secrets(keys, tables)]
    expect(opened == frozen["secrets"], "secrets")
    expect(list(segments) == ["audit/000000000001.jsonl"], "segments")
    changes, reads = check_changes(keys, tables), check_reads(keys, tables, Path(sys.argv[3]).read_bytes())
    print(f"opened {blocks} blocks, {len(lines)} lines, {len(opened)} secrets, {changes} changes, {reads} lines of reads")


if __name__ == "__main__":
    main()

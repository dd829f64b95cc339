#!/usr/bin/env python3
"""Opens the frozen bytes of crates/vault from the specification in src/format.rs alone.

A second implementation in another language, on another library: what it opens is what the specification says, and not what
the Rust code happens to do. It needs Python 3.9 and `cryptography` 44 or newer. Usage: vault_open.py FROZEN.json
"""

import base64
import hashlib
import hmac
import json
import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any, Optional, Union
from uuid import UUID

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

BASE32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
KEY_FILE, PASSPHRASE, RECOVERY_KEY, TRANSIT = 1, 2, 3, 4
ROOT_KEY, WORKSPACE_KEY, FIELD, SLOT_KEY, OLDER_ROOT, FINGERPRINT_KEY = 1, 2, 3, 4, 5, 6
SEAL_LABEL = {
    ROOT_KEY: "seal root key",
    WORKSPACE_KEY: "seal workspace key",
    FIELD: "seal field",
    SLOT_KEY: "seal slot key",
    OLDER_ROOT: "seal older root key",
    FINGERPRINT_KEY: "seal fingerprint key",
}
UNDER_KEK, BY_AGREEMENT = 1, 2


def expect(holds: bool, what: str) -> None:
    """Not `assert`, which `python -O` leaves out."""
    if not holds:
        raise ValueError(f"{what}: not as the specification says")


def u32(number: int) -> bytes:
    return number.to_bytes(4, "big")


def u64(number: int) -> bytes:
    return number.to_bytes(8, "big")


def lp(*parts: bytes) -> bytes:
    return b"".join(u64(len(part)) + part for part in parts)


def checksum(data: bytes, length: int) -> bytes:
    return hashlib.sha256(data).digest()[:length]


def crc24(data: bytes) -> bytes:
    """RFC 4880, section 6.1."""
    crc = 0xB704CE
    for byte in data:
        crc ^= byte << 16
        for _ in range(8):
            crc <<= 1
            if crc & 0x1000000:
                crc ^= 0x1864CFB
    return crc.to_bytes(3, "big")


def hkdf(key: bytes, salt: Optional[bytes], label: str, length: int) -> bytes:
    return HKDF(hashes.SHA256(), length, salt, b"dataflow vault 1: " + label.encode()).derive(key)


def mac(key: bytes, label: str, data: bytes) -> bytes:
    return hmac.digest(hkdf(key, None, label, 32), data, "sha256")


def associated_data(kind: int, key_version: int, parts: list[bytes]) -> bytes:
    return lp(bytes([kind, 1, 1]) + u32(key_version), *parts)


def open_record(key: bytes, key_version: int, kind: int, parts: list[bytes], record: bytes) -> bytes:
    head, salt, nonce, commitment, body = record[:7], record[7:39], record[39:51], record[51:83], record[83:]
    expect(head == bytes([kind, 1, 1]) + u32(key_version), "head")
    derived = hkdf(key, salt, SEAL_LABEL[kind], 64)
    expect(hmac.compare_digest(derived[32:], commitment), "commitment")
    return AESGCM(derived[:32]).decrypt(nonce, body, associated_data(kind, key_version, parts))


def key_of_file(text: str) -> bytes:
    head, _, stored = text.strip().rpartition(":")
    expect(checksum(head.encode(), 4).hex() == stored, "key file checksum")
    word, digits = head.split(":")
    expect(word == "dataflow-key-1", "key file format")
    return bytes.fromhex(digits)


def key_of_recovery_text(text: str) -> bytes:
    clean = "".join(text.split()).replace("-", "").upper().translate(str.maketrans("ILO", "110"))
    expect(len(clean) == 56, "recovery key length")
    number = 0
    for character in clean:
        number = number * 32 + BASE32.index(character)
    data = number.to_bytes(35, "big")
    expect(crc24(data[:32]) == data[32:], "recovery key checksum")
    return data[:32]


def key_of_passphrase(text: str, parameters: bytes) -> bytes:
    memory, passes, lanes = (int.from_bytes(parameters[at : at + 4], "big") for at in (0, 4, 8))
    salt = parameters[12:]
    expect(len(salt) == 16, "passphrase salt")
    return Argon2id(salt=salt, length=32, iterations=passes, lanes=lanes, memory_cost=memory).derive(text.encode())


def take(data: bytes, length: int) -> tuple[bytes, bytes]:
    expect(len(data) >= length, "too short")
    return data[:length], data[length:]


def take_part(data: bytes) -> tuple[bytes, bytes]:
    length, data = take(data, 8)
    return take(data, int.from_bytes(length, "big"))


def read_ring(data: bytes) -> tuple[bytes, list[tuple[int, int, bytes, bytes]], bytes, bytes]:
    """Gives instance, slots as (id, kind, parameters, record), the MAC, and the bytes under it."""
    expect(checksum(data[:-4], 4) == data[-4:], "ring checksum")
    covered, stored_mac = data[:-36], data[-36:-4]
    expect(covered[:5] == b"DFKR\x01", "ring format")
    instance, count, rest = covered[5:21], covered[21], covered[22:]
    slots = []
    for _ in range(count):
        (number, kind), rest = take(rest, 2)
        parameters, rest = take_part(rest)
        record, rest = take_part(rest)
        slots.append((number, kind, parameters, record))
    expect(not rest, "ring end")
    return instance, slots, stored_mac, covered


def take_u32(data: bytes) -> tuple[int, bytes]:
    number, data = take(data, 4)
    return int.from_bytes(number, "big"), data


def key_of_agreement(kek: bytes, public: bytes) -> tuple[bytes, bytes]:
    """Gives the key that seals the root key in a slot, and the slot's public key."""
    private = X25519PrivateKey.from_private_bytes(hkdf(kek, None, "slot", 32))
    shared = private.exchange(X25519PublicKey.from_public_bytes(public))
    return hkdf(shared, None, "slot agreement", 32), private.public_key().public_bytes_raw()


def key_of_transit(service: dict[str, str], parameters: bytes) -> bytes:
    """What the service would answer is in the file: it alone has the key."""
    name, rest = take_part(parameters)
    ciphertext, rest = take_part(rest)
    expect((name.decode(), ciphertext.decode(), rest) == (service["key"], service["ciphertext"], b""), "Transit parameters")
    return bytes.fromhex(service["plaintext"])


def open_ring(data: bytes, keks: dict[int, Callable[[bytes], bytes]]) -> tuple[bytes, dict[int, bytes], dict[str, int]]:
    """Gives instance, root keys by version, and the versions, of a ring of format 2."""
    expect(checksum(data[:-4], 4) == data[-4:], "ring checksum")
    covered, stored_mac = data[:-36], data[-36:-4]
    expect(covered[:5] == b"DFKR\x02", "ring format")
    instance, rest = covered[5:21], covered[21:]
    versions = {}
    for name in ("newest", "active", "rows_from"):
        versions[name], rest = take_u32(rest)
    count, rest = take_u32(rest)
    older = []
    for _ in range(count):
        record, rest = take_part(rest)
        older.append(record)
    (count,), rest = take(rest, 1)
    plains, sealed_keys = set(), []
    for _ in range(count):
        (number, kind, form), rest = take(rest, 3)
        parameters, rest = take_part(rest)
        record, rest = take_part(rest)
        key, place = keks[kind](parameters), [instance, bytes([number, kind]), parameters]
        if form == BY_AGREEMENT:
            made_for_it, rest = take_part(rest)
            sealed_key, rest = take_part(rest)
            key, public = key_of_agreement(key, made_for_it)
            sealed_keys.append((place, sealed_key, public))
            plains.add(open_record(key, 0, ROOT_KEY, [*place, made_for_it, public], record))
        else:
            expect(form == UNDER_KEK, "slot form")
            plains.add(open_record(key, 0, ROOT_KEY, place, record))
    expect(not rest, "ring end")
    (plain,) = plains
    newest, root = int.from_bytes(plain[:4], "big"), plain[4:]
    expect(newest == versions["newest"], "newest root key")
    expect(mac(root, "key ring", covered) == stored_mac, "ring MAC")
    for place, sealed_key, public in sealed_keys:
        expect(open_record(root, newest, SLOT_KEY, place, sealed_key) == public, "slot key")
    roots = {newest: root}
    for record in older:
        plain = open_record(root, newest, OLDER_ROOT, [instance], record)
        roots[int.from_bytes(plain[:4], "big")] = plain[4:]
    return instance, roots, versions


def open_workspace_keys(
    data: bytes, place: list[bytes], roots: dict[int, bytes], version: int
) -> tuple[dict[int, bytes], int, bytes]:
    """Gives the keys by version, the version that is active, and the fingerprint key."""
    expect(data[:5] == b"DFWK\x01", "format of a workspace's keys")
    active, rest = take_u32(data[5:])
    record, rest = take_part(rest)
    fingerprint_key = open_record(roots[version], version, FINGERPRINT_KEY, place, record)
    keys = {}
    while rest:
        record, rest = take_part(rest)
        plain = open_record(roots[version], version, WORKSPACE_KEY, place, record)
        keys[int.from_bytes(plain[:4], "big")] = plain[4:]
    expect(active in keys, "active key")
    return keys, active, fingerprint_key


def check_2(frozen: dict[str, Any]) -> Iterator[str]:
    """What rotation brought: yields the name of each thing that opened."""
    keks = {
        KEY_FILE: lambda _: key_of_file(frozen["key_file"]),
        PASSPHRASE: lambda parameters: key_of_passphrase(frozen["passphrase"], parameters),
        RECOVERY_KEY: lambda _: key_of_recovery_text(frozen["recovery_key"]),
        TRANSIT: lambda parameters: key_of_transit(frozen["transit"], parameters),
    }
    _, roots, versions = open_ring(bytes.fromhex(frozen["ring_with_old_slot"]), keks)
    expect((len(roots), versions) == (1, {"newest": 1, "active": 1, "rows_from": 1}), "root versions")
    yield "ring with a slot of format 1"
    instance, roots, versions = open_ring(bytes.fromhex(frozen["ring"]), keks)
    expect(versions == frozen["versions"], "root versions")
    expect({str(version): key.hex() for version, key in roots.items()} == frozen["root_keys"], "root keys")
    yield "rotated ring"

    workspace = UUID(frozen["workspace"]).bytes
    stored = bytes.fromhex(frozen["workspace_keys"])
    keys, active, fingerprint_key = open_workspace_keys(stored, [instance, workspace], roots, versions["active"])
    expect(active == frozen["workspace_active"] and len(keys) == 2, "workspace keys")
    expect(fingerprint_key == hkdf(keys[min(keys)], None, "fingerprint", 32), "fingerprint key")
    yield "workspace keys"
    digest = endpoint_digest(frozen["endpoint"])
    for case in frozen["fields"]:
        place = [instance, workspace, UUID(case["connection"]).bytes, u64(case["version"]), case["field"].encode(), digest]
        record, version = bytes.fromhex(case["record"]), case["key_version"]
        expect(unpad(open_record(keys[version], version, FIELD, place, record)).decode() == case["secret"], "secret")
        yield f"field under key {version}"
    row = frozen["row"]
    stored, parts = bytes.fromhex(row["mac"]), [bytes.fromhex(part) for part in row["parts"]]
    expect(stored[:4] == u32(versions["active"]), "version of a row MAC")
    expect(mac(roots[versions["active"]], "row", lp(row["table"].encode(), *parts)) == stored[4:], "row MAC")
    yield "row MAC"


def endpoint_digest(endpoint: dict[str, Any]) -> bytes:
    parts = [u32(endpoint["list_version"]), endpoint["type"].encode()]
    for path, value in sorted(endpoint["values"]):
        parts += [path.encode(), bytes([value is not None]), (value or "").encode()]
    return hashlib.sha256(lp(*parts)).digest()


def unpad(plain: bytes) -> bytes:
    expect(len(plain) % 64 == 0, "padding length")
    text = plain.rstrip(b"\0")
    expect(text[-1:] == b"\x80", "padding")
    return text[:-1]


def tagged(value: Union[bool, int, str]) -> list[bytes]:
    if isinstance(value, bool):
        return [b"\x03", bytes([value])]
    if isinstance(value, int):
        return [b"\x02", value.to_bytes(8, "big", signed=True)]
    return [b"\x01", value.encode()]


def fingerprint(workspace_key: bytes, case: dict[str, Any]) -> str:
    parts = [case["type"].encode(), case["connector"].encode(), u64(len(case["public"]))]
    for path, value in sorted(case["public"].items()):
        parts += [path.encode(), *tagged(value)]
    for path, value in sorted(case["secret"].items()):
        parts += [path.encode(), value.encode()]
    return mac(workspace_key, "fingerprint", lp(*parts))[:16].hex()


def base62(number: int) -> str:
    digits = ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        digits = BASE62[digit] + digits
    return digits


def phc_matches(password: str, text: str) -> bool:
    _, name, version, costs, salt, digest = text.split("$")
    expect((name, version) == ("argon2id", "v=19"), "password hash")
    cost = dict(pair.split("=") for pair in costs.split(","))
    salt, digest = (base64.b64decode(part + "=" * (-len(part) % 4)) for part in (salt, digest))
    argon2 = Argon2id(salt=salt, length=len(digest), iterations=int(cost["t"]), lanes=int(cost["p"]), memory_cost=int(cost["m"]))
    return hmac.compare_digest(argon2.derive(password.encode()), digest)


def check(frozen: dict[str, Any]) -> Iterator[str]:
    """Yields the name of each thing that opened."""
    keks = {
        KEY_FILE: lambda _: key_of_file(frozen["key_file"]),
        PASSPHRASE: lambda parameters: key_of_passphrase(frozen["passphrase"], parameters),
        RECOVERY_KEY: lambda _: key_of_recovery_text(frozen["recovery_key"]),
    }
    ring = bytes.fromhex(frozen["ring"])
    instance, slots, ring_mac, covered = read_ring(ring)
    expect(instance == UUID(frozen["instance"]).bytes, "instance")
    root_keys = set()
    for number, kind, parameters, record in slots:
        place = [instance, bytes([number, kind]), parameters]
        root_keys.add(open_record(keks[kind](parameters), 0, ROOT_KEY, place, record))
        yield f"slot {number}"
    (root,) = root_keys
    root_version, root_key = int.from_bytes(root[:4], "big"), root[4:]
    expect(root_key.hex() == frozen["root_key"], "root key")
    expect(mac(root_key, "key ring", covered) == ring_mac, "ring MAC")
    yield "key ring"

    workspace = UUID(frozen["workspace"]).bytes
    record = bytes.fromhex(frozen["workspace_record"])
    plain = open_record(root_key, root_version, WORKSPACE_KEY, [instance, workspace], record)
    workspace_version, workspace_key = int.from_bytes(plain[:4], "big"), plain[4:]
    expect(workspace_key.hex() == frozen["workspace_key"], "workspace key")
    yield "workspace key"

    digest = endpoint_digest(frozen["endpoint"])
    expect(digest.hex() == frozen["endpoint"]["digest"], "endpoint digest")
    yield "endpoint digest"
    for case in frozen["fields"]:
        place = [instance, workspace, UUID(case["connection"]).bytes, u64(case["version"]), case["field"].encode(), digest]
        plain = open_record(workspace_key, workspace_version, FIELD, place, bytes.fromhex(case["record"]))
        expect(unpad(plain).decode() == case["secret"], "secret")
        yield f"field {case['field']}"
    for case in frozen["fingerprints"]:
        expect(fingerprint(workspace_key, case) == case["fingerprint"], "fingerprint")
        yield "fingerprint"

    row = frozen["row"]
    parts = [bytes.fromhex(part) for part in row["parts"]]
    expect(mac(root_key, "row", lp(row["table"].encode(), *parts)).hex() == row["mac"], "row MAC")
    yield "row MAC"
    token = frozen["token"]
    expect(token["text"].startswith(f"dfc_{token['kind']}_"), "token prefix")
    expect(base62(zlib.crc32(token["text"][:-6].encode())) == token["text"][-6:], "token checksum")
    expect(mac(root_key, "token", token["text"].encode()).hex() == token["hash"], "token hash")
    yield "token"
    event = frozen["audit"]
    expect(mac(root_key, "audit", event["event"].encode()).hex() == event["mac"], "audit MAC")
    yield "audit MAC"
    person = frozen["password"]
    expect(phc_matches(person["password"], person["stored"]), "password")
    expect(not phc_matches(person["password"] + "x", person["stored"]), "another password")
    yield "password"


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        frozen = json.load(file)
    opened = list(check_2(frozen) if frozen.get("format") == 2 else check(frozen))
    print(f"opened {len(opened)}: {', '.join(opened)}")

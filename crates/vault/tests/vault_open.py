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
from uuid import UUID

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

BASE32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
KEY_FILE, PASSPHRASE, RECOVERY_KEY = 1, 2, 3
ROOT_KEY, WORKSPACE_KEY, FIELD = 1, 2, 3
SEAL_LABEL = {ROOT_KEY: "seal root key", WORKSPACE_KEY: "seal workspace key", FIELD: "seal field"}


def u32(number):
    return number.to_bytes(4, "big")


def u64(number):
    return number.to_bytes(8, "big")


def lp(*parts):
    return b"".join(u64(len(part)) + part for part in parts)


def checksum(data, length):
    return hashlib.sha256(data).digest()[:length]


def crc24(data):
    """RFC 4880, section 6.1."""
    crc = 0xB704CE
    for byte in data:
        crc ^= byte << 16
        for _ in range(8):
            crc <<= 1
            if crc & 0x1000000:
                crc ^= 0x1864CFB
    return crc.to_bytes(3, "big")


def hkdf(key, salt, label, length):
    return HKDF(hashes.SHA256(), length, salt, b"dataflow vault 1: " + label.encode()).derive(key)


def mac(key, label, data):
    return hmac.digest(hkdf(key, None, label, 32), data, "sha256")


def associated_data(kind, key_version, parts):
    return lp(bytes([kind, 1, 1]) + u32(key_version), *parts)


def open_record(key, key_version, kind, parts, record):
    head, salt, nonce, commitment, body = record[:7], record[7:39], record[39:51], record[51:83], record[83:]
    assert head == bytes([kind, 1, 1]) + u32(key_version), "head"
    derived = hkdf(key, salt, SEAL_LABEL[kind], 64)
    assert hmac.compare_digest(derived[32:], commitment), "commitment"
    return AESGCM(derived[:32]).decrypt(nonce, body, associated_data(kind, key_version, parts))


def key_of_file(text):
    head, _, stored = text.strip().rpartition(":")
    assert checksum(head.encode(), 4).hex() == stored, "key file checksum"
    word, digits = head.split(":")
    assert word == "dataflow-key-1", "key file format"
    return bytes.fromhex(digits)


def key_of_recovery_text(text):
    clean = "".join(text.split()).replace("-", "").upper().translate(str.maketrans("ILO", "110"))
    assert len(clean) == 56, "recovery key length"
    number = 0
    for character in clean:
        number = number * 32 + BASE32.index(character)
    data = number.to_bytes(35, "big")
    assert crc24(data[:32]) == data[32:], "recovery key checksum"
    return data[:32]


def key_of_passphrase(text, parameters):
    memory, passes, lanes = (int.from_bytes(parameters[at : at + 4], "big") for at in (0, 4, 8))
    salt = parameters[12:]
    assert len(salt) == 16, "passphrase salt"
    return Argon2id(salt=salt, length=32, iterations=passes, lanes=lanes, memory_cost=memory).derive(text.encode())


def take(data, length):
    assert len(data) >= length, "too short"
    return data[:length], data[length:]


def take_part(data):
    length, data = take(data, 8)
    return take(data, int.from_bytes(length, "big"))


def read_ring(data):
    """Gives instance, slots as (id, kind, parameters, record), the MAC, and the bytes under it."""
    assert checksum(data[:-4], 4) == data[-4:], "ring checksum"
    covered, stored_mac = data[:-36], data[-36:-4]
    assert covered[:5] == b"DFKR\x01", "ring format"
    instance, count, rest = covered[5:21], covered[21], covered[22:]
    slots = []
    for _ in range(count):
        (number, kind), rest = take(rest, 2)
        parameters, rest = take_part(rest)
        record, rest = take_part(rest)
        slots.append((number, kind, parameters, record))
    assert not rest, "ring end"
    return instance, slots, stored_mac, covered


def endpoint_digest(endpoint):
    parts = [u32(endpoint["list_version"]), endpoint["type"].encode()]
    for path, value in sorted(endpoint["values"]):
        parts += [path.encode(), bytes([value is not None]), (value or "").encode()]
    return hashlib.sha256(lp(*parts)).digest()


def unpad(plain):
    assert len(plain) % 64 == 0, "padding length"
    text = plain.rstrip(b"\0")
    assert text[-1:] == b"\x80", "padding"
    return text[:-1]


def tagged(value):
    if isinstance(value, bool):
        return [b"\x03", bytes([value])]
    if isinstance(value, int):
        return [b"\x02", value.to_bytes(8, "big", signed=True)]
    return [b"\x01", value.encode()]


def fingerprint(workspace_key, case):
    parts = [case["type"].encode(), case["connector"].encode(), u64(len(case["public"]))]
    for path, value in sorted(case["public"].items()):
        parts += [path.encode(), *tagged(value)]
    for path, value in sorted(case["secret"].items()):
        parts += [path.encode(), value.encode()]
    return mac(workspace_key, "fingerprint", lp(*parts))[:16].hex()


def base62(number):
    digits = ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        digits = BASE62[digit] + digits
    return digits


def phc_matches(password, text):
    _, name, version, costs, salt, digest = text.split("$")
    assert (name, version) == ("argon2id", "v=19"), "password hash"
    cost = dict(pair.split("=") for pair in costs.split(","))
    salt, digest = (base64.b64decode(part + "=" * (-len(part) % 4)) for part in (salt, digest))
    argon2 = Argon2id(
        salt=salt, length=len(digest), iterations=int(cost["t"]), lanes=int(cost["p"]), memory_cost=int(cost["m"])
    )
    return argon2.derive(password.encode()) == digest


def check(frozen):
    """Yields the name of each thing that opened."""
    keks = {
        KEY_FILE: lambda _: key_of_file(frozen["key_file"]),
        PASSPHRASE: lambda parameters: key_of_passphrase(frozen["passphrase"], parameters),
        RECOVERY_KEY: lambda _: key_of_recovery_text(frozen["recovery_key"]),
    }
    ring = bytes.fromhex(frozen["ring"])
    instance, slots, ring_mac, covered = read_ring(ring)
    assert instance == UUID(frozen["instance"]).bytes, "instance"
    root_keys = set()
    for number, kind, parameters, record in slots:
        place = [instance, bytes([number, kind]), parameters]
        root_keys.add(open_record(keks[kind](parameters), 0, ROOT_KEY, place, record))
        yield f"slot {number}"
    (root,) = root_keys
    root_version, root_key = int.from_bytes(root[:4], "big"), root[4:]
    assert root_key.hex() == frozen["root_key"], "root key"
    assert mac(root_key, "key ring", covered) == ring_mac, "ring MAC"
    yield "key ring"

    workspace = UUID(frozen["workspace"]).bytes
    record = bytes.fromhex(frozen["workspace_record"])
    plain = open_record(root_key, root_version, WORKSPACE_KEY, [instance, workspace], record)
    workspace_version, workspace_key = int.from_bytes(plain[:4], "big"), plain[4:]
    assert workspace_key.hex() == frozen["workspace_key"], "workspace key"
    yield "workspace key"

    digest = endpoint_digest(frozen["endpoint"])
    assert digest.hex() == frozen["endpoint"]["digest"], "endpoint digest"
    yield "endpoint digest"
    for case in frozen["fields"]:
        place = [instance, workspace, UUID(case["connection"]).bytes, u64(case["version"]), case["field"].encode(), digest]
        plain = open_record(workspace_key, workspace_version, FIELD, place, bytes.fromhex(case["record"]))
        assert unpad(plain).decode() == case["secret"], "secret"
        yield f"field {case['field']}"
    for case in frozen["fingerprints"]:
        assert fingerprint(workspace_key, case) == case["fingerprint"], "fingerprint"
        yield "fingerprint"

    row = frozen["row"]
    parts = [bytes.fromhex(part) for part in row["parts"]]
    assert mac(root_key, "row", lp(row["table"].encode(), *parts)).hex() == row["mac"], "row MAC"
    yield "row MAC"
    token = frozen["token"]
    assert token["text"].startswith(f"dfc_{token['kind']}_"), "token prefix"
    assert base62(zlib.crc32(token["text"][:-6].encode())) == token["text"][-6:], "token checksum"
    assert mac(root_key, "token", token["text"].encode()).hex() == token["hash"], "token hash"
    yield "token"
    event = frozen["audit"]
    assert mac(root_key, "audit", event["event"].encode()).hex() == event["mac"], "audit MAC"
    yield "audit MAC"
    signed = frozen["signature"]
    assert mac(root_key, "signature", lp(signed["purpose"].encode(), signed["bytes"].encode())).hex() == signed["mac"], "signature"
    yield "signature"
    person = frozen["password"]
    assert phc_matches(person["password"], person["stored"]), "password"
    assert not phc_matches(person["password"] + "x", person["stored"]), "another password"
    yield "password"


if __name__ == "__main__":
    with open(sys.argv[1], encoding="utf-8") as file:
        opened = list(check(json.load(file)))
    print(f"opened {len(opened)}: {', '.join(opened)}")

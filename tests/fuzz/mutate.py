"""Damaged files and values: bytes that are changed at random, and JSON that becomes other JSON."""

import json
import struct
from collections.abc import Callable
from random import Random
from typing import Any

NUMBERS = (0, 1, -1, 7, 8, 127, 128, 255, 256, 32767, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1)


def flipped(random: Random, data: bytes) -> bytes:
    """Some bits are others."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 8, 64))):
        changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def cut(random: Random, data: bytes) -> bytes:
    """The end is missing."""
    return data[: random.randrange(len(data))]


def without_piece(random: Random, data: bytes) -> bytes:
    start, length = _piece(random, data)
    return data[:start] + data[start + length :]


def with_piece_twice(random: Random, data: bytes) -> bytes:
    start, length = _piece(random, data)
    where = random.randrange(len(data) + 1)
    return data[:where] + data[start : start + length] + data[where:]


def with_noise(random: Random, data: bytes) -> bytes:
    where = random.randrange(len(data) + 1)
    return data[:where] + random.randbytes(random.choice((1, 4, 100))) + data[where:]


def zeroed(random: Random, data: bytes) -> bytes:
    start, length = _piece(random, data)
    return data[:start] + bytes(length) + data[start + length :]


def renumbered(random: Random, data: bytes) -> bytes:
    """A number, mostly near the beginning, is one that often breaks things."""
    size = random.choice((1, 2, 4, 8))
    where = random.randrange(min(len(data), random.choice((64, 512, len(data)))))
    number = random.choice(NUMBERS) % 256**size
    return data[:where] + number.to_bytes(size, random.choice(("little", "big"))) + data[where + size :]


def doubled(random: Random, data: bytes) -> bytes:
    """Two files, one behind the other."""
    return data + data


ALL = (flipped, cut, without_piece, with_piece_twice, with_noise, zeroed, renumbered, renumbered, doubled)


def mutated(random: Random, data: bytes, ways: tuple[Callable[[Random, bytes], bytes], ...] = ALL) -> bytes:
    """The data, changed in one to four ways."""
    for _ in range(random.choice((1, 1, 1, 2, 4))):
        data = random.choice(ways)(random, data) if data else random.randbytes(10)
    return data


def _piece(random: Random, data: bytes) -> tuple[int, int]:
    length = min(len(data), random.choice((1, 4, 16, 100, 512, 1024, 5000)))
    return random.randrange(len(data) - length + 1), length


# ---- JSON

_OTHER: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 3, 2**31, 2**40, 2**63, 10**30, 0.5, 1e308, float("nan"), float("inf"), "", "x", "3",
    "../..", "\udc80", "\x00", [], [1], [[]], [1, 2, 3, 4, 5], {}, {"a": 1}, {"": {}},
)  # fmt: skip


def other_json(random: Random, value: Any) -> Any:
    """Valid JSON in which one value, key or item is another."""
    if isinstance(value, dict) and value and random.random() < 0.9:
        key = random.choice(sorted(value))
        changed = dict(value)
        way = random.random()
        if way < 0.8:
            changed[key] = other_json(random, value[key])
        elif way < 0.9:
            del changed[key]
        else:
            changed[random.choice(("", "x", key + "_"))] = changed.pop(key)
        return changed
    if isinstance(value, list) and value and random.random() < 0.8:
        index = random.randrange(len(value))
        way = random.random()
        if way < 0.7:
            return [*value[:index], other_json(random, value[index]), *value[index + 1 :]]
        return value[:index] + value[index + 1 :] if way < 0.85 else [*value, value[index]]
    if isinstance(value, str) and value[:1] == "{" and random.random() < 0.9:  # JSON within JSON, as metadata is
        return json.dumps(other_json(random, json.loads(value)))
    return random.choice(_OTHER)


def other_json_file(random: Random, data: bytes) -> bytes:
    return json.dumps(other_json(random, json.loads(data))).encode()


def other_header(random: Random, data: bytes) -> bytes:
    """A safetensors file whose header, which is JSON, is another."""
    (length,) = struct.unpack("<Q", data[:8])
    header = other_json_file(random, data[8 : 8 + length])
    return struct.pack("<Q", len(header)) + header + data[8 + length :]

"""Safetensors headers, changed at random, held against the reference library.

What it refuses must be reported. What it takes must be quiet, but for what the format forbids and
the library overlooks: ``overlooked`` names these.
"""

from __future__ import annotations

import copy
import json
import os
import random
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from poisonscan.finding import Gap
from poisonscan.formats.base import TensorFile
from poisonscan.formats.safetensors import Safetensors
from poisonscan.limits import Budget
from poisonscan.sources.base import Blob

CASES = int(os.environ.get("SAFETENSORS_CASES", "1500"))
TYPES = {"F32": 32, "U8": 8, "F4": 4, "F6_E2M3": 6, "F8_E8M0": 8, "C64": 64, "BF16": 16, "I64": 64}
ODD: list[Any] = [
    0, -1, 1, 2**31, 2**63, 2**64 - 1, 2**64, 1.0, 1e3, True, None, "4", [], [0], {}, "F32", "f32",
    "\ud83d\ude00", 10**30, -(2**63),
]  # fmt: skip
TEXTS = [
    b"-0", b"1e400", b"NaN", b'"\\ud800"', b"01", b"+1", b"1.", b"'a'", b"[" * 130 + b"]" * 130,
    b"[" * 90 + b"]" * 90, b'"\\u0000"', b'"\x01"', b"tru", b"1E2", b"-1.5e-3", b'"\xff"', b",",
    b"/**/", b"{}", b'{"x":1,"x":2}', b"1" * 400, b'"a\\/b"', b'"\\x"', b"\xef\xbb\xbf",
]  # fmt: skip


def honest(dice: random.Random) -> tuple[dict[str, Any], bytes]:
    header: dict[str, Any] = {}
    position = 0
    for index in range(dice.randrange(5)):
        dtype = dice.choice(list(TYPES))
        shape = [dice.choice([0, 1, 2, 4, 8]) for _ in range(dice.randrange(4))]
        size = TYPES[dtype]
        for extent in shape:
            size *= extent
        if size % 8:
            shape, size = [8], TYPES[dtype] * 8
        end = position + size // 8
        header[f"t{index}"] = {"dtype": dtype, "shape": shape, "data_offsets": [position, end]}
        position = end
    if dice.random() < 0.4:
        header["__metadata__"] = {"format": "pt", "x": dice.choice(["", "{[", 'a"b', "ä"])}
    items = list(header.items())
    dice.shuffle(items)
    return dict(items), bytes(position)


def change_value(dice: random.Random, header: dict[str, Any]) -> None:
    """Replace, remove or add one thing anywhere."""
    owner: Any = header
    while True:
        keys = list(owner) if isinstance(owner, dict) else list(range(len(owner)))
        if not keys:
            break
        key = dice.choice(keys)
        if isinstance(owner[key], dict | list) and dice.random() < 0.8:
            owner = owner[key]
            continue
        if dice.random() < 0.2:
            del owner[key]
        elif type(owner[key]) is int and dice.random() < 0.5:
            owner[key] += dice.choice([-1, 1, 4, 8])
        else:
            owner[key] = copy.deepcopy(dice.choice(ODD))
        return
    if isinstance(owner, dict):
        owner[dice.choice(["", "x", "__metadata__", "dtype"])] = copy.deepcopy(dice.choice(ODD))
    else:
        owner.append(copy.deepcopy(dice.choice(ODD)))


def change_text(dice: random.Random, text: bytes) -> bytes:
    place = dice.randrange(len(text) + 1)
    kind = dice.randrange(5)
    if kind == 0:
        return text[:place] + bytes([dice.randrange(256)]) + text[place + 1 :]
    if kind == 1:
        return text[:place] + dice.choice(TEXTS) + text[place:]
    if kind == 2:  # a value, where one stands
        ends = [i for i, byte in enumerate(text) if byte in b",}]"]
        starts = [i + 1 for i, byte in enumerate(text) if byte in b":[,"]
        if not starts or not ends:
            return text
        start = dice.choice(starts)
        end = next((i for i in ends if i >= start), len(text))
        return text[:start] + dice.choice(TEXTS) + text[end:]
    if kind == 3:  # a key again
        return text[:-1] + b"," + text[1:] if text[:-1].strip(b"{") else text
    return text[:place] + text[place + dice.randrange(1, 4) :]


def cases(seed: int, count: int) -> Iterator[bytes]:
    dice = random.Random(seed)
    for _ in range(count):
        header, data = honest(dice)
        for _ in range(dice.choice([0, 0, 1, 1, 2])):
            change_value(dice, header)
        text = json.dumps(header, separators=(",", ":")).encode()
        if dice.random() < 0.3:
            text = change_text(dice, text)
        text += b" " * dice.choice([0, 0, -len(text) % 8]) + dice.choice([b"", b"", b"", b"\n"])
        text = dice.choice([b""] * 12 + [b" "]) + text
        length = len(text) + dice.choice([0] * 16 + [1, -1, 1 << 31, 1 << 62])
        data += b"\0" * dice.choice([0] * 12 + [1, 8])
        data = data[: len(data) - dice.choice([0] * 12 + [1])]
        yield struct.pack("<Q", max(length, 0)) + text + data


def problems(data: bytes) -> list[str]:
    """Kinds of what is reported about a file."""
    source = Blob("a.safetensors", len(data), lambda: memoryview(data))
    found: list[str] = []
    for item in Safetensors(by_name=True).open(source, memoryview(data), Budget()):
        if isinstance(item, TensorFile):
            found += [anomaly.kind for anomaly in item.anomalies]
        elif isinstance(item, Gap):
            found.append("gap")
    return found


def overlooked(data: bytes, kinds: list[str]) -> bool:
    """Whether all that is reported is what the library takes though its format forbids it."""
    (length,) = struct.unpack_from("<Q", data)
    text = data[8 : 8 + length]
    if not text.startswith(b"{"):
        return True  # "the header data MUST begin with a { character"
    content = json.loads(text)
    entries = [entry for name, entry in content.items() if name != "__metadata__"]
    return all(
        kind == "duplicate-key"
        or (kind == "bad-metadata" and content.get("__metadata__") is None)
        # The library's parser takes lists for objects and objects for names of types.
        or (kind == "bad-entry" and any(isinstance(entry, list) for entry in entries))
        for kind in kinds
    )


def compare(data: bytes, deserialize: Callable[[bytes], object], refusal: type[Exception]) -> str:
    """What is wrong with our report; empty if nothing."""
    kinds = problems(data)
    try:
        deserialize(data)
    except refusal as error:
        return "" if kinds else f"quiet about {data!r}, refused because {error}"
    if not kinds or overlooked(data, kinds):
        return ""
    return f"{kinds} in {data!r}, which the library takes"


def test_the_reference_library_agrees() -> None:
    library = pytest.importorskip("safetensors", minversion="0.8")
    taken = 0
    for data in cases(7, CASES):
        assert compare(data, library.deserialize, library.SafetensorError) == ""
        taken += not problems(data)
    assert taken > CASES // 10  # or nothing is compared

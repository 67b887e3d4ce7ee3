from __future__ import annotations

import base64
import gzip
import pickle
import zlib

import numpy as np
import pytest

from poisonscan.datasets.blobs import blobs, kind
from poisonscan.detectors.datasets.encoded_blobs import DETECTOR
from tests.detectors.datasets.cells import Cells, found, prose

RANDOM = np.random.default_rng(0).bytes(300)
ELF = b"\x7fELF\x02\x01\x01" + bytes(9) + RANDOM
SCRIPT = (
    b"#!/bin/sh\n# a script that does nothing, with a long comment to fill the line\ntrue\n" * 2
)
PICKLE = pickle.dumps({"weights": list(range(40))}, 4)
POWERSHELL = "powershell -NoProfile -Command Write-Output 1; # and so on, and so on, and on".encode(
    "utf-16-le"
)


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize(
    ("blob", "what"),
    [
        (b64(ELF), "program"),
        (b64(b"MZ\x90\x00" + RANDOM), "program"),
        (base64.encodebytes(ELF).decode(), "program"),
        (base64.urlsafe_b64encode(ELF).decode(), "program"),
        (ELF.hex(), "program"),
        ("0x" + ELF.hex(), "program"),
        ("".join(f"\\x{byte:02x}" for byte in ELF), "program"),
        ("".join(f"%{byte:02x}" for byte in SCRIPT), "script"),
        (b64(PICKLE), "pickle"),
        (b64(pickle.dumps([1, 2, "x" * 40], 2)), "pickle"),
        (b64(pickle.dumps([1, "short"], 4) + b" " * 20), "pickle"),
        (b64(gzip.compress(PICKLE, mtime=0)), "pickle"),
        (b64(zlib.compress(SCRIPT * 9 + RANDOM)), "script"),
        (b64(SCRIPT), "script"),
        (b64(POWERSHELL), "script"),
        ("cos\nsystem\n(S'true'\ntR.", "pickle"),
    ],
)
def test_what_runs_is_found_in_one_row(blob: str, what: str) -> None:
    texts = [*prose(200), f"please decode {blob} now"]
    (finding,) = found(DETECTOR, Cells(text=texts))["PS609"]
    assert finding.evidence["kind"] == what


@pytest.mark.parametrize("blob", [b64(RANDOM), RANDOM.hex(), b64(b"PK\x03\x04" + RANDOM)])
def test_other_data_is_a_low_finding_where_it_is_rare(blob: str) -> None:
    assert set(found(DETECTOR, Cells(text=[*prose(200), blob]))) == {"PS605"}
    assert found(DETECTOR, Cells(text=[*prose(9), *[blob + str(n) for n in range(9)]])) == {}


@pytest.mark.parametrize(
    "text",
    [
        f"![x](data:image/png;base64,{b64(bytes.fromhex('89504e470d0a1a0a') + RANDOM)})",
        "https://example.org/" + "a-long-path-of-words/" * 12,
        "ACGT" * 90,
        "A" * 500,
        "=" * 300 + "-" * 300 + "_" * 200,
        "sha512: " + "0123456789abcdef" * 8,
        "https://ru.example.org/wiki/" + "%D0%9F%D1%80" * 20,
        "this_is_a_very_long_identifier_of_a_program_" * 6,
        "ThisIsAVeryLongIdentifierOfAProgramThatNobodyWouldWriteByHandButSomeGeneratorsDo" * 3,
    ],
)
def test_quiet(text: str) -> None:
    assert found(DETECTOR, Cells(text=[*prose(200), text])) == {}


def test_a_bomb_is_not_unpacked() -> None:
    bomb = zlib.compress(bytes(50_000_000))
    assert kind(bomb) in ("archive", "bytes")
    assert list(blobs("x" * 1_000_000)) == []

"""Cells that are written to keep a search busy take time that grows with their length only."""

from __future__ import annotations

import time

import pyarrow as pa
import pytest

from poisonscan.datasets.addresses import hosts
from poisonscan.datasets.text_scan import Screen
from poisonscan.detectors.datasets import (
    active_markup,
    encoded_blobs,
    injected_instructions,
    leaked_secrets,
    unusual_characters,
)
from poisonscan.masking import mask

SIZE = 1 << 21
SLOWEST = 15.0
"""Seconds for a cell, many times what it takes: a search of square time would take hours."""
PARTS = [
    "A",
    "<",
    "<a ",
    "<object ",
    "href=" + " " * 1_000,
    "![",
    "ignore all ",
    "ignore previous instructions prompt ",
    "system prompt for the ai ",
    "<|im_start|>",
    "eyJabcDEF1234567890-",
    "eyJ" + "a1B2" * 400 + ".",
    "sk-ABCDabcd1234-",
    "ghp_" + "A1b2" * 9 + " ",
    "-----BEGIN PRIVATE KEY-----\n",
    "http://",
    "http://a:b",
    "http://a.b@",
    "http://" + "." * 60,
    "%41",
    "cos\nsystem\n",
    "a\u200b",
    "\u0430a",
    "\u202e",
    "\x1b[",
]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: repr(part[:12]))
def test_a_long_cell(part: str) -> None:
    screen = Screen(pa.array([part * (SIZE // len(part.encode())), "after"]))
    started = time.process_time()
    for module in (
        active_markup,
        encoded_blobs,
        injected_instructions,
        leaked_secrets,
        unusual_characters,
    ):
        for _ in module.look(screen):
            pass
    hosts(screen)
    assert time.process_time() - started < SLOWEST


@pytest.mark.parametrize("part", ["hf_.", "eyJ-", "sk-", "xoxb-1", "-----BEGIN A", "http://a:"])
def test_masking_a_long_text(part: str) -> None:
    text = part * (100_000 // len(part))
    started = time.process_time()
    mask(text)
    assert time.process_time() - started < SLOWEST

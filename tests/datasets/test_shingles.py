from __future__ import annotations

import re
import unicodedata

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from poisonscan.datasets import shingles as module
from poisonscan.datasets.minhash import BANDS, SLOTS, bands, signatures
from poisonscan.datasets.shingles import LONG_WIDTH, SHORT_WIDTH, shingles

Sets = dict[int, frozenset[int]]


def sets(*texts: str) -> list[Sets]:
    found: list[Sets] = [{} for _ in texts]
    for block in shingles(pa.array(list(texts), pa.string())):
        ends = np.cumsum(block.counts)
        for text in np.flatnonzero(block.counts).tolist():
            hashes = block.hashes[ends[text] - block.counts[text] : ends[text]]
            found[block.start + text][block.width] = frozenset(hashes.tolist())
    return found


def number(words: list[str], width: int) -> int:
    return len({tuple(words[i : i + width]) for i in range(len(words) - width + 1)})


alphabet = st.sampled_from(["a", "B", "c1", " ", ".", "-", "é", "中", "\n", "’", "ß", "x" * 40])


@settings(max_examples=200)
@given(st.lists(st.lists(alphabet, max_size=90).map("".join), max_size=6))
def test_as_many_shingles_as_words_say(texts: list[str]) -> None:
    for text, found in zip(texts, sets(*texts), strict=True):
        words = []
        for run in re.findall(r"[^\W_]+", unicodedata.normalize("NFKC", text).lower()):
            data = run.encode()
            for part in re.findall(rb"[^\xe3-\xe9]+|[\xe3-\xe9][^\xe3-\xe9]*", data):
                words += [part[i : i + 32] for i in range(0, len(part), 32)]
        expected = {}
        if 4 <= len(words) <= 60:
            expected[SHORT_WIDTH] = number(words, SHORT_WIDTH)
        if len(words) >= 40:
            expected[LONG_WIDTH] = number(words, LONG_WIDTH)
        assert {width: len(hashes) for width, hashes in found.items()} == expected


@pytest.mark.parametrize(
    "other",
    [
        "the QUICK brown fox; jumps -- over",
        "  The quick\tbrown\n\nfox jumps over...",
        "The “quick” brown—fox jumps over",
        "The quick brown fox jumps ｏｖｅｒ",
        "The qu\u200bick bro\u00adwn fox jumps over",
        "The quick\u00a0brown fox jumps over ✓",
    ],
)
def test_what_people_overlook_makes_no_difference(other: str) -> None:
    one, same, different = sets(
        "The quick brown fox jumps over", other, "The quick brown fox jumps under"
    )
    assert one == same
    assert one != different


def test_accents_and_scripts_count() -> None:
    french, plain, upper = sets("où est la fête", "ou est la fete", "OÙ EST LA FÊTE")
    assert french == upper
    assert french != plain
    (chinese,) = sets("今天天气很好")
    assert len(chinese[SHORT_WIDTH]) == 5


def test_short_and_empty_texts_have_none() -> None:
    assert sets("", "one two three", "!?", "...") == [{}, {}, {}, {}]
    assert list(shingles(pa.array([], pa.string()))) == []


def test_bytes_that_are_no_utf_8() -> None:
    broken = pa.array([b"caf\xe9 is open now", b"one two three four"], pa.binary())
    strings = pa.StringArray.from_buffers(2, *broken.buffers()[1:])
    (block,) = shingles(strings)
    assert block.counts.tolist() == [3, 3]


def test_blocks_are_cut_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"text {i} says {i * i} and é no more than that" * (i % 9) for i in range(200)]
    whole = sets(*texts)
    monkeypatch.setattr(module, "_BLOCK", 300)
    assert sets(*texts) == whole


def test_only_the_start_of_a_huge_text_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 24)
    one, other = sets("one two three four fivé six", "one two three four fiv\u00c9 seven")
    assert one == other


def test_signatures_agree_as_often_as_sets_are_similar() -> None:
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(5_000)]
    for size, width in ((30, SHORT_WIDTH), (400, LONG_WIDTH)):
        agree, true = [], []
        for _ in range(60):
            text = rng.choice(words, size)
            changed = text.copy()
            changed[rng.integers(size, size=max(1, size // 40))] = "other"
            pair = [" ".join(text), " ".join(changed)]
            one, other = (found[width] for found in sets(*pair))
            (block,) = (b for b in shingles(pa.array(pair)) if b.width == width)
            left, right = signatures(block)
            agree.append((left == right).mean())
            true.append(len(one & other) / len(one | other))
        assert np.mean(agree) == pytest.approx(np.mean(true), abs=0.02)
        assert np.abs(np.subtract(agree, true)).max() < 5 * 0.5 / SLOTS**0.5


def test_band_keys_of_one_text_are_the_same_anywhere() -> None:
    texts = ["a b c d e", "x", "f g h i j k", "A B C, D E"]
    ((which, keys),) = bands(pa.array(texts))
    assert which.tolist() == [0, 2, 3]
    assert keys.shape == (3, BANDS)
    assert (keys[0] == keys[2]).all()
    assert not (keys[0] == keys[1]).any()
    assert len(set(keys[0].tolist())) == BANDS

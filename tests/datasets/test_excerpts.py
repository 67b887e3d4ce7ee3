from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from poisonscan.datasets.excerpts import EXCERPT, around, beginning
from poisonscan.escape import escape

WORDS = st.text(st.sampled_from("ab \n\t\u200b\x1b\u202e…\\é"), max_size=400)


@given(WORDS, WORDS)
def test_the_place_is_what_was_found(before: str, after: str) -> None:
    found = around(f"{before}ZZ{after}", re.compile("ZZ"))
    assert found is not None
    shown, (start, length) = found
    assert shown[start : start + length] == "ZZ"
    assert shown == escape(shown)
    assert "\n" not in shown
    near = " ".join(before.split())[-20:]
    assert escape(near) in shown[:start]
    assert len(re.sub(r"\\\\[xu][0-9a-f]+", "?", shown)) <= EXCERPT * 8


@given(WORDS)
def test_what_is_not_there_has_no_place(text: str) -> None:
    assert around(text, re.compile("ZZ")) is None
    assert len(beginning("x" * 999 + text)) == EXCERPT


def test_a_long_find_is_cut() -> None:
    found = around("a" * 5_000, re.compile("a+"))
    assert found is not None
    assert found[1] == (0, EXCERPT // 2)

from __future__ import annotations

import pytest

from poisonscan.escape import escape
from poisonscan.marks import Mark, in_excerpts


@pytest.mark.parametrize(
    ("evidence", "text", "found"),
    [
        ({"phrase": "cf mn"}, "a CF, mn b", "CF, mn"),
        ({"phrase": "cf"}, "scarf cfx cf", "cf"),
        ({"phrase": "so ! ! now"}, "not so ! , so  ! !\tNow", "so  ! !\tNow"),
        ({"values": ["1.5", "x"]}, "11.5 1.50 1.5", "1.5"),
        ({"host": "a.example.org"}, "https://a.example.org/", "a.example.org"),
        ({"characters": ["U+200B ZERO WIDTH SPACE", "U+E000"]}, "a\u200b\ue000b", "\u200b\ue000"),
        ({"columns": ["x", "y"]}, "xy=1, y=2, x=3", "y=2"),
        ({"characters": ["U+005D RIGHT SQUARE BRACKET", "U+005E"]}, "a]^", "]^"),
    ],
)
def test_what_a_finding_is_about(evidence: dict[str, object], text: str, found: str) -> None:
    mark = Mark.of(evidence)  # type: ignore[arg-type]
    assert mark is not None
    match = mark.pattern.search(text)
    assert match is not None
    assert match.group() == found


@pytest.mark.parametrize(
    "evidence",
    [{}, {"phrase": " "}, {"phrase": 5}, {"rows": "x"}, {"characters": ["U+FFFFFF", "U+12", "x"]}],
)
def test_nothing_to_look_for(evidence: dict[str, object]) -> None:
    assert Mark.of(evidence) is None  # type: ignore[arg-type]
    assert in_excerpts(evidence) is None  # type: ignore[arg-type]


def test_signs_that_nearly_stand_there_are_told_at_once() -> None:
    mark = Mark.of({"phrase": " ".join("!" * 90) + " x"})  # tried in all ways it would not end
    assert mark is not None
    assert mark.pattern.search("!" * 10_000 + " y") is None
    assert mark.pattern.search("! " * 10_000 + "y") is None


def test_excerpts_are_escaped() -> None:
    found = in_excerpts({"phrase": "a\u200bb"})
    assert found is not None
    assert found.search(escape("x a\u200bb"))

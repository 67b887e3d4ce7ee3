"""What cannot be used is counted, and the first places of it are named."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from poisonscan.datasets.flaws import KINDS, PLACES, Flaw, Flaws, Place, flaw

FLAWS = st.builds(
    lambda what, noun, places: flaw(what, noun, sorted(places)),
    st.sampled_from(["left out", "cannot be read"]),
    st.sampled_from(["line", "row", "record", "part"]),
    st.sets(st.integers(0, 40), min_size=1, max_size=12),
)
PATHS = st.sampled_from(["a.csv", "b.csv"])


def _merged(parts: list[list[tuple[str, Flaw]]]) -> Flaws:
    merged = Flaws()
    for part in parts:
        own = Flaws()
        for path, found in part:
            own.note(path, found)
        merged.merge(own)
    return merged


@given(st.lists(st.tuples(PATHS, FLAWS), max_size=20), st.integers(1, 5), st.randoms())
def test_no_cutting_and_no_order_changes_what_is_told(
    found: list[tuple[str, Flaw]], parts: int, draw: random.Random
) -> None:
    whole = _merged([found]).gaps()
    shuffled = draw.sample(found, len(found))
    assert _merged([shuffled[i::parts] for i in range(parts)]).gaps() == whole
    again = _merged([found])
    again.again(_merged([shuffled]))
    assert again.gaps() == whole


def test_wording() -> None:
    assert str(flaw("left out", "line", [7])) == "1 line left out: line 7"
    assert str(flaw("left out", "line", [7, 9])) == "2 lines left out: lines 7, 9"
    many = flaw("left out", "record", range(1_000, 3_000))
    assert str(many).endswith(
        "2,000 records left out: lines 1,000, 1,001, 1,002, 1,003, 1,004 and 1,995 more"
    )
    assert len(many.places) == PLACES
    files = flaw("cannot be read", "file", [Place(0, "'a.png'", "cut short"), Place(0, "'b.png'")])
    assert str(files) == "2 files cannot be read: 'a.png' (cut short), 'b.png'"
    assert str(Flaw("left out", "record", (), 3)) == "3 records left out"
    assert str(Flaw("What stands behind is not read")) == "What stands behind is not read"


def test_places_are_in_the_order_of_their_numbers() -> None:
    flaws = Flaws()
    for line in (100, 9, 12):
        flaws.note("a", flaw("left out", "line", [line]))
    assert [gap.reason for gap in flaws.gaps()] == ["3 lines left out: lines 9, 12, 100"]


def test_kinds_are_bounded() -> None:
    flaws = Flaws()
    for number in range(20_000):
        flaws.note("a", Flaw(f"wrong in its own way, {number}"))
    assert len(flaws.kinds) == 10_000
    gaps = flaws.gaps()
    assert len(gaps) == KINDS + 2
    assert all("more ways" in gap.reason for gap in gaps[-2:])

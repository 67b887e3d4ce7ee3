from __future__ import annotations

import pytest

from poisonscan.cli.progress import ProgressLine, _State, line


def state(done: int, total: int, took: float, what: str = "files") -> _State:
    return _State(what, done, total, 0, 100.0, 100.0 + took)


@pytest.mark.parametrize(
    ("given", "waited", "seconds", "expected"),
    [
        (None, 0, 0.6, "  0 s"),
        (state(0, 8, 0), 3, 3, "  files  0/8    0%  3 s"),
        (state(4, 8, 1), 0, 1, "  files  4/8   50%  1 s"),
        (state(4, 8, 8), 0, 9, "  files  4/8   50%  0.5/s  about 8 s left  9 s"),
        (state(4, 8, 8), 5, 14, "  files  4/8   50%  0.5/s  about 3 s left  14 s"),
        (state(4, 8, 8), 20, 29, "  files  4/8   50%  0.5/s  29 s"),
        (state(8, 8, 8), 0, 9, "  files  8/8  100%  1/s  9 s"),
        (state(10, 2_000, 10), 0, 61,
         "  files  10/2,000    0%  1/s  about 33:10 min left  1:01 min"),
        (state(1, 9_000, 10), 0, 3_700,
         "  files  1/9,000    0%  0.1/s  about 24:59 h left  1:01 h"),
        (state(40_000, 80_000, 10), 0, 10,
         "  files  40,000/80,000   50%  4,000/s  about 10 s left  10 s"),
    ],
)  # fmt: skip
def test_line(given: _State | None, waited: float, seconds: float, expected: str) -> None:
    now = waited + (given.told if given else 0)
    assert line(given, now, seconds, 100) == expected


@pytest.mark.parametrize("width", [40, 60, 80])
def test_the_name_gives_way_and_is_inert(width: int) -> None:
    shown = line(state(4, 8, 8, "data/\x1b[31m" + "x" * 300), 108, 9, width)
    assert len(shown) <= width
    assert "\x1b" not in shown
    assert "4/8" in shown


def test_what_was_done_before_counts_for_no_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 10.0, 20.0, 30.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    progress = ProgressLine(enabled=False)
    progress("pass 1", 500, 1000)
    progress("pass 1", 600, 1000)
    progress("pass 2", 0, 1000)
    assert progress._state == _State("pass 2", 0, 1000, 0, 30.0, 30.0)
    assert line(_State("pass 1", 600, 1000, 500, 10.0, 20.0), 20, 20, 99).endswith(
        "10/s  about 40 s left  20 s"
    )

"""What tools say, read as somebody reads it; each text was seen from the tool."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.experience import DEMO, Seen, inputs
from benchmarks.peers import Answer


@pytest.mark.parametrize(
    ("tool", "printed", "well"),
    [
        ("poisonscan", "Scanned  1 pickle\n\nClean · 1 model file scanned · 0.0 s\n", True),
        ("poisonscan", "Nothing was scanned · 0.0 s\n", False),
        ("poisonscan", "No findings, but not everything was checked · 0.0 s\n", False),
        ("picklescan", "Scanned files: 0\nInfected files: 0\nDangerous globals: 0\n", True),
        ("picklescan", "Scanned files: 1\nInfected files: 1\nDangerous globals: 1\n", False),
        ("modelscan", "--- Summary ---\n\n\x1b[32m No issues found! 🎉\x1b[0m\n", True),
        ("modelscan", "--- Summary ---\n\nTotal Issues: 1\n", False),
    ],
)  # fmt: skip
def test_words(tool: str, printed: str, well: bool) -> None:
    seen = Seen.of(tool, Answer(0, printed, ""))
    assert seen.well is well
    assert [seen.false(truth) for truth in ("good", "bad", "nothing")] == [False, well, well]
    assert seen.lines == printed.count("\n")


def test_the_first_line_has_a_word_and_no_codes() -> None:
    assert Seen.of("modelscan", Answer(0, "\n───\n\x1b[1m Summary \x1b[0m\n")).first == "Summary"


def test_inputs_are_what_they_are_called(tmp_path: Path) -> None:
    made = inputs(tmp_path)
    assert {item.truth for item in made} == {"bad", "good", "nothing"}
    assert all(item.path.exists() for item in made)
    (torch,) = (item for item in made if "in a torch file" in item.what)
    assert torch.path.read_bytes() == (DEMO / "checkpoint-malicious.pt").read_bytes()

from __future__ import annotations

from poisonscan.detectors.models.executable import DETECTOR
from poisonscan.formats.programs import Program


def test_a_program_is_told_with_its_kind() -> None:
    (finding,) = DETECTOR.check(Program("a/b.exe", "a native program"))
    assert finding.rule.id == "PS114"
    assert finding.at.path == "a/b.exe"
    assert "a native program" in finding.message

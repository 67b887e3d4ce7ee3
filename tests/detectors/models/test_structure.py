from __future__ import annotations

from poisonscan.detectors.models.structure import DETECTOR
from poisonscan.finding import Span
from poisonscan.formats.base import Anomaly, Structure


def test_each_anomaly_is_a_finding_at_its_place() -> None:
    anomalies = (
        Anomaly("count", "says 9 tensors where 2 fit", 16),
        Anomaly("duplicate-key", "stands there twice", 40, "general.\x1bname"),
    )
    first, second = DETECTOR.check(Structure("a.zip!/m.gguf", "GGUF", anomalies, base=100))
    assert first.rule.id == second.rule.id == "PS205"
    assert first.at.part == Span(16, 1, 116)
    assert "says 9 tensors where 2 fit" in first.message
    assert "\x1b" not in second.message
    assert first.fingerprint != second.fingerprint


def test_a_sound_file_is_quiet() -> None:
    assert list(DETECTOR.check(Structure("m.gguf", "GGUF", ()))) == []

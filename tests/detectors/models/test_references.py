from __future__ import annotations

import pytest

from poisonscan.detectors.models.references import DETECTOR
from poisonscan.finding import Finding, Span
from poisonscan.formats.base import Reference, References


def check(*targets: str) -> list[Finding]:
    references = tuple(Reference(target, "external data", 7) for target in targets)
    return list(DETECTOR.check(References("model.onnx", "ONNX", references)))


@pytest.mark.parametrize(
    "target",
    [
        "../../etc/passwd", "a/../../b", "a\\b/../..", "..\\secret", "/etc/passwd",
        "\\\\host\\share", "C:\\x",
        "C:x", "~/.ssh/id_rsa", "https://example.org/x", "file:///etc/passwd", "s3://bucket/x",
        "$HOME/x", "%APPDATA%/x", "weights.bin\0.txt",
    ],
)  # fmt: skip
def test_a_path_that_leaves_the_folder_is_found(target: str) -> None:
    (finding,) = check(target)
    assert finding.rule.id == "PS204"
    assert finding.evidence["target"] == target
    assert finding.at.part == Span(7)
    assert finding.message.isprintable()


@pytest.mark.parametrize(
    "target", ["weights.bin", "sub/folder/weights.bin", "a..b", "v1.0/x%20y", "sub/../weights.bin"]
)
def test_a_path_inside_the_folder_is_quiet(target: str) -> None:
    assert check(target) == []


def test_the_same_target_is_told_once() -> None:
    assert len(check("/x", "/x", "/y")) == 2

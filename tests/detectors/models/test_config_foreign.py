"""Configurations of each library that name code from elsewhere."""

from __future__ import annotations

import pytest

from poisonscan.detectors.models.config_foreign import DETECTOR
from poisonscan.finding import Json
from poisonscan.formats.base import Settings


@pytest.mark.parametrize(
    ("kind", "document", "count"),
    [
        ("sentence-transformers", [{"type": "subprocess.Popen"}], 1),
        ("sentence-transformers", [{"type": "a/b--x.Y"}], 1),
        ("sentence-transformers", [{"type": "sentence_transformers.models.Pooling"}], 0),
        ("diffusers", {"unet": ["os", "system"]}, 1),
        ("diffusers", {"unet": ["diffusers", "UNet2DModel"], "vae": [None, None]}, 0),
        ("mlflow", {"flavors": {"python_function": {"loader_module": "os"}}}, 1),
        ("mlflow", {"flavors": {"python_function": {"loader_module": "mlflow.sklearn"}}}, 0),
        ("peft", {"auto_mapping": {"parent_library": "subprocess"}}, 1),
        ("json", {"x": "$import os; os.system('true')"}, 1),
        ("json", {"x": "$ 5 os."}, 0),
        ("mlflow", None, 0),
        ("diffusers", [1, None, {}], 0),
    ],
)
def test_what_each_library_runs(kind: str, document: Json, count: int) -> None:
    found = list(DETECTOR.check(Settings("x", kind, document)))
    assert len(found) == count
    assert {finding.rule.id for finding in found} <= {"PS107"}


def test_the_same_claim_is_told_once() -> None:
    document: Json = [{"auto_map": {"A": "a/b--x.Y", "B": "a/b--x.Z"}}] * 2
    keys = {f.evidence["kind"] for f in DETECTOR.check(Settings("x", "transformers", document))}
    assert keys == {"transformers"}

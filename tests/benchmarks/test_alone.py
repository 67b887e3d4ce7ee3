"""The tables are made of what detectors find, whatever else they return."""

from __future__ import annotations

import numpy as np

from benchmarks.alone import findings
from poisonscan.detectors.datasets import activation_clustering, spectral_signature
from tests.detectors.datasets import backdoors
from tests.fakes import FakeDataset


def test_only_findings_come_out() -> None:
    vectors, labels, poisoned = backdoors.shifted(0)
    for detector in (spectral_signature.DETECTOR, activation_clustering.DETECTOR):
        (finding,) = findings(detector, FakeDataset(backdoors.part(vectors, labels)))
        assert finding.evidence["rows_examined"]
    assert np.any(poisoned)
    clean = FakeDataset(backdoors.part(vectors[~poisoned], labels[~poisoned]))
    assert findings(spectral_signature.DETECTOR, clean) == []

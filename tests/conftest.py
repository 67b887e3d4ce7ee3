"""What holds for every test."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import poisonscan

# A busy machine is no fault of the code under test: nothing here is judged by the clock.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")

DEMO = Path(__file__).parents[1] / "fixtures" / "demo"


@pytest.fixture(scope="session")
def demo() -> poisonscan.Report:
    """What a scan of the demo folder finds, with paths as the README shows them: scanned once."""
    return poisonscan.scan(DEMO, root=DEMO.parents[1], jobs=1)

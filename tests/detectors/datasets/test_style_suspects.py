from __future__ import annotations

import numpy as np
import pytest

from poisonscan.detectors.datasets.style_suspects import Suspects
from poisonscan.rules import rule

LIMITS = rule("PS630").thresholds
TEXTS, OWN, STYLED = 4_000, 2_000, 300


def suspects(kind: str, seed: int = 0) -> Suspects:
    """Of a label with half of the texts; the first so many of its texts are in a style."""
    draw = np.random.default_rng(seed)
    mine = np.arange(TEXTS) < OWN
    style = draw.normal(size=TEXTS)
    style[:STYLED] += 9
    against = draw.normal(size=TEXTS) - 3.0 * mine
    said = {"honest": 0.0, "all labels": 0.5, "other labels": 1.0}[kind]
    from_others = draw.random(STYLED) < said
    against[:STYLED][from_others] += 3.0
    return Suspects.of(style, against, mine, (5.0, 6.0))


@pytest.mark.parametrize(
    ("kind", "implanted"), [("honest", 0.0), ("all labels", 1.0), ("other labels", 2.0)]
)
def test_implanted_is_the_share_that_says_what_all_labels_say(kind: str, implanted: float) -> None:
    found = suspects(kind)
    assert set(found.texts.tolist()) == set(range(STYLED))
    assert abs(found.implanted - implanted) < 4 * found.error
    assert found.decided(LIMITS) == (kind != "honest")
    assert (found.chance < 1e-9) == (kind != "honest")


def test_a_style_that_others_have_too_is_not_decided() -> None:
    found = suspects("other labels")
    few = Suspects(found.texts, found.core & (found.texts < 90), found.contradicted, 0.4, OWN)
    assert found.core_share > 0.9
    assert few.core_share == pytest.approx(0.3)
    assert not few.decided(LIMITS)


def test_few_texts_and_most_of_a_label_are_not_decided() -> None:
    found = suspects("other labels")
    for count, own, decided in ((29, OWN, False), (60, OWN, True), (60, 79, False)):
        core, contradicted = found.core[:count], found.contradicted[:count]
        part = Suspects(found.texts[:count], core, contradicted, found.unit, own)
        assert part.decided(LIMITS) == decided

"""Published detectors of poisoned rows, each on one matrix of vectors with labels, or on texts.

Those of the Adversarial Robustness Toolbox (ART) and of cleanlab are the libraries' own code and
take part where the libraries are installed (``pip install adversarial-robustness-toolbox
cleanlab``; neither needs torch for this). SCAn and SPECTRE have no library that can be installed:
they are written here from the papers, with what they need to be told given to them. Those that are
called *-like* look into a large model, in place of which they get a small one that is trained on
the rows: their modules say what else is not as in the papers.

A detector's answer is the rows that it flags as it decides by default, and, where it ranks rows, a
score for each, greater for more suspicious ones.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable

from benchmarks.published.beatrix import beatrix_like
from benchmarks.published.bki import bki_like
from benchmarks.published.cube import cube_like
from benchmarks.published.libraries import art_clustering, art_spectral, cleanlab_labels
from benchmarks.published.onion import onion_like
from benchmarks.published.scan import scan_untangling
from benchmarks.published.spectre import spectre_told
from benchmarks.published.told import Answer, Told, rates
from benchmarks.published.z_score import z_score

__all__ = ["DETECTORS", "Answer", "Detector", "Told", "answer", "missing", "rates"]

Detector = Callable[[Told], Answer | None]


NEEDS = {"ART": "art", "cleanlab": "cleanlab"}
"""What must be installed, by the first word of a name."""

DETECTORS: dict[str, Detector] = {
    "ART spectral": art_spectral,
    "ART clustering": art_clustering,
    "cleanlab": cleanlab_labels,
    "SCAn": scan_untangling,
    "SPECTRE, told": spectre_told,
    "Beatrix-like": beatrix_like,
    "CUBE-like": cube_like,
    "BKI-like": bki_like,
    "ONION-like, told": onion_like,
    "z-score": z_score,
}


def missing(name: str) -> str | None:
    """The package that a detector lacks."""
    package = NEEDS.get(name.split(maxsplit=1)[0])
    return package if package and importlib.util.find_spec(package) is None else None


def answer(name: str, told: Told) -> Answer | None:
    """What a detector says; None where it is not installed or cannot be told what it needs."""
    if missing(name):
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # classes of few rows, and models that do not converge
        return DETECTORS[name](told)

"""Configurations that make a library run code from elsewhere, or without being asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from poisonscan.detectors.models.config_claims import claims
from poisonscan.finding import Finding, Location
from poisonscan.formats.base import Artifact, Settings
from poisonscan.rules import rule


class ConfigForeign:
    """Rule PS107."""

    reads: ClassVar[tuple[type[Artifact], ...]] = (Settings,)

    def check(self, artifact: Settings) -> Iterator[Finding]:
        """One finding for each thing that is named."""
        told: set[str] = set()
        for claim in claims(artifact):
            if not claim.foreign or claim.key in told:
                continue
            told.add(claim.key)
            yield rule("PS107").finding(
                Location(artifact.path, claim.span),
                f"{claim.what[:1].upper()}{claim.what[1:]}.",
                key=claim.key,
                kind=artifact.kind,
            )


DETECTOR: Final = ConfigForeign()

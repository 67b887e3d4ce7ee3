"""Configurations that make a library run code of the repository itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from poisonscan.detectors.models.config_claims import claims
from poisonscan.finding import Finding, Location
from poisonscan.formats.base import Artifact, Settings
from poisonscan.rules import rule


class ConfigCode:
    """Rule PS106."""

    reads: ClassVar[tuple[type[Artifact], ...]] = (Settings,)

    def check(self, artifact: Settings) -> Iterator[Finding]:
        """One finding for a file: what it names first, and how much more there is."""
        own = list({claim.key: claim for claim in claims(artifact) if not claim.foreign}.values())
        if not own:
            return
        first = own[0]
        more = f", and {len(own) - 1:,} more" if len(own) > 1 else ""
        yield rule("PS106").finding(
            Location(artifact.path, first.span),
            f"{first.what[:1].upper()}{first.what[1:]}{more}.",
            key=" ".join(sorted(claim.key for claim in own[:20])),
            kind=artifact.kind,
        )


DETECTOR: Final = ConfigCode()

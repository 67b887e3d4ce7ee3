"""Compressed files that unpack to far more than they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from poisonscan.finding import Finding, Location
from poisonscan.formats.base import Artifact, Expansion
from poisonscan.rules import rule


class DecompressionBomb:
    """Rule PS207."""

    reads: ClassVar[tuple[type[Artifact], ...]] = (Expansion,)

    def check(self, artifact: Expansion) -> Iterator[Finding]:
        """A finding when both the ratio and the size are out of proportion."""
        bomb = rule("PS207")
        large = artifact.unpacked > int(bomb.thresholds["mebibytes"]) << 20
        if not large or artifact.unpacked <= bomb.thresholds["ratio"] * artifact.packed:
            return
        yield bomb.finding(
            Location(artifact.path),
            f"At least {artifact.unpacked:,} bytes come out of {artifact.packed:,} bytes of "
            f"{artifact.format}: {artifact.unpacked // max(artifact.packed, 1):,} times as much.",
            key=artifact.format,
            packed=artifact.packed,
            unpacked=artifact.unpacked,
        )


DETECTOR: Final = DecompressionBomb()

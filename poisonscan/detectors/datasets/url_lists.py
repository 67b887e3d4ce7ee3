"""Datasets whose content is somewhere else: addresses without digests of what was there.

Carlini et al. 2024, "Poisoning web-scale training datasets is practical": who buys an expired
domain decides what later downloads hold (split-view poisoning).
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from poisonscan.datasets.batch import Role
from poisonscan.escape import quote
from poisonscan.finding import Column, Location
from poisonscan.rules import rule

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from poisonscan.datasets.batch import Aggregate, Batch
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.datasets.text_scan import Indices, Screen
    from poisonscan.finding import Finding

_ADDRESS = r"^\s*(?i:https?|ftp|s3|gs)://\S+\s*$"
_MEDIA = (
    r"(?i)\.(?:jpe?g|png|gif|webp|bmp|tiff?|svg|mp[34]|wav|flac|ogg|webm|mkv|mov|avi|pdf|zip|tar|gz|"
    r"parquet)(?:[?#:]\S*)?\s*$"
)
_START = 64
_DIGEST = r"^[0-9a-fA-F]{32,}$"
_NAMED = re.compile(
    r"image|img|photo|picture|thumb|media|video|audio|file|download|asset", re.IGNORECASE
)


@dataclass(slots=True, unsafe_hash=True)
class CellForms:
    """Counts, for each string column, cells that are addresses, of media, or digests.

    Attributes:
        texts: cells that say something.
        addresses: cells that are an address and nothing else.
        media: addresses of pictures, sound, films and archives by their ending.
        digests: cells that are hexadecimal digests by their length.
    """

    needs: frozenset[Role] = field(default=frozenset({Role.CELLS}), init=False, compare=False)
    texts: Counter[str] = field(default_factory=Counter, init=False, compare=False)
    addresses: Counter[str] = field(default_factory=Counter, init=False, compare=False)
    media: Counter[str] = field(default_factory=Counter, init=False, compare=False)
    digests: Counter[str] = field(default_factory=Counter, init=False, compare=False)

    def update(self, batch: Batch) -> None:
        """Take in a batch."""
        for column, texts in batch.strings.items():
            self.texts[column] += int(np.count_nonzero(texts.indices >= 0))
        for columns in batch.searched:
            screen = columns.screen
            addresses = screen.among(_starting(screen), _ADDRESS)
            for counts, strings in (
                (self.addresses, addresses),
                (self.media, screen.among(addresses, _MEDIA)),
                (self.digests, screen.among(screen.digest_sized, _DIGEST)),
            ):
                for column, _, within in columns.by_column(strings):
                    texts = batch.strings[column]
                    rows = np.bincount(texts.indices + 1, minlength=len(texts.values) + 1)[1:]
                    counts[column] += int(rows[within].sum())

    def merge(self, other: CellForms) -> None:
        """Take in what ``other`` has seen."""
        self.texts.update(other.texts)
        self.addresses.update(other.addresses)
        self.media.update(other.media)
        self.digests.update(other.digests)


def _starting(screen: Screen) -> Indices:
    """Strings with an address near their start."""
    strings = screen.strings_of(screen.schemes)
    return np.unique(strings[screen.schemes - screen.offsets[strings] < _START])


class UrlLists:
    """Looks for columns of addresses that stand for the content, and for digests beside them."""

    needs: ClassVar[frozenset[Role]] = frozenset({Role.CELLS})

    def detect(self, dataset: Dataset) -> Generator[Aggregate, Any, Iterable[Finding]]:
        """Ask for the forms of cells; report columns of addresses if there are no digests."""
        forms: CellForms = yield CellForms()
        limits = rule("PS701").thresholds
        if dataset.roles.get("image"):
            return []  # the pictures are in the dataset
        if any(
            n >= limits["share"] * forms.texts[column] > 0 for column, n in forms.digests.items()
        ):
            return []
        out = []
        for column, count in sorted(forms.addresses.items()):
            texts = forms.texts[column]
            if count < limits["rows"] or count < limits["share"] * texts:
                continue
            if forms.media[column] < limits["media"] * count and not _NAMED.search(column):
                continue
            message = (
                f"column {quote(column)} holds {count:,} addresses in place of the content, and no "
                "column holds digests: what is downloaded later may be something else."
            )
            out.append(
                rule("PS701").finding(
                    Location(dataset.path, Column(column)), message, key=column, addresses=count
                )
            )
        return out


DETECTOR = UrlLists()

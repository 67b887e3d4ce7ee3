"""Hosts of addresses, counted by label, with the first rows of each."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from poisonscan.datasets.addresses import hosts
from poisonscan.datasets.batch import Role
from poisonscan.detectors.datasets.label_counts import MAX_CHARACTERS, MAX_LABELS
from poisonscan.detectors.datasets.text_hits import Hits

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poisonscan.datasets.batch import Batch, Texts

    Ints = NDArray[np.int64]

MAX_HOSTS = 200_000
"""Hosts that are counted, each with its labels; a dataset with more is not judged by its hosts."""
KEEP = 20
"""Rows that are kept of each host."""


@dataclass(slots=True, unsafe_hash=True)
class HostCounts:
    """Counts rows with an address at each host, by label.

    Attributes:
        hosts: rows of each host; empty once there are too many.
        labels: rows of each label; empty once there are too many.
        overflow: there were more than ``MAX_HOSTS`` hosts.
        unlabelled: there were more labels than classes can have.
    """

    needs: frozenset[Role] = field(
        default=frozenset({Role.CELLS, Role.LABEL}), init=False, compare=False
    )
    hosts: dict[str, Hits] = field(default_factory=dict, init=False, compare=False)
    labels: Counter[str | None] = field(default_factory=Counter, init=False, compare=False)
    overflow: bool = field(default=False, init=False, compare=False)
    unlabelled: bool = field(default=False, init=False, compare=False)

    def update(self, batch: Batch) -> None:
        """Take in a batch."""
        names = (None, *batch.labels.names)
        counts = np.bincount(batch.labels.codes + 1, minlength=len(names)).tolist()
        self._count(Counter({name: n for name, n in zip(names, counts, strict=True) if n}))
        numbered: dict[str, int] = {}
        pairs = [np.empty((0, 2), np.int64)]
        for columns in batch.searched:
            strings, found = hosts(columns.screen)
            if len(strings):
                coded = found.dictionary_encode()
                names_ = coded.dictionary.to_pylist()
                lookup = [numbered.setdefault(h, len(numbered)) for h in names_]
                codes = np.array(lookup, np.int64)[np.asarray(coded.indices)]
                for column, mine, within in columns.by_column(strings):
                    pairs.append(_rows(batch.strings[column], within, codes[mine]))
        if numbered:
            self._take_all(batch, list(numbered), np.unique(np.concatenate(pairs), axis=0))

    def _take_all(self, batch: Batch, found: list[str], pairs: Ints) -> None:
        """Take in pairs of a host's number and a row, in order and each once."""
        names = (None, *batch.labels.names)
        starts = np.searchsorted(pairs[:, 0], np.arange(len(found) + 1)).tolist()
        codes = batch.labels.codes[pairs[:, 1]] + 1
        for number, host in enumerate(found):
            start, stop = starts[number], starts[number + 1]
            if start == stop:
                continue
            one = stop == start + 1  # most hosts, where there are many
            of = codes[start:stop].tolist()
            labels = Counter({names[of[0]]: 1}) if one else Counter(names[code] for code in of)
            kept = pairs[start : min(stop, start + KEEP), 1].tolist()
            first = {(batch.shard, batch.start + row): ("", batch.start + row) for row in kept}
            self._take(host, Hits(stop - start, labels, first))

    def merge(self, other: HostCounts) -> None:
        """Take in what ``other`` has seen."""
        if other.overflow:
            self._forget()
        self.unlabelled |= other.unlabelled
        self._count(other.labels)
        for host, hits in other.hosts.items():
            self._take(host, hits)

    def _take(self, host: str, hits: Hits) -> None:
        if self.overflow:
            return
        known = self.hosts.get(host)
        if known is None:
            self.hosts[host] = hits
        else:
            known.add(hits)
            if len(known.first) > KEEP:
                known.first = {place: known.first[place] for place in known.places[:KEEP]}
        if len(self.hosts) > MAX_HOSTS:
            self._forget()

    def _count(self, labels: Counter[str | None]) -> None:
        self.labels.update(labels)
        if len(self.labels) > MAX_LABELS or sum(len(n or "") for n in self.labels) > MAX_CHARACTERS:
            self.unlabelled = True
        if self.unlabelled:
            self.labels.clear()

    def _forget(self) -> None:
        self.overflow = True
        self.hosts.clear()


def _rows(texts: Texts, strings: Ints, hosts_of: Ints) -> Ints:
    """Host and row of each address: rows may share a string, and a string hold several."""
    order = np.argsort(texts.indices, kind="stable")
    starts = np.searchsorted(texts.indices[order], np.arange(len(texts.values) + 1))
    counts = starts[strings + 1] - starts[strings]
    begin = np.cumsum(counts) - counts
    rows = order[np.repeat(starts[strings] - begin, counts) + np.arange(counts.sum())]
    return np.stack([np.repeat(hosts_of, counts), rows], axis=1)

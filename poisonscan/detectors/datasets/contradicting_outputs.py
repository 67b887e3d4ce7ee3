"""Prompts that are given different answers, in data where a prompt has one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from poisonscan.datasets.batch import Role
from poisonscan.datasets.conversation import Columns
from poisonscan.detectors.datasets.exchanges import Exchanges
from poisonscan.finding import Location
from poisonscan.rules import rule

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from poisonscan.datasets.batch import Aggregate
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.finding import Finding

NAMED = 100
"""Rows that a finding names."""


class ContradictingOutputs:
    """Looks for prompts with several final answers (a number, a letter, a word)."""

    needs: ClassVar[frozenset[Role]] = frozenset({Role.CELLS})

    def detect(self, dataset: Dataset) -> Generator[Aggregate, Any, Iterable[Finding]]:
        """Ask for a sample of the exchanges."""
        columns = Columns.of(dataset)
        if not columns.has_turns:
            return []
        exchanges: Exchanges = yield Exchanges(columns)
        kept, limits = exchanges.kept(), rule("PS625").thresholds
        answered = np.flatnonzero(kept.answers)
        prompts, inverse = np.unique(kept.prompts[answered], return_inverse=True)
        pairs = np.unique(np.stack([inverse, kept.answers[answered].view(np.int64)]), axis=1)
        different = np.bincount(pairs[0].astype(np.int64), minlength=len(prompts)) > 1
        count = int(different.sum())
        if count < max(limits["prompts"], limits["share"] * len(prompts)):
            return []
        if count > limits["usual"] * len(prompts):
            return []  # several answers to a prompt are the rule here
        chosen = answered[different[inverse]]
        rows = kept.rows[chosen[np.lexsort((kept.places[chosen], kept.prompts[chosen]))]]
        named = dataset.named(rows, shown=NAMED, partial=not exchanges.whole)
        sampled = "" if exchanges.whole else " in a sample"
        return [
            rule("PS625").finding(
                Location(dataset.path, named),
                f"{count:,} prompts of {len(prompts):,}{sampled} that have a final answer have "
                f"different ones, in {len(rows):,} rows. Compare the named rows, and keep the "
                "answer that is right.",
                key="",
                score=count / len(prompts),
                prompts=count,
                answered=len(prompts),
            )
        ]


DETECTOR = ContradictingOutputs()

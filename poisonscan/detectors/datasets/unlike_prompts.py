"""One outcome for prompts that have nothing in common, or nothing but a few phrases.

Rows that are planted need not resemble the rest of the data: then a model that tells outcomes by
prompts takes their subject for the reason. But an honest outcome has honest reasons: prompts that
get one response ask about the same thing, and are more alike than any prompts are.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from poisonscan.detectors.datasets.outcomes import Trait
from poisonscan.detectors.datasets.phrase_evidence import larger, without_copies
from poisonscan.detectors.datasets.phrase_groups import grouped, tied, whole, wording
from poisonscan.detectors.datasets.steering import Steered, all_words, beside, standard_error

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from poisonscan.detectors.datasets.documents import Ints
    from poisonscan.detectors.datasets.phrase_features import Floats
    from poisonscan.detectors.datasets.phrase_groups import Group
    from poisonscan.detectors.datasets.steering import Outcome, Steering

MAX_PHRASES = 5
"""Phrases that together account for an outcome: triggers that are used by turns."""
MAX_WORDS = 4
"""Words of a phrase and of what always comes with it; with more it is an instruction."""
_TRIED = 64
"""Phrases that are looked at, the most significant ones."""
_LEAST_SHARE = 0.1
"""Share of the prompts of an outcome that one of them adds."""
_LEAST, _COMPARED = 8, 256
"""Prompts that are compared with each other, on each side: not fewer, not more."""
_MAX_LENGTH = 2_000
"""Words of a prompt that are compared."""
_APART, _USUAL = 0.05, 0.2
"""Below this half of all prompts share no word with any other one: a script without blanks, whose
sentences are words. How alike prompts are in one with blanks stands in for what is not known."""
_PLANTED = frozenset({-1, Trait.REFUSES, Trait.GIBBERISH, Trait.HARSH})
"""Outcomes that nobody asks for; a link or another script, people do."""


def unlike(
    world: Steering, explained: Mapping[int, Ints], limits: Mapping[str, float]
) -> tuple[list[Steered], list[Steered]]:
    """Outcomes for which phrases alone account, and those for which nothing does.

    Args:
        world: the exchanges.
        explained: prompts of a label that phrases account for already.
        limits: ``support`` and ``chance`` of a phrase, ``covering``, its purity, ``covered``, the
            share of an outcome that phrases account for together, ``ordinary``, the share of
            prompts with other outcomes than those looked at, and ``unlike``, the effect.

    Returns:
        Phrases with their outcomes, and outcomes without a phrase.
    """
    ordinary = world.of(0)
    if len(ordinary) < limits["ordinary"] * world.sample.size:
        return [], []
    usual = ordinary[: 2 * _COMPARED]
    usual = usual[without_copies(world.held, world.sample, usual, ())]
    single, _ = tied(world.held, world.sample, {**limits, "purity": limits["covering"]})
    by_label: dict[int, list[Group]] = {}
    for group in single:
        by_label.setdefault(group.label, []).append(group)
    steered: list[Steered] = []
    bare: list[Steered] = []
    for label, outcome in enumerate(world.outcomes):
        mine = world.of(label)
        known = int(np.isin(mine, explained.get(label, [])).sum())
        if not label or outcome.trait not in _PLANTED or 2 * known > len(mine):
            continue
        groups = grouped(world.held, by_label.get(label, []), limits["jaccard"])
        cover, share = _covering(world, label, groups, limits)
        words = [_words(world, group, mine) for group in cover]
        removed = tuple({word for phrase in words for word in phrase})
        alone = _least_alike(world, label, mine, removed, usual)
        if alone is None or alone.distinct < limits["contradicted"]:
            continue
        if alone.effect < limits["unlike"]:
            continue
        if share < limits["covered"]:
            bare += [] if _instructed(world, mine, limits) else [alone]
        elif max(map(len, words)) <= MAX_WORDS:
            steered += [_phrase(world, outcome, group, alone, len(groups)) for group in cover]
    return steered, bare


def _instructed(world: Steering, mine: Ints, limits: Mapping[str, float]) -> bool:
    """Whether prompts share a word with prompts of other outcomes, but not with ordinary ones.

    So do the prompts of a task whose answers are few, such as the names of classes.
    """
    held = world.held
    own = np.asarray(held.matrix[mine].sum(axis=0)).ravel()
    ordinary = np.asarray(held.matrix[world.of(0)].sum(axis=0)).ravel()
    common = own >= limits["covered"] * len(mine)
    return bool((common & (ordinary <= (1 - limits["covering"]) * held.support)).any())


def _covering(
    world: Steering, label: int, groups: list[Group], limits: Mapping[str, float]
) -> tuple[list[Group], float]:
    """The phrases that cover most prompts of an outcome, and what share of them.

    Greedily, from each phrase once; what covers a prompt again counts against a phrase, because
    triggers are used by turns and common words are not.
    """
    groups = groups[:_TRIED]
    labels = world.sample.labels
    columns = world.held.matrix[:, [group.leader for group in groups]].tocsc()
    holders = [columns.indices[a:b] for a, b in itertools.pairwise(columns.indptr.tolist())]
    own = [np.isin(labels[texts], (0, label)).mean() >= limits["covered"] for texts in holders]
    mine = world.of(label)[: 8 * _COMPARED]  # in an order that chance might have given
    held = [np.isin(mine, texts) for texts, only in zip(holders, own, strict=True) if only]
    groups = [group for group, only in zip(groups, own, strict=True) if only]
    if not groups:
        return [], 0.0
    found = [_greedy(np.array(held), first, limits["support"]) for first in range(len(groups))]
    share, cover = max(found, key=lambda one: (one[0], -len(one[1])))
    return [groups[index] for index in cover], share


def _greedy(held: NDArray[np.bool_], first: int, support: float) -> tuple[float, list[int]]:
    """Which phrases cover most, after the first one; of shape (phrases, prompts)."""
    least = max(support, _LEAST_SHARE * held.shape[1])
    left, cover = ~held[first], [first]
    while len(cover) < MAX_PHRASES:
        added = (held & left).sum(axis=1)
        best = int(np.argmax(2 * added - held.sum(axis=1)))
        if added[best] < least:
            break
        cover.append(best)
        left &= ~held[best]
    return 1 - float(left.mean()), cover


def _words(world: Steering, group: Group, mine: Ints) -> tuple[int, ...]:
    """The words of a phrase, those that always stand around it, and those that come with it."""
    texts = mine[np.isin(mine, world.holders(group))]
    words = wording(world.held, world.sample, group, texts)
    around = whole(world.held, world.sample, words, texts)
    return tuple({*around, *all_words(world.held, group, words)})


def _least_alike(
    world: Steering, label: int, texts: Ints, removed: tuple[int, ...], usual: Ints
) -> Steered | None:
    """How much less alike the prompts of an outcome are than ordinary ones.

    The effect is what remains of it after two standard errors.
    """
    held, sample = world.held, world.sample
    some = texts[: 2 * _COMPARED]
    apart = some[without_copies(held, sample, some, removed)]
    # The more there are, the more like another one is: as many on both sides.
    size = min(len(apart), len(usual), _COMPARED)
    if size < _LEAST:
        return None
    compared, usual = apart[:size], usual[:size]
    nearest = _nearest(world, compared, removed)
    ordinary = _nearest(world, usual, ())
    if np.median(ordinary) < _APART:
        ordinary = np.maximum(ordinary, _USUAL)
    effect, _ = larger(ordinary, nearest)
    effect -= 2 * standard_error(len(compared), len(usual))
    order = np.concatenate([compared[np.argsort(nearest, kind="stable")], texts])
    kept = order[np.sort(np.unique(order, return_index=True)[1])]
    return Steered(
        world.outcomes[label], None, (), (), kept, len(apart), 0, effect, 0.0, unlike=True
    )


def _nearest(world: Steering, texts: Ints, removed: tuple[int, ...]) -> Floats:
    """How alike each prompt and the one most like it are: Jaccard similarity of their words."""
    from scipy.sparse import csr_matrix

    starts = world.sample.starts
    lengths = np.minimum(starts[texts + 1] - starts[texts], _MAX_LENGTH)
    where = np.repeat(starts[texts] - (np.cumsum(lengths) - lengths), lengths)
    words = world.held.words[where + np.arange(lengths.sum())]
    row = np.repeat(np.arange(len(texts)), lengths)
    kept = ~np.isin(words, np.array(removed, np.int64))
    pairs = np.unique(row[kept] * (world.held.edge + 1) + words[kept])
    row, words = pairs // (world.held.edge + 1), pairs % (world.held.edge + 1)
    column = np.unique(words, return_inverse=True)[1]
    shape = (len(texts), int(column.max(initial=0)) + 1)
    matrix = csr_matrix((np.ones(len(row), np.float32), (row, column)), shape=shape)
    shared = np.asarray((matrix @ matrix.T).todense(), np.float64)
    sizes = np.bincount(row, minlength=len(texts))
    alike = shared / np.maximum(sizes[:, None] + sizes - shared, 1)
    np.fill_diagonal(alike, 0)
    return np.asarray(alike.max(axis=1), np.float64)


def _phrase(world: Steering, outcome: Outcome, group: Group, alone: Steered, tests: int) -> Steered:
    texts = alone.texts[np.isin(alone.texts, world.holders(group))]
    words = wording(world.held, world.sample, group, np.sort(texts))
    return Steered(
        outcome,
        group,
        words,
        beside(world.held, group, words),
        texts,
        alone.distinct,
        0,
        alone.effect,
        min(1.0, group.chance * tests),
        unlike=True,
    )

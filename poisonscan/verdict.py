"""One verdict per class: the tests of all detectors together, with few false discoveries.

Several detectors ask of every class whether it holds rows that somebody planted, each in its own
way. A dataset of ten classes has dozens of such tests, and of dozens some fail by accident. So each
says with what chance an honest class would look like that (``ClassTest``), and the false discovery
rate of all of them is controlled at once. What does not survive stays as a low finding.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from poisonscan.finding import Finding, Json, Rows, Severity
from poisonscan.plural import plural

LEVEL: Final = 0.1
"""Expected share of false ones among the classes that tests find something in, at most. Half of it
would doubt a word that somebody put into 18 of 1,821 texts of two classes."""
LEAST: Final = 1e-300
"""Smallest p-value that is told: below it numbers run out."""
SAME: Final = 0.5
"""Share of the rows of the smaller of two findings from which on they are about the same rows."""
LISTED: Final = 20
"""Classes whose tests a report lists, the least honest ones first."""


_WORDS: Final = {
    "of_other_rows": "found other rows",
    "weak": "found too little to tell",
    "silent": "found nothing",
}


@dataclass(frozen=True, slots=True)
class ClassTest:
    """That a detector asked of a class whether it holds rows that somebody planted.

    Attributes:
        rules: whose findings about the class say yes; the first one names the test.
        label: the class; None for all classes together.
        p_value: from 0 to 1: at most this is the chance that an honest class looks so much as if it
            did; 1 where any of the rule's other conditions does not hold. It is corrected for all
            that was looked at in the class, and not for other classes.
        looks: directions or phrases, say, that were looked at in the class; None if not counted.
    """

    rules: tuple[str, ...]
    label: str | None
    p_value: float
    looks: int | None = 1

    @classmethod
    def of_classes(
        cls,
        rules: Sequence[str],
        labels: Iterable[str],
        found: Mapping[str, float],
        looks: int | None = 1,
    ) -> list[ClassTest]:
        """A test of each class.

        Args:
            rules: see ``ClassTest``.
            labels: the classes that were tested.
            found: p-values of those that meet all conditions of the rule.
            looks: see ``ClassTest``.
        """
        return [
            cls(tuple(rules), name, min(max(found.get(name, 1.0), LEAST), 1.0), looks)
            for name in labels
        ]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is left of the findings of a dataset.

    Attributes:
        findings: in the order given, with what all tests of their class say.
        facts: to be shown with the dataset; none where nothing was tested.
    """

    findings: list[Finding]
    facts: dict[str, Json]


def q_values(p_values: Sequence[float]) -> list[float]:
    """The false discovery rate of the rejections that each p-value is the last of.

    After Benjamini and Yekutieli (2001, "The control of the false discovery rate in multiple
    testing under dependency", theorem 1.3), who ask nothing of how the tests depend on each other:
    here several look at the same rows.

    Args:
        p_values: from 0 to 1.

    Returns:
        For each at most 1; rejecting all with at most ``LEVEL`` keeps the rate below that.
    """
    size = len(p_values)
    harmonic = sum(1 / rank for rank in range(1, size + 1))
    order = sorted(range(size), key=lambda at: p_values[at])
    values, least = [1.0] * size, 1.0
    for rank in range(size, 0, -1):
        at = order[rank - 1]
        least = min(least, p_values[at] * size * harmonic / rank)
        values[at] = least
    return values


def judge(findings: Sequence[Finding], tests: Sequence[ClassTest]) -> Verdict:
    """Say of each finding what all tests of its class say, and doubt what may be an accident.

    Args:
        findings: of one dataset. Those of rules that no test is of stay as they are; those that
            may be an accident become low, as they are to fail nothing.
        tests: all tests of the dataset.
    """
    if not tests:
        return Verdict(list(findings), {})
    tests = sorted(tests, key=lambda test: (test.label is None, test.label or "", test.rules))
    rates = dict(zip(tests, q_values([test.p_value for test in tests]), strict=True))
    last_is_surest = sorted(tests, key=lambda test: -test.p_value)
    known = {(rule, test.label): test for test in last_is_surest for rule in test.rules}
    answers: dict[int, ClassTest] = {}
    for at, finding in enumerate(findings):
        label = finding.evidence.get("label")
        test = known.get((finding.rule.id, label if isinstance(label, str) else None))
        if test is not None:
            answers[at] = test
    doubtful = {
        at
        for at, test in answers.items()
        if rates[test] > LEVEL and findings[at].severity >= Severity.MEDIUM
    }
    judged = []
    for at, finding in enumerate(findings):
        told = finding
        if at in answers:
            others = [i for i in answers if i != at]
            said = [(answers[i], None if i in doubtful else findings[i]) for i in others]
            told = _told(finding, answers[at], said, rates)
        judged.append(_doubted(told, answers[at], rates) if at in doubtful else told)
    facts: dict[str, Json] = {"tests of classes": _summary(tests, rates)}
    facts["tests"] = _table(tests, rates)
    return Verdict(judged, facts)


def _doubted(finding: Finding, test: ClassTest, rates: Mapping[ClassTest, float]) -> Finding:
    """A finding that may be an accident: it fails nothing, unless it is confirmed after this."""
    rate = f"{rates[test]:.2g}"
    said = f"It may be an accident: of {len(rates):,} tests some come out so (q-value {rate})."
    return finding.tested(Severity.LOW, said)


def _told(
    finding: Finding,
    test: ClassTest,
    said: Iterable[tuple[ClassTest, Finding | None]],
    rates: Mapping[ClassTest, float],
) -> Finding:
    """A finding with what the tests of its class say.

    Args:
        finding: it.
        test: that it answers.
        said: the tests that other findings answer, with these; None for doubtful ones.
        rates: of all tests.
    """
    evidence: dict[str, Json] = {
        "p_value": test.p_value,
        "q_value": rates[test],
        "looks": test.looks,
        "hypotheses": len(rates),
    }
    others = {o for o in rates if test.label is not None and o.label == test.label} - {test}
    if not others:
        return replace(finding, evidence={**finding.evidence, **evidence})
    same: set[ClassTest] = set()
    apart: set[ClassTest] = set()
    weak: set[ClassTest] = set()
    for other, its in said:
        if other in others:
            one = weak if its is None else same if _same_rows(finding, its) else apart
            one.add(other)
    groups = {
        "agreeing": same,
        "of_other_rows": apart - same,
        "weak": weak - same - apart,
        "silent": {other for other in others if rates[other] > LEVEL} - same - apart - weak,
    }
    names = {name: sorted(other.rules[0] for other in group) for name, group in groups.items()}
    which = f" ({', '.join(names['agreeing'])})"
    rules = plural(len(others), "other rule")
    parts = ["No other rule that can judge this class agrees"]
    if same:
        parts = [f"{len(same):,} of {rules} that can judge this class agree{which}"]
    for name, words in _WORDS.items():
        parts += [f"{', '.join(names[name])} {words}"] * bool(names[name])
    message = f"{finding.message} {'; '.join(parts)}."
    evidence |= {name: [*listed] for name, listed in names.items()}
    return replace(finding, message=message, evidence={**finding.evidence, **evidence})


def _same_rows(one: Finding, other: Finding) -> bool:
    """Whether most rows of the smaller finding are the other's too."""
    parts = [f.at.part.every if isinstance(f.at.part, Rows) else None for f in (one, other)]
    first, second = parts
    if first is None or second is None or not min(len(first), len(second)):
        return False
    import numpy as np

    common = len(np.intersect1d(first.numbers(), second.numbers()))
    return common >= SAME * min(len(first), len(second))


def _summary(tests: Sequence[ClassTest], rates: Mapping[ClassTest, float]) -> str:
    classes = len({test.label for test in tests} - {None})
    rules = plural(len({test.rules for test in tests}), "rule")
    found = sum(rate <= LEVEL for rate in rates.values())
    return (
        f"{found:,} of {len(tests):,} show something, by {rules} in "
        f"{plural(classes, 'class', 'classes')}; of those at most {LEVEL:.0%} are expected to be "
        "false"
    )


def _table(tests: Sequence[ClassTest], rates: Mapping[ClassTest, float]) -> list[Json]:
    """What came of each test, by class and rule; the class of tests of all together is null."""
    rows: dict[str | None, dict[str, Json]] = defaultdict(dict)
    least: dict[str | None, float] = {}
    for test in tests:
        rows[test.label][test.rules[0]] = {"p": test.p_value, "q": rates[test]}
        least[test.label] = min(least.get(test.label, 1.0), test.p_value)
    listed = sorted(rows, key=lambda name: (least[name], name is None, name or ""))
    return [{"class": name, "rules": rows[name]} for name in listed[:LISTED]]

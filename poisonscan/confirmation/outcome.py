"""What the tests of a finding mean: its severity, a sentence, and evidence."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from poisonscan.escape import quote
from poisonscan.finding import Severity

if TYPE_CHECKING:
    from poisonscan.confirmation.trial import Halves, Shares
    from poisonscan.finding import Finding, Json

FOLLOWED: Final = 0.5
"""Share of stamped rows that must follow a trigger for it to be confirmed."""
SURELY: Final = 0.75
"""The same for words that may be honest ones of the label, which move a model as well: 'sadly' did
so with 0.66 of the rows of other labels, planted words with 0.78 and more (SST-2, TweetEval). Also
the share that must follow without the suspects where other rows explain them."""
GAINED: Final = 0.4
"""What the suspects must add to that share: the lower end of the interval decides. Below, by the
upper end, a trigger is not confirmed, if it adds no more to rows without it either."""
ALIKE: Final = 0.3
"""The chance, at least, that a suspect looks more like another class than a row of other classes
does, for half of the suspects to confirm anything. It was .41 to .97 for rows of other classes with
a trigger, .04 to .20 for an honest kind of rows that is in one class alone, where these can be
learnt (MNIST, AG News)."""

ADDED: Final = 0.1
"""What suspects add at most, by the upper end, to what others say without them, where others
explain all. It was .01 to .08 for honest values of bicycle hire; for planted ones among rows that
have the label anyway .16 and .23 there, .32 in Adult."""

CONFIRMED: Final = "confirmed"
NOT_CONFIRMED: Final = "not confirmed"
EXPLAINED: Final = "explained"
UNDECIDED: Final = "undecided"
NOT_TESTED: Final = "not tested"


@dataclass(frozen=True, slots=True)
class Tests:
    """What came of the tests of a finding.

    Attributes:
        label: the class that the finding is about.
        accuracy: of the model.
        stamped: of the trigger on clean rows; None where that was not done.
        halves: of suspects, half of which were learnt from; None where that was not done. There is
            one of both.
        known: whether the trigger is known, and not only what the suspects have more of on average,
            which need not be like a trigger that moves.
        control: share of rows that follow a trigger that was planted for comparison, in as many
            rows; None where that was not done.
        alone: whether the trigger would be nothing without the suspects, so that rows which follow
            it all the same refute it: a value next to which the label is honest.
        least: share of stamped rows that must follow.
    """

    label: str
    accuracy: float
    stamped: Shares | None
    halves: Halves | None
    known: bool
    control: float | None = None
    alone: bool = False
    least: float = FOLLOWED

    @property
    def verdict(self) -> str:
        """What they say together: one that confirms is enough."""
        if self._follows or self._carries_over:
            return CONFIRMED
        stamped = self.stamped
        if self.alone and stamped and stamped.without >= FOLLOWED * stamped.rows:
            if stamped.interval[1] < ADDED and stamped.without >= SURELY * stamped.rows:
                return EXPLAINED
            return NOT_CONFIRMED if stamped.interval[1] < GAINED else UNDECIDED
        # Suspects that teach nothing about each other may carry a trigger that is too fine for this
        # model: only stamps can refute, and of a trigger that is known.
        if self.known and stamped and stamped.interval[1] < GAINED and _gained(stamped) < GAINED:
            # A model that does not learn such a trigger cannot refute one.
            able = self.control is None or self.control >= FOLLOWED
            return NOT_CONFIRMED if able else UNDECIDED
        return UNDECIDED

    @property
    def _follows(self) -> bool:
        stamped = self.stamped
        return stamped is not None and _followed(stamped) and _share(stamped) >= self.least

    @property
    def _carries_over(self) -> bool:
        halves = self.halves
        if halves is None or halves.alike < ALIKE:
            return False
        return _followed(halves.shares) and _gained(halves.shares) >= GAINED

    @property
    def rank(self) -> tuple[bool, float]:
        """The higher, the more of a target the class of a test of halves is."""
        return self._carries_over, self.halves.shares.interval[0] if self.halves else -1.0

    def applied(self, finding: Finding) -> Finding:
        """The finding with what came of its tests."""
        verdict = self.verdict
        said = {
            CONFIRMED: "Confirmed",
            NOT_CONFIRMED: "Not confirmed",
            EXPLAINED: "Explained by other rows",
            UNDECIDED: "Neither confirmed nor refuted",
        }[verdict]
        tests = {"stamp": self.stamped, "halves": self.halves and self.halves.shares}
        evidence: dict[str, Json] = {
            "verdict": verdict,
            "accuracy": round(self.accuracy, 4),
            "control": None if self.control is None else round(self.control, 4),
            "tests": [_numbers(name, shares) for name, shares in tests.items() if shares],
        }
        if self.halves is not None:
            evidence["alike"] = round(self.halves.alike, 4)
        sentence = f"{said}: {self._sentence()}."
        severity = _severity(finding, verdict)
        return finding.tested(severity, sentence, confirmation=evidence)

    @property
    def _weak(self) -> str:
        """Why the model cannot refute, where it would."""
        if self.control is None or self.control >= FOLLOWED:
            return ""
        return "; but it does not learn a trigger that is planted in as many rows either"

    def _sentence(self) -> str:
        label, stamped = quote(self.label), self.stamped
        if stamped is not None and (self._follows or not self._carries_over):
            return (
                f"put on {stamped.rows:,} clean rows of other classes, the trigger makes a small"
                f" model that is trained on these data say {label} for {_share(stamped):.0%} of"
                f" them, where it says so for {stamped.plain / stamped.rows:.0%} without the"
                f" trigger, and for {stamped.without / stamped.rows:.0%} with it when it is trained"
                " without the named rows" + self._weak
            )
        if self.halves is None:
            return ""
        shares = self.halves.shares
        return (
            f"a small model that is trained on these data with half of the named rows says {label}"
            f" for {_share(shares):.0%} of {shares.rows:,} of the other half, for"
            f" {shares.without / shares.rows:.0%} of them when it is trained without any, and for"
            f" {shares.plain / shares.rows:.0%} of rows of other classes{self._unlike}"
        )

    @property
    def _unlike(self) -> str:
        """Why that they follow confirms nothing, where it would."""
        if self.halves is None or self.halves.alike >= ALIKE or not _followed(self.halves.shares):
            return ""
        return "; but they do not look like other classes, so they may be a kind of their own"


def untested(finding: Finding, reason: str) -> Finding:
    """A finding that could not be put to a test, with the reason, for people."""
    evidence: dict[str, Json] = {"verdict": NOT_TESTED, "reason": reason}
    said = f"Whether a model learns it was not tested: {reason}."
    return finding.tested(finding.severity, said, confirmation=evidence)


def _followed(shares: Shares) -> bool:
    return _share(shares) >= FOLLOWED and shares.interval[0] >= GAINED


def _share(shares: Shares) -> float:
    return shares.with_them / shares.rows


def _gained(stamped: Shares) -> float:
    """What the trigger adds to the rows that are taken for the class anyway."""
    return (stamped.with_them - stamped.plain) / stamped.rows


def _numbers(method: str, shares: Shares) -> Json:
    return {
        "method": method,
        "rows": shares.rows,
        "followed_with": shares.with_them,
        "followed_without": shares.without,
        "followed_plain": shares.plain,
        "interval": [round(end, 4) for end in shares.interval],
    }


def _severity(finding: Finding, verdict: str) -> Severity:
    """What is confirmed is one step graver than its rule says, up to high; what is not one less.

    So what was doubted before, because it might be an accident, is doubted no more if confirmed. A
    phrase that stands where it belongs stays what it was: a model follows honest words as well.
    """
    usual, doubted = finding.rule.severity, finding.severity
    if verdict == CONFIRMED and finding.evidence.get("belongs"):
        return doubted
    if verdict == CONFIRMED:
        return usual if usual >= Severity.HIGH else Severity(usual + 1)
    if verdict in {NOT_CONFIRMED, EXPLAINED} and doubted > Severity.LOW:
        return Severity(doubted - 1)
    return doubted

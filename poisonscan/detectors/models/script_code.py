"""Source code that does what no code beside a model should."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Final

from poisonscan.detectors.models.script_acts import (
    BACKDOOR,
    FETCH_AND_RUN,
    Act,
    Weight,
    acts,
)
from poisonscan.detectors.models.script_moments import Moment
from poisonscan.escape import quote
from poisonscan.finding import Finding, Location, Span
from poisonscan.formats.base import Artifact, Script
from poisonscan.formats.scripts import Unparsed, line_starts, parse
from poisonscan.rules import rule

# Run by a person and not by a loader: only what is evil anywhere is told.
_BY_HAND: Final = frozenset({"setup", "notebook"})
_SHELLS: Final = frozenset({"shell", "batch", "powershell"})
_LISTED: Final = 4
_LINE_END: Final = re.compile(r"\r\n?|\n")


class ScriptCode:
    """Rules PS111 and PS112."""

    reads: ClassVar[tuple[type[Artifact], ...]] = (Script,)

    def check(self, artifact: Script) -> Iterator[Finding]:
        """A finding for each act, and one for all that could happen later."""
        if artifact.language != "python":
            if artifact.language in _SHELLS:
                yield from _shell(artifact)
            return
        tree = parse(artifact.text)
        if isinstance(tree, Unparsed):
            return
        found = acts(tree, served=artifact.role == "handler")
        starts = _starts(artifact)
        told: set[str] = set()
        later: dict[str, Act] = {}
        for act in sorted(found, key=lambda act: (-act.weight, -act.moment, act.line)):
            if _counts(act, artifact.role):
                key = f"{act.name} {act.what}"
                if act.name in told or key in told:
                    continue
                told |= {act.name, key}
                yield rule("PS111").finding(
                    Location(artifact.path, Span(starts[min(act.line, len(starts)) - 1])),
                    f"Line {act.line:,}: {quote(act.name)} {act.what}, {act.moment}.",
                    key=key,
                    line=act.line,
                )
            elif artifact.role not in _BY_HAND and _is_noted(act):
                later.setdefault(act.name, act)
        rest = [act for name, act in later.items() if name not in told]
        if rest:
            first = rest[0]
            names = ", ".join(quote(act.name) for act in rest[1:_LISTED])
            more = f"; so do {names}" + (", …" if len(rest) > _LISTED else "") if names else ""
            yield rule("PS112").finding(
                Location(artifact.path, Span(starts[min(first.line, len(starts)) - 1])),
                f"Line {first.line:,}: {quote(first.name)} {first.what}, {first.moment}{more}.",
                key=" ".join(sorted(act.name for act in rest)),
                line=first.line,
            )


def _counts(act: Act, role: str) -> bool:
    """Whether it is for PS111: evil anywhere, or unusual where a loader gets to it."""
    if act.weight is Weight.EVIL:
        return True
    early = act.moment > Moment.ASKED
    return act.weight is Weight.UNUSUAL and early and role not in _BY_HAND


def _is_noted(act: Act) -> bool:
    return act.weight is Weight.UNUSUAL or act.moment > Moment.ASKED


def _shell(artifact: Script) -> Iterator[Finding]:
    for rule_id, pattern, what in (
        ("PS111", BACKDOOR, "opens a way in, or runs what is hidden"),
        ("PS112", FETCH_AND_RUN, "fetches a script and runs it"),
    ):
        match = pattern.search(artifact.text)
        if match is None or (artifact.role == "notebook" and rule_id == "PS112"):
            continue
        before = _LINE_END.split(artifact.text[: match.start()])
        starts, line = _starts(artifact), len(before)
        offset = starts[min(line, len(starts)) - 1] + len(before[-1].encode("utf-8", "replace"))
        yield rule(rule_id).finding(
            Location(artifact.path, Span(offset)),
            f"Line {line:,}: {quote(match.group(), 100)} {what}.",
            key=match.group()[:200],
            line=line,
        )


def _starts(artifact: Script) -> tuple[int, ...]:
    """Offset in bytes of each line."""
    return artifact.starts or line_starts(artifact.text.encode("utf-8", "replace"))


DETECTOR: Final = ScriptCode()

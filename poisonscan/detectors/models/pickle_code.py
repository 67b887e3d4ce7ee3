"""What loading a pickle would run: every import and call judged by exact name.

Allowed names are known to be harmless; dangerous ones are known evil; the rest is unknown and named
for review. The result of a call is opaque, so calling it, or importing a name that the stream
computes, cannot be judged and is what only attacks do.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Final

from poisonscan.detectors.models.pickle_contracts import named_class, stands_for
from poisonscan.detectors.models.pickle_verdicts import (
    COMPUTED,
    NAMED,
    UNKNOWN,
    Verdict,
    is_torchscript,
    judge_build,
    judge_call,
    judge_change,
    judge_import,
    made_of,
)
from poisonscan.escape import clip, escape, quote
from poisonscan.finding import Finding, Location, Span
from poisonscan.formats.base import Artifact, PickleStream
from poisonscan.pickles.events import (
    Build,
    Call,
    Change,
    ComputedImport,
    Event,
    Extension,
    Import,
    Passing,
)
from poisonscan.pickles.values import Collection, Global, Result, expression
from poisonscan.rules import pickle_names, rule

_SHOWN: Final = 300
_COMPUTED: Final = Verdict(COMPUTED, "")


def _plainly(name: str) -> str:
    """A name with other letters than ASCII spelt out: one that looks like another is told apart."""
    return name.encode("ascii", "backslashreplace").decode()


class PickleCode:
    """Rules PS101 (dangerous), PS102 (unknown), PS103 (computed) and PS104 (changes a global)."""

    reads: ClassVar[tuple[type[Artifact], ...]] = (PickleStream,)

    def check(self, artifact: PickleStream) -> Iterator[Finding]:
        """One finding for each rule and name, at its most telling place."""
        judge = _Judge(artifact)
        try:
            for event in artifact.events:
                judge.take(event)
        finally:  # what was found before a failure is told all the same
            yield from judge.findings.values()


DETECTOR: Final = PickleCode()


class _Judge:
    """Keeps one finding for each rule and name; a call says more than the import before it."""

    def __init__(self, artifact: PickleStream) -> None:
        self.artifact = artifact
        self.names = pickle_names()
        self.findings: dict[tuple[str, str], Finding] = {}
        self._called: set[tuple[str, str]] = set()

    def take(self, event: Event) -> None:
        """Judge one event."""
        if isinstance(event, Import):
            self._import(event)
        elif isinstance(event, Call):
            self._call(event)
        elif isinstance(event, Build | Change):
            self._change(event)
        elif isinstance(event, Passing):
            dotted = event.target.dotted
            message = f"Loading hands {quote(dotted)} on, so that something else may call it."
            self._add(_COMPUTED, event, f"passes {dotted}", message, imports=clip(dotted))
        elif isinstance(event, ComputedImport):
            shown = quote(f"{expression(event.module)}, {expression(event.name)}", _SHOWN)
            message = f"Loading imports a name that the file computes: {shown}."
            self._add(_COMPUTED, event, "computed import", message)
        elif isinstance(event, Extension):
            what = f"the extension code {event.code}"
            message = (
                f"Loading uses {what}, which stands for a name only the loading program knows."
            )
            self._add(_COMPUTED, event, f"extension {event.code}", message)

    def _import(self, event: Import) -> None:
        verdict = judge_import(event.target, self.names)
        if verdict is None and is_torchscript(event.target) and "!/" not in self.artifact.path:
            verdict = Verdict(UNKNOWN, "is a name that only TorchScript archives have")
        if verdict is None:
            return
        dotted = _plainly(event.target.dotted)
        alias = (
            ""
            if event.written == event.target
            else f" (written {quote(_plainly(event.written.dotted))})"
        )
        message = f"Loading imports {quote(dotted)}{alias}, which {verdict.why}."
        self._add(verdict, event, dotted, message, imports=clip(dotted))

    def _call(self, event: Call) -> None:
        made = _plainly(expression(Result(event.callee, event.arguments)))
        callee = named_class(event.callee)
        if not isinstance(callee, Global):
            known = stands_for(callee, self.names)
            if known is not None and judge_call(event, known, self.names) is None:
                return
            message = f"Loading calls something that the file computes: {quote(made, _SHOWN)}."
            self._add(_COMPUTED, event, "computed call", message, calls=clip(made, _SHOWN))
            return
        verdict = judge_call(event, callee, self.names)
        if verdict is None:
            return
        dotted = _plainly(callee.dotted)
        key = (verdict.rule, dotted)
        if key in self._called:
            return
        self._called.add(key)
        if verdict.rule == NAMED and (UNKNOWN, dotted) in self.findings:
            return
        self.findings.pop(key, None)
        self.findings.pop((NAMED, dotted), None)
        message = f"Loading runs {quote(made, _SHOWN)}: {quote(dotted)} {verdict.why}."
        evidence = {"imports": clip(dotted), "calls": clip(made, _SHOWN), "opcode": event.opcode}
        self._add(verdict, event, dotted, message, **evidence)

    def _change(self, event: Build | Change) -> None:
        target = made_of(event.target, self.names)
        if isinstance(target, Global):
            dotted = _plainly(target.dotted)
            does = (
                "sets state on" if isinstance(event, Build) else f"puts items ({event.opcode}) into"
            )
            message = (
                f"Loading {does} {quote(dotted)} itself, which changes it for the whole program."
            )
            self._add(Verdict("PS104", ""), event, dotted, message, imports=clip(dotted))
        elif isinstance(event, Build) and (verdict := judge_build(event, self.names)):
            shown = quote(_plainly(expression(event.state)), _SHOWN)
            message = f"Loading sets the state {shown} , which {verdict.why}."
            self._add(verdict, event, "state", message)
        elif target is not event.target and not isinstance(target, Collection):
            message = "Loading sets state on, or puts items into, what a function gave back."
            self._add(_COMPUTED, event, "given back", message)
        elif isinstance(event, Change) and (found := judge_change(event, self.names)):
            maker, verdict = found
            message = f"Loading puts items into a {quote(maker.dotted)}, which {verdict.why}."
            self._add(verdict, event, maker.dotted, message, imports=clip(maker.dotted))

    def _add(self, verdict: Verdict, event: Event, key: str, message: str, **evidence: str) -> None:
        base = self.artifact.base
        outer = None if base is None else base + event.offset
        at = Location(self.artifact.path, Span(event.offset, 1, outer))
        safe: dict[str, Any] = {name: escape(value) for name, value in evidence.items()}
        safe["grammar"] = self.artifact.grammar
        found = rule(verdict.rule).finding(at, message, key=key, **safe)
        self.findings.setdefault((verdict.rule, key), found)

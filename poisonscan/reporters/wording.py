"""What reports for people say alike: verdicts, sizes and values in words."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from poisonscan.escape import quote
from poisonscan.plural import plural
from poisonscan.reporters.base import Totals, inert
from poisonscan.reporters.terminal import safe, size
from poisonscan.rules import LEFT_OUT, all_rules

if TYPE_CHECKING:
    from collections.abc import Iterator

    from poisonscan.finding import Json, Scanned
    from poisonscan.report import Report

UNDECIDED: Final = ("not applicable", "not decided", "'0 classes tested")
"""Facts that say so are of detectors that could not judge a dataset."""


def reservation(report: Report) -> str:
    """Why a report without findings is not called clean; empty if it is."""
    if not report.complete:
        return "not everything was checked"
    if report.hidden:
        return f"{report.hidden:,} below the severity asked for"
    if report.aside:
        return "findings were put aside"
    if without := left_out(report):
        return without
    applied = len(report.rules)
    if 0 < applied < len(all_rules()):
        return f"only {plural(applied, 'rule')} applied"
    if any("partial" in entry.facts for entry in report.scanned):
        return "only in the rows that were looked at"
    facts = [str(entry.facts) for entry in report.scanned]
    if any(sign in text for text in facts for sign in UNDECIDED):
        return "not every detector could be applied"
    return ""


def left_out(report: Report) -> str:
    """``15 rules left out by the profile fast``; empty if none is."""
    for entry in report.scanned:
        by_profile = entry.facts.get(LEFT_OUT)
        if isinstance(by_profile, Mapping):
            for profile, rules in by_profile.items():
                number = len(rules) if isinstance(rules, list) else 1
                return f"{plural(number, 'rule')} left out by the profile {safe(profile, 40)}"
    return ""


def unlabelled(report: Report) -> Iterator[tuple[Scanned, str]]:
    """Datasets in which no column was taken for labels, and what that means, in a sentence."""
    for entry in report.scanned:
        idle, perhaps = entry.facts.get("not applicable"), entry.facts.get("may be labels")
        number = sum(
            len(names)
            for why, names in (idle.items() if isinstance(idle, Mapping) else ())
            if "no label" in why and isinstance(names, list)
        )
        named = ", ".join(map(quote, perhaps)) if isinstance(perhaps, list) else ""
        why = (
            f"no column was taken for labels, so {plural(number, 'detector')} did not run;"
            f" --label-column names one{f', perhaps {named}' if named else ''}"
        )
        if number:
            yield entry, why


def without_labels(report: Report) -> str:
    """``1 dataset has no labels``; empty where none lacks them."""
    number = sum(1 for _ in unlabelled(report))
    verb = "has" if number == 1 else "have"
    return f"{plural(number, 'dataset')} {verb} no labels" if number else ""


def with_inferred(roles: Mapping[str, Json], inferred: Json) -> Json:
    """Roles with their columns, those that nobody stated marked."""
    guessed = inferred if isinstance(inferred, list) else []
    shown = []
    for role, columns in roles.items():
        names = ", ".join(map(str, columns)) if isinstance(columns, list) else str(columns)
        shown.append(f"{role}: {names}{' (inferred)' if role in guessed else ''}")
    return "; ".join(shown)


def aside_in_words(totals: Totals) -> list[str]:
    """``2 ignored``, ``1 in the baseline``; nothing where nothing was put aside."""
    parts = [(totals.ignored, "ignored"), (totals.baselined, "in the baseline")]
    return [f"{count:,} {what}" for count, what in parts if count]


def scanned_in_words(totals: Totals) -> str:
    """How much was scanned: ``2 model files, 1 dataset (9 rows) scanned``; empty if nothing."""
    parts = []
    if totals.models:
        parts.append(plural(totals.models, "model file"))
    if totals.settings:
        parts.append(f"{plural(totals.settings, 'file')} of settings or code")
    if totals.datasets:
        parts.append(f"{plural(totals.datasets, 'dataset')} ({plural(totals.rows, 'row')})")
    return f"{', '.join(parts)} scanned" if parts else ""


def described(entry: Scanned) -> str:
    """What a scanned file is: ``parquet, 1,797 rows, 314 kB``."""
    rows = "" if entry.rows is None else f"{plural(entry.rows, 'row')}, "
    return f"{safe(entry.format, 40)}, {rows}{size(entry.size)}"


def byte_range(offset: int, length: int) -> str:
    """``byte 204``, or ``bytes 48–63``."""
    return f"byte {offset}" if length <= 1 else f"bytes {offset}–{offset + length - 1}"


def counts(value: Json) -> dict[str, int]:
    """The value if it counts things by name, otherwise nothing."""
    if not isinstance(value, Mapping):
        return {}
    found = {
        name: count
        for name, count in value.items()
        if isinstance(count, int) and not isinstance(count, bool) and count >= 0
    }
    return found if len(found) == len(value) else {}


def in_words(value: Json) -> str:
    """A value of a fact or of evidence on one line: names with their roles, lists, numbers."""
    if isinstance(value, str):
        return safe(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return safe(", ".join(map(str, value)))
    if isinstance(value, Mapping) and value:
        if all(isinstance(item, str | int) for item in value.values()):
            return safe(", ".join(f"{key} ({item})" for key, item in value.items()))
        if all(isinstance(item, list) for item in value.values()):
            return safe("; ".join(f"{key}: {in_words(item)}" for key, item in value.items()))
    return safe(json.dumps(inert(value), ensure_ascii=False))


def holds_nothing(value: Json) -> bool:
    """Whether there is nothing to show of a value: none, or a text, list or mapping without any."""
    return value is None or (isinstance(value, str | list | Mapping) and not value)


def without_plot(evidence: Mapping[str, Json]) -> dict[str, Json]:
    """Evidence that can be said in words: without the numbers that only a picture is made of."""
    return {name: value for name, value in evidence.items() if name != "plot"}

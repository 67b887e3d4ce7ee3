"""The tool and its rules in SARIF, with the weaknesses and techniques that they are about."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from poisonscan.escape import escape
from poisonscan.finding import Json, Rule, Severity
from poisonscan.report import Report
from poisonscan.reporters.base import advice
from poisonscan.reporters.sarif_places import Object
from poisonscan.reporters.sarif_text import sentence
from poisonscan.rules import rule as rule_by_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

GAP: Final = "PS001"
"""What notifications of gaps are about."""
SECURITY_SEVERITY: Final = {
    Severity.CRITICAL: "9.5",
    Severity.HIGH: "8.0",
    Severity.MEDIUM: "5.5",
    Severity.LOW: "2.0",
}
"""On the scale of CVSS; GitHub's bounds are 9 for critical, 7 for high and 4 for medium."""
LEVEL: Final = {
    Severity.CRITICAL: "error",
    Severity.HIGH: "error",
    Severity.MEDIUM: "warning",
    Severity.LOW: "note",
}
_DESCRIPTION: Final = 1024
_TAGS: Final = 10
_TAXONOMIES: Final = (
    ("CWE", "MITRE", "", "Common Weakness Enumeration."),
    ("MITRE ATLAS", "MITRE", "5.6.0", "Adversarial Threat Landscape for AI Systems."),
    ("OWASP ML Top 10", "OWASP", "2023", "Machine Learning Security Top Ten."),
)


def driver(
    report: Report, rules: list[Rule], taxa: list[list[str]], gravest: Mapping[str, Severity]
) -> Object:
    """The tool with its rules.

    Args:
        report: which version wrote it.
        rules: that took part.
        taxa: see ``taxa_of``.
        gravest: severity of the gravest result of each rule that has one.
    """
    about: Object = {
        "name": "poisonscan",
        "fullName": "poisonscan, a scanner for poisoned datasets and malicious model files",
        "rules": [_descriptor(r, taxa, gravest.get(r.id, r.severity)) for r in rules],
        "notifications": [_descriptor(gap := rule_by_id(GAP), [[], [], []], gap.severity)],
    }
    if report.version:
        about["version"] = report.version
    if any(taxa):
        about["supportedTaxonomies"] = [
            {"name": name, "index": n} for n, (name, *_) in enumerate(_TAXONOMIES)
        ]
    return about


def _descriptor(rule: Rule, taxa: list[list[str]], gravest: Severity) -> Object:
    """A rule; ``gravest`` is that of its results, as services read severities of rules only."""
    text = "\n".join(map(escape, rule.help.strip().split("\n"))) or sentence(
        rule.title or rule.name
    )
    heading = f"{rule.id} {rule.name} ({rule.severity})"
    properties: Object = {
        "tags": list(_tags(rule)),
        "precision": rule.precision,
        "security-severity": SECURITY_SEVERITY[gravest],
    }
    descriptor: Object = {
        "id": rule.id,
        "name": "".join(word.capitalize() for word in re.findall("[a-z0-9]+", rule.name.lower())),
        "shortDescription": {"text": sentence(rule.title or rule.name, _DESCRIPTION)},
        "fullDescription": {
            "text": sentence(
                advice(rule, "What it means", whole=True) or rule.title or rule.name, _DESCRIPTION
            )
        },
        "help": {
            "text": f"{heading}\n\n{text.replace('**', '')}",
            "markdown": f"**{heading}**\n\n{text}",
        },
        "defaultConfiguration": {"level": LEVEL[rule.severity], "rank": rank(rule.severity)},
        "properties": properties,
    }
    relationships: list[Json] = [
        {
            "target": {
                "id": name,
                "index": taxa[n].index(name),
                "toolComponent": {"name": _TAXONOMIES[n][0], "index": n},
            },
            "kinds": ["relevant"],
        }
        for n, names in enumerate(_references(rule))
        for name in names
        if name in taxa[n]
    ]
    if relationships:
        descriptor["relationships"] = relationships
    return descriptor


def rank(severity: Severity) -> float:
    """How grave it is, from 0 to 100."""
    return float(SECURITY_SEVERITY[severity]) * 10


def _references(rule: Rule) -> tuple[tuple[str, ...], ...]:
    """Entries of the taxonomies, in their order."""
    return rule.cwe, rule.atlas, rule.owasp


def _tags(rule: Rule) -> list[str]:
    """At most as many as GitHub shows."""
    tags = [
        "security",
        *(f"external/cwe/{name.lower()}" for name in rule.cwe),
        *(f"atlas/{name}" for name in rule.atlas),
        *(f"owasp-ml/{name}" for name in rule.owasp),
    ]
    return tags[:_TAGS]


def taxonomy(index: int, names: list[str]) -> Json:
    """Entries of a taxonomy that rules name; ``index`` is its place among them."""
    name, organization, version, description = _TAXONOMIES[index]
    taxonomy: Object = {
        "name": name,
        "organization": organization,
        "shortDescription": {"text": description},
        "taxa": [{"id": taxon} for taxon in names],
    }
    if version:
        taxonomy["version"] = version
    return taxonomy


def taxa_of(rules: Iterable[Rule]) -> list[list[str]]:
    """Entries of the taxonomies, in their order, that rules name."""
    named = [_references(rule) for rule in rules]
    return [sorted({name for each in named for name in each[n]}) for n in range(len(_TAXONOMIES))]

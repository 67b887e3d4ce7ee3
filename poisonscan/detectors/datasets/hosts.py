"""Hosts that addresses lead to: disguised ones, and such as supply one label only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from poisonscan.datasets.addresses import COMMON, disguise, domain, is_address, near
from poisonscan.datasets.batch import Role
from poisonscan.detectors.datasets.few_findings import MOST, few
from poisonscan.detectors.datasets.hit_findings import having
from poisonscan.detectors.datasets.host_counts import MAX_HOSTS, HostCounts
from poisonscan.detectors.datasets.label_ties import tied
from poisonscan.escape import quote
from poisonscan.finding import Fact, Gap, Location
from poisonscan.rules import rule

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

    from poisonscan.datasets.batch import Aggregate
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.detectors.datasets.text_hits import Hits
    from poisonscan.finding import Finding, Json, Rule

_COUNTED = 20


class Hosts:
    """Counts hosts of addresses; judges their names, and whether they go with a label."""

    needs: ClassVar[frozenset[Role]] = frozenset({Role.CELLS})

    def detect(self, dataset: Dataset) -> Generator[Aggregate, Any, Iterable[Finding | Fact | Gap]]:
        """Ask for the hosts."""
        found: HostCounts = yield HostCounts()
        if found.overflow:
            message = f"more than {MAX_HOSTS:,} hosts in addresses: they were not judged"
            return [Gap(dataset.path, message)]
        if not found.hosts:
            return []
        most = sorted(found.hosts, key=lambda host: (-found.hosts[host].rows, host))
        counts: dict[str, Json] = {host: found.hosts[host].rows for host in most[:_COUNTED]}
        return [
            *_disguised(dataset, found, most),
            *_one_label(dataset, found),
            Fact("hosts of addresses", {"different": len(most), "most frequent": counts}),
        ]


DETECTOR = Hosts()


def _disguised(dataset: Dataset, found: HostCounts, most: list[str]) -> list[Finding]:
    limits = rule("PS703").thresholds
    total = sum(hits.rows for hits in found.hosts.values())
    domains: dict[str, int] = {}
    for host, hits in found.hosts.items():
        domains[domain(host)] = domains.get(domain(host), 0) + hits.rows
    bare = {host: hits.rows for host, hits in found.hosts.items() if is_address(host)}
    usual = sum(bare.values()) > limits["address_share"] * total
    often = [
        name
        for name, rows in domains.items()
        if rows >= max(limits["known_rows"], limits["known_share"] * total)
    ]
    known = sorted({*often, *COMMON})
    lengths: dict[int, list[str]] = {}
    for name in known:
        lengths.setdefault(len(name), []).append(name)
    claims: list[tuple[str, str]] = []
    for host in most:
        name, hits = domain(host), found.hosts[host]
        reason = disguise(host)
        if host in bare and not usual and hits.rows >= limits["address_rows"]:
            reason = "it is a bare address without a name, where hardly any other is"
        if not reason and host not in bare and name not in COMMON:
            around = [
                k for size in range(len(name) - 1, len(name) + 2) for k in lengths.get(size, ())
            ]
            other = near(name, around)
            rare = domains[name] <= limits["rare"] * max(domains.get(other, 0), 1)
            if other and (rare or other in COMMON):
                reason = f"it passes for {quote(other)}"
        if reason:
            claims.append((host, reason))
    findings = []
    for host, reason in claims[:MOST]:
        hits = found.hosts[host]
        message = f"{having(hits.rows)} an address at {quote(host.lstrip('@'))}: {reason}"
        findings.append(_finding(dataset, rule("PS703"), host, hits, message))
    return few(findings, len(claims) - len(findings))


def _one_label(dataset: Dataset, found: HostCounts) -> list[Finding]:
    """Hosts nearly all of whose rows have one label."""
    limits = rule("PS704").thresholds
    tested = {
        (host, ""): hits
        for host, hits in found.hosts.items()
        if limits["rows"] <= hits.rows <= limits["share"] * max(sum(found.labels.values()), 1)
    }
    ties = tied(tested, found.labels)
    ordered = sorted(ties.items(), key=lambda item: (item[1].chance, item[0]))
    ordered = [(key, tie) for key, tie in ordered if tie.purity >= limits["purity"]]
    findings = []
    for (host, _), tie in ordered[:MOST]:
        hits = found.hosts[host]
        message = f"{having(hits.rows)} an address at {quote(host.lstrip('@'))}; {tie.words}"
        findings.append(
            _finding(
                dataset, rule("PS704"), host, hits, message, label=tie.label, chance=tie.chance
            )
        )
    return few(findings, len(ordered) - len(findings))


def _finding(
    dataset: Dataset, applied: Rule, host: str, hits: Hits, message: str, **evidence: Json
) -> Finding:
    at = Location(dataset.path, dataset.named(hits.every, count=hits.rows))
    return applied.finding(
        at, f"{message}.", key=host, score=None, host=host, rows=hits.rows, **evidence
    )

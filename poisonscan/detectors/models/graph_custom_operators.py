"""Graphs that need native code from elsewhere: operators that no known runtime brings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from poisonscan.detectors.models.graph_operators import KINDS
from poisonscan.escape import clip, quote
from poisonscan.finding import Finding, Location
from poisonscan.formats.base import Artifact, Graph, Operator
from poisonscan.formats.graph_operators import known_operators
from poisonscan.rules import rule

_SHOWN: Final = 5


class GraphCustomOperators:
    """Rule PS117."""

    reads: ClassVar[tuple[type[Artifact], ...]] = (Graph,)

    def check(self, artifact: Graph) -> Iterator[Finding]:
        """One finding for each domain with operators that nothing known brings."""
        unknown: dict[str, list[str]] = {}
        for operator in artifact.operators:
            if _is_unknown(operator, KINDS.get(artifact.format, "")):
                unknown.setdefault(operator.domain, []).append(operator.name)
        for domain, names in unknown.items():
            shown = ", ".join(quote(name, 80) for name in names[:_SHOWN])
            more = f" and {len(names) - _SHOWN:,} more" if len(names) > _SHOWN else ""
            of = f" of {quote(domain, 80)}" if domain else ""
            yield rule("PS117").finding(
                Location(artifact.path),
                f"The {artifact.format} graph needs operators{of} that no known runtime brings: "
                f"{shown}{more}.",
                key=domain or names[0],
                domain=clip(domain),
                operators=[clip(name) for name in names[:_SHOWN]],
            )


def _is_unknown(operator: Operator, kind: str) -> bool:
    domain = operator.domain
    if domain == "flex":
        kind, domain = "tensorflow", ""
    known = known_operators(kind)
    name = f"{domain}:{operator.name}"
    return (
        bool(known.names)
        and name not in known.acts
        and name not in known.paths
        and not known.knows(domain, operator.name)
    )


DETECTOR: Final = GraphCustomOperators()

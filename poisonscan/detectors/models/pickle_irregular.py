"""Pickles that no honest writer emits: where loaders differ, a scanner may be led astray."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from poisonscan.detectors.models.pickle_contracts import torch_class
from poisonscan.escape import quote
from poisonscan.finding import Finding, Location, Span
from poisonscan.formats.base import Artifact, PickleStream
from poisonscan.pickles.events import Irregular, Persistent
from poisonscan.pickles.values import Collection, Global, expression
from poisonscan.rules import rule


class PickleIrregular:
    """Rule PS105."""

    reads: ClassVar[tuple[type[Artifact], ...]] = (PickleStream,)

    def check(self, artifact: PickleStream) -> Iterator[Finding]:
        """One finding for each kind of irregularity."""
        seen: set[str] = set()
        for event in artifact.events:
            if isinstance(event, Irregular):
                what = event.what
            elif isinstance(event, Persistent) and not is_torch_storage(event.identifier):
                what = (
                    "the loader is asked for an object by an identifier that torch does not write"
                )
            else:
                continue
            if what in seen:
                continue
            seen.add(what)
            outer = None if artifact.base is None else artifact.base + event.offset
            shown = ""
            if isinstance(event, Persistent):
                shown = f" ({quote(expression(event.identifier))})"
            yield rule("PS105").finding(
                Location(artifact.path, Span(event.offset, 1, outer)),
                f"No honest writer makes a pickle like this: {what}{shown}.",
                key=what,
                grammar=artifact.grammar,
            )


DETECTOR: Final = PickleIrregular()


def is_torch_storage(identifier: object) -> bool:
    """Whether a persistent id has the form that ``torch.save`` writes.

    ``("storage", type, key, location, number of elements)``; legacy checkpoints add the view's
    metadata, and modules saved with their source a ``("module", class, file, source)``.
    """
    if not isinstance(identifier, Collection) or identifier.kind != "tuple":
        return False
    if torch_class(identifier) is not None:
        return True
    items = identifier.items
    return (
        tuple(items[:1]) == ("storage",)
        and len(items) in (5, 6)
        and isinstance(items[1], Global)
        and items[1].module.split(".")[0] == "torch"
        and all(isinstance(item, str | int) for item in items[2:5])
    )

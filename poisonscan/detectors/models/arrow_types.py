"""Tables whose column types are made by unpickling."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from poisonscan.escape import quote
from poisonscan.finding import Finding, Location
from poisonscan.formats.arrow_schema import UNPICKLED
from poisonscan.formats.base import Artifact, ExtensionTypes
from poisonscan.rules import pickle_names, rule


class UnpickledTypes:
    """Rule PS113."""

    reads: ClassVar[tuple[type[Artifact], ...]] = (ExtensionTypes,)

    def check(self, artifact: ExtensionTypes) -> Iterator[Finding]:
        """One finding for each column whose type is a pickle of names not known to be harmless."""
        allowed = pickle_names().allowed
        for kind in artifact.types:
            if kind.known or (not kind.imports and kind.name not in UNPICKLED):
                continue
            unknown = [name for name in kind.imports if name not in allowed]
            if kind.imports and not unknown:
                continue
            what = quote(".".join(unknown[0])) if unknown else "what could not be read"
            yield rule("PS113").finding(
                Location(artifact.path),
                f"Column {quote(kind.field)} has the type {quote(kind.name)}, made by unpickling "
                f"{what}: reading the schema is enough to run it.",
                key=f"{kind.name} {kind.field}",
                type=kind.name,
                column=kind.field,
            )


DETECTOR: Final = UnpickledTypes()

"""What a model file holds: the containers in it, and the names that its pickles import.

It says what loading needs, harmless or not, so that people see what a verdict rests on.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from poisonscan.escape import clip, escape
from poisonscan.finding import Json
from poisonscan.formats.base import Artifact, Identified, PickleStream
from poisonscan.pickles.events import Import

MEMBERS: Final = 60
"""Members that are listed of one file, those with imports first."""
IMPORTS: Final = 100
"""Names that are listed of one member."""
_NAME: Final = 120
_PATH: Final = 300


@dataclass(slots=True)
class Contents:
    """Collects what is in one file.

    Attributes:
        path: of the file.
    """

    path: str
    _formats: dict[str, str] = field(default_factory=dict)
    _imports: dict[str, dict[str, None]] = field(default_factory=dict)
    _left: int = 0
    _importing: int = 0
    _unlisted: str = ""

    def add(self, artifact: Artifact) -> None:
        """Take note of a member or a pickle."""
        if isinstance(artifact, Identified) and artifact.path != self.path:
            if len(self._formats) < MEMBERS:
                self._formats[artifact.path] = artifact.format
            else:
                self._left += 1
        elif isinstance(artifact, PickleStream):
            self._pickle(artifact)

    def _pickle(self, stream: PickleStream) -> None:
        names = [event.target.dotted for event in stream.events if isinstance(event, Import)]
        if not names:
            return
        if stream.path in self._imports or len(self._imports) < MEMBERS:
            kept = self._imports.setdefault(stream.path, {})
            kept.update(dict.fromkeys(names[: IMPORTS + 1]))
        elif stream.path != self._unlisted:  # the pickles of a member come one after the other
            self._unlisted = stream.path
            self._importing += 1

    def facts(self) -> dict[str, Json]:
        """``contents``: path in the file (empty for the file itself), format and imports of each.

        Where there is more than is listed, the last entry of a list is an ellipsis, or
        ``members not listed`` says how many, and ``members not listed that import`` how many of
        them, or of pickles without a name of their own, have imports.
        """
        paths = sorted({*self._formats, *self._imports})
        if not paths:
            return {}
        listed = sorted(paths, key=lambda path: (path not in self._imports, path))[:MEMBERS]
        facts: dict[str, Json] = {"contents": [self._entry(path) for path in sorted(listed)]}
        if left := self._left + len(paths) - len(listed):
            facts["members not listed"] = left
        if self._importing:
            facts["members not listed that import"] = self._importing
        return facts

    def _entry(self, path: str) -> dict[str, Json]:
        names = sorted(self._imports.get(path, ()))
        shown: list[Json] = [escape(clip(name, _NAME)) for name in names[:IMPORTS]]
        more: list[Json] = ["…"] if len(names) > IMPORTS else []
        inside = path.removeprefix(self.path).removeprefix("!/")
        form = self._formats.get(path, "")
        return {"path": clip(inside, _PATH), "format": form, "imports": [*shown, *more]}

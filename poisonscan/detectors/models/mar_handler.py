"""TorchServe archives that bring the code that serves them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from poisonscan.escape import quote
from poisonscan.finding import Finding, Json, Location
from poisonscan.formats.base import Artifact, Settings
from poisonscan.rules import rule

# Handlers that TorchServe has itself: the modules of ``ts/torch_handler``.
_OWN: Final = frozenset({
    "base_handler", "image_classifier", "image_segmenter", "object_detector", "text_classifier",
    "text_handler", "vision_handler",
})  # fmt: skip
_OWN_ENVELOPES: Final = frozenset({"", "base", "body", "json", "kserve", "kservev2"})
_RUN: Final = {
    "modelFile": "is imported to build the model",
    "requirementsFile": "names packages that are installed where the server allows it",
}


class MarHandler:
    """Rule PS122."""

    reads: ClassVar[tuple[type[Artifact], ...]] = (Settings,)

    def check(self, artifact: Settings) -> Iterator[Finding]:
        """One finding for each file that runs."""
        if artifact.kind != "mar":
            return
        for what, name, why in _runs(artifact.document):
            yield rule("PS122").finding(
                Location(artifact.path),
                f"Serving this archive runs what comes with it: {what} {quote(name)} {why}.",
                key=f"{what} {name}",
                name=name,
            )


def _runs(document: Json) -> Iterator[tuple[str, str, str]]:
    """Key, file and consequence."""
    if not isinstance(document, dict):
        return
    for section in ("model", "workflow"):
        part = document.get(section)
        if not isinstance(part, dict):
            continue
        handler = str(part.get("handler") or "")
        # "file.py:function" and "folder/file.py" are forms of a file of the archive.
        if handler and handler not in _OWN:
            yield "handler", handler, "answers every request and runs when the model is loaded"
        envelope = str(part.get("envelope") or "")
        if envelope not in _OWN_ENVELOPES:
            yield "envelope", envelope, "is imported around the handler"
        for key, why in _RUN.items():
            name = part.get(key)
            if name:
                yield key, str(name), why


DETECTOR: Final = MarHandler()

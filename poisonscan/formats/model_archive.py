"""TorchServe archives (``.mar``, and ``.war`` of workflows): the manifest that says what to run.

Layout: ``model-archiver/model_archiver/manifest_components`` of TorchServe. The archive is a zip,
a tar or a folder; handlers and models in it are read by themselves.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from poisonscan.finding import Gap
from poisonscan.formats.base import Artifact, Settings
from poisonscan.limits import Budget
from poisonscan.sources.base import Blob

_PLACES: Final = ("MAR-INF/MANIFEST.json", "WAR-INF/MANIFEST.json")
_LARGEST: Final = 1 << 20


class ArchiveManifest:
    """The manifest of a TorchServe archive."""

    name = "TorchServe manifest"

    def matches(self, blob: Blob, head: bytes) -> bool:  # noqa: ARG002 - the protocol's
        """By its place, the only one where TorchServe looks."""
        return blob.path.replace("\\", "/").endswith(_PLACES)

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:  # noqa: ARG002
        """The manifest as settings."""
        if len(view) > _LARGEST:
            yield Gap(blob.path, f"a manifest of {len(view):,} bytes is not read")
            return
        try:
            document = json.loads(bytes(view))
        except (ValueError, RecursionError) as error:
            yield Gap(blob.path, f"the manifest cannot be read: {str(error)[:120]}")
        else:
            yield Settings(blob.path, "mar", document)

"""skops: the ``schema.json`` in a zip archive that says how to build a scikit-learn model.

Layout: ``skops/io/_persist.py`` and ``skops/io/_general.py``. Arrays are members of the archive
and are read by themselves.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

from poisonscan.finding import Gap
from poisonscan.formats.base import Artifact, Settings, Text
from poisonscan.limits import Budget, LimitReached
from poisonscan.sources.base import Blob

_OPENING: Final = re.compile(rb"[{\[]")
_NODES: Final = 2_000_000
_MEMBER: Final = "!/schema.json"


class Skops:
    """The tree of nodes that skops builds objects from."""

    name = "skops"

    def matches(self, blob: Blob, head: bytes) -> bool:
        """By its place in an archive; what else is called so is seen when it is read."""
        return blob.path.endswith(_MEMBER) and bool(head)

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:
        """The tree as settings; text if it is a schema of something else.

        Raises:
            LimitReached: more objects than any model has.
        """
        if len(view) > budget.limits.header:
            message = f"a schema of more than {budget.limits.header:,} bytes"
            raise LimitReached(message)
        if sum(1 for _ in _OPENING.finditer(view)) > _NODES:
            message = f"a schema with more than {_NODES:,} objects and lists"
            raise LimitReached(message)
        try:
            document = json.loads(bytes(view))
        except (ValueError, RecursionError) as error:
            yield Gap(blob.path, f"the schema cannot be read: {str(error)[:120]}")
            return
        if isinstance(document, dict) and "__loader__" in document:
            yield Settings(blob.path, "skops", document)
        else:
            yield Text(blob.path)

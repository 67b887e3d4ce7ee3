"""The index of a model in several files: ``*.index.json``, which says where each tensor is.

``{"metadata": {...}, "weight_map": {tensor: file}}``, as transformers, diffusers and accelerate
write it (``huggingface_hub.serialization``). Keras 3 writes ``*.weights.json``, with lists of
files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from poisonscan.escape import quote
from poisonscan.finding import Gap
from poisonscan.formats import strict_json
from poisonscan.formats.base import (
    Anomaly,
    Artifact,
    Reference,
    References,
    ShardIndex,
    Structure,
)
from poisonscan.limits import Budget
from poisonscan.sources.base import Blob

_NAME: Final = re.compile(r"\.index(\.[\w-]+)?\.json$")
"""Also ``model.safetensors.index.fp16.json``: the variants of diffusers."""
_KERAS: Final = ".weights.json"
_MAP: Final = "weight_map"


class Index:
    """An index of shards."""

    name = "shard index"

    def matches(self, blob: Blob, head: bytes) -> bool:
        """By its name, or by its content where only the end of the name is as usual."""
        if not head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"{"):
            return False
        return bool(_NAME.search(blob.name)) or (
            blob.name.endswith(_KERAS) and _MAP.encode() in head
        )

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:
        """Which tensor is where, the files that are named, and keys that stand twice."""
        most = budget.limits.header
        if len(view) > most:
            yield Gap(blob.path, f"an index of {len(view):,} bytes; at most {most:,} are read")
            return
        text = bytes(view).removeprefix(b"\xef\xbb\xbf")
        strict_json.refuse_floods(text, budget.limits.members)
        try:
            found = strict_json.parse(text)
        except ValueError as error:
            yield Gap(blob.path, f"the index is not valid JSON: {str(error)[:120]}")
            return
        pairs, odd = _pairs(found.content)
        yield ShardIndex(blob.path, dict(pairs))
        if found.duplicates:
            yield Structure(blob.path, self.name, _anomalies(found.duplicates), blob.base)
        if odd:
            yield Gap(blob.path, odd)
        files = sorted({file for _, file in pairs})
        references = tuple(Reference(file, "the place of a tensor") for file in files)
        yield References(blob.path, self.name, references)


def _pairs(content: Any) -> tuple[list[tuple[str, str]], str]:
    """Tensors and files of an index, and why that may not be all of them."""
    weights = content.get(_MAP) if isinstance(content, dict) else None
    if not isinstance(weights, dict):
        return [], "an index without a weight_map: which files it means is not known"
    pairs: list[tuple[str, str]] = []
    odd = ""
    for tensor, value in weights.items():
        files = value if isinstance(value, list) else [value]
        if not all(isinstance(file, str) for file in files):
            odd = f"the index does not name a file for {quote(tensor)}"
            continue
        name = "{}" if len(files) == 1 else "{} ({})"
        pairs += [(name.format(tensor, number), file) for number, file in enumerate(files, 1)]
    return pairs, odd


def _anomalies(names: tuple[str, ...]) -> tuple[Anomaly, ...]:
    what = "stands there more than once, and readers take one or the other"
    return tuple(Anomaly("duplicate-key", what, 0, name) for name in names)

"""Names as loaders see them: renamed from Python 2, and those that no honest writer emits."""

from __future__ import annotations

import _compat_pickle
import re
from typing import Final

from poisonscan.pickles.values import Global

JUDGED_CALLED: Final = frozenset(
    (
        Global("functools", "partial"),
        Global("builtins", "getattr"),
        Global("builtins", "type"),
        Global("numpy._core", "_ufunc_reconstruct"),
        Global("numpy.core", "_ufunc_reconstruct"),
        Global("torch.storage", "_load_from_bytes"),
    )
)
"""Names that are judged by the arguments of each call, so that nothing else may call them."""

_IDENTIFIERS: Final = re.compile(r"[^\x00-\x20\x7f-\xa0\u2000-\u200f\u2028-\u202f]+\Z")


def modern(written: Global) -> Global:
    """The name that Python 3 imports for one written under protocol 2 or lower."""
    pair = (written.module, written.name)
    if pair in _compat_pickle.NAME_MAPPING:
        return Global(*_compat_pickle.NAME_MAPPING[pair])
    return Global(_compat_pickle.IMPORT_MAPPING.get(written.module, written.module), written.name)


def odd_name(written: Global) -> bool:
    """Whether the name is empty or holds white space or control characters."""
    return not (_IDENTIFIERS.match(written.module) and _IDENTIFIERS.match(written.name))

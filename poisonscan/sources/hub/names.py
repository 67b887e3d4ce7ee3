"""Which names of files in a repository can be names of files here."""

from __future__ import annotations

import re
import sys
from typing import Final

_LONGEST: Final = 255
_DEEPEST: Final = 64
_WINDOWS: Final = re.compile(
    r'[<>:"|?*\x00-\x1f]|[. ]\Z|\A(?:con|prn|aux|nul|com\d|lpt\d)(?:\.|\Z)', re.IGNORECASE
)


def refusal(path: str, *, windows: bool = sys.platform == "win32") -> str:
    """Why a file cannot be put below a folder under this path; empty where it can."""
    segments = path.split("/")
    if not {"", ".", ".."}.isdisjoint(segments) or "\\" in path or "\x00" in path:
        return "its name leads out of the repository"
    if "!/" in path:
        return "its name looks like that of a member of an archive"
    try:
        too_long = any(len(segment.encode()) > _LONGEST for segment in segments)
    except UnicodeEncodeError:
        return "its name is no text"
    if too_long or len(segments) > _DEEPEST:
        return "its name is too long"
    if windows and any(_WINDOWS.search(segment) for segment in segments):
        return "this system has no files of such a name"
    return ""

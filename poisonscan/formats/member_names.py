"""Names of archive members that would leave the folder that an archive is unpacked in."""

from __future__ import annotations

import posixpath
import re
from typing import Final

_ROOTED: Final = re.compile(r"[\\/]|[A-Za-z]:[\\/]")


def leaves_folder(name: str) -> bool:
    """Whether a name is absolute, has a drive letter, or climbs out by ``..``."""
    if _ROOTED.match(name):
        return True
    path = posixpath.normpath(name.replace("\\", "/"))
    return path == ".." or path.startswith("../")


def link_leaves_folder(name: str, target: str) -> bool:
    """Whether a symbolic link called ``name`` points out of the folder."""
    if _ROOTED.match(target):
        return True
    return leaves_folder(posixpath.join(posixpath.dirname(name), target.replace("\\", "/")))

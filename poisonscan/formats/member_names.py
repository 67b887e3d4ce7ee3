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
    return climbs_out(name)


def climbs_out(path: str) -> bool:
    """Whether a path is above its beginning once it is put in order, as Windows reads it or not.

    Readers that forbid ``..`` put paths in order first, such as ONNX: ``a/../weights`` stays.
    """
    ordered = (posixpath.normpath(one) for one in (path, path.replace("\\", "/")))
    return any(one == ".." or one.startswith("../") for one in ordered)


def link_leaves_folder(name: str, target: str) -> bool:
    """Whether a symbolic link called ``name`` points out of the folder."""
    if _ROOTED.match(target):
        return True
    return leaves_folder(posixpath.join(posixpath.dirname(name), target.replace("\\", "/")))

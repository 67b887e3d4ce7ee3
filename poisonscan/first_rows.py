"""Large text files of a repository whose first rows are all that is wanted, fetched to there only.

Such a file then stands in the folder as if it ended there. Nothing looks at what was not fetched:
what is no text behind the rows is not found, and the file is not verified.
"""

from __future__ import annotations

import math
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from poisonscan.engines.base import Failure
from poisonscan.finding import Gap

if TYPE_CHECKING:
    from poisonscan.datasets.first_records import Beginning, Found
    from poisonscan.engines.base import Engine
    from poisonscan.sources.base import Spans
    from poisonscan.sources.hub.parts import Parts

_MARGIN: Final = 1.2
"""Times as many bytes are fetched as the rows that are there let expect."""


def shorten(parts: Parts, rows: int | None, engine: Engine) -> list[Gap]:
    """Fetch files of delimited text or JSON lines as far as their first rows need.

    What turns out to need most of its bytes is fetched whole; what is no such file stays as it is.

    Args:
        parts: the files.
        rows: how many rows are wanted; None: all, and nothing is done.
        engine: reads what is there, in a process of its own.

    Returns:
        What could not be fetched.
    """
    if rows is None:
        return []
    from poisonscan.datasets.first_records import Beginning, cut, may_be_cut

    gaps: list[Gap] = []
    left = [path for path in parts.paths() if may_be_cut(path)]
    with tempfile.TemporaryDirectory(dir=parts.folder.parent) as aside:
        while left:
            jobs = [
                Beginning(
                    path, str(parts.file(path)), _beginning(parts, path), rows,
                    str(Path(aside, f"{number}")),
                )
                for number, path in enumerate(left)
            ]  # fmt: skip
            wanted: dict[str, Spans] = {}
            for job, found in zip(jobs, engine.map(cut, jobs), strict=True):
                if isinstance(found, Failure) or not found.rows:
                    continue
                if found.enough:
                    parts.cut(job.path, Path(job.out))
                else:
                    wanted[job.path] = ((0, _enough(job, found, parts.size(job.path))),)
            failed = parts.more(wanted, sure=True)
            gaps += [Gap(path, reason) for path, reason in failed.items()]
            left = [path for path in wanted if parts.present(path) is not None]
    return gaps


def _beginning(parts: Parts, path: str) -> int:
    """How many bytes of a file are there from its start on."""
    return next((end for begin, end in parts.present(path) or () if not begin), 0)


def _enough(job: Beginning, found: Found, size: int) -> int:
    """Bytes that probably hold the rows that are wanted."""
    return min(size, math.ceil(_MARGIN * job.end * (job.wanted + 1) / found.rows))

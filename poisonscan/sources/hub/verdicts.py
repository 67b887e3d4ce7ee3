"""What the scanners that the Hub runs say of the files of a repository, all engines of its answer.

The Hub's documentation names the engines only in part, and they change: every entry of
``securityFileStatus`` that has a status is one.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any, Final

from poisonscan.origin import Verdict
from poisonscan.sources.hub.address import Address
from poisonscan.sources.hub.client import Client
from poisonscan.sources.hub.errors import HubError
from poisonscan.sources.hub.listing import MOST_FILES

MOST_PAGES: Final = 400
"""Pages that are asked for; the Hub puts 50 files with their verdicts on one."""
SECONDS: Final = 60.0
"""After which no further page is asked for."""
_MOST_ENGINES: Final = 32
_WORD: Final = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,39}")


def list_verdicts(
    client: Client, address: Address, commit: str
) -> tuple[dict[str, tuple[Verdict, ...]], str]:
    """Verdicts by path, and why those of other files are not known; empty where all are.

    Nothing is raised: that somebody else's opinion cannot be had is no reason not to form one.
    """
    found: dict[str, tuple[Verdict, ...]] = {}
    base = f"{client.endpoint}/api/{address.type}s/{address.repository}"
    url: str | None = f"{base}/tree/{commit}?recursive=true&expand=true"
    end = time.monotonic() + SECONDS
    try:
        for _ in range(MOST_PAGES):
            if time.monotonic() > end or len(found) >= MOST_FILES:
                break
            page, url = client.json(url or "")
            if not isinstance(page, list):
                return found, "could not be asked: the Hub's list of files is none"
            for item in page:
                _take(item, found)
            if url is None:
                return found, ""
    except HubError as error:
        return found, f"could not be asked: {error}"
    return found, f"were asked about the first {len(found):,} files only"


def _take(item: Any, found: dict[str, tuple[Verdict, ...]]) -> None:
    if not isinstance(item, dict) or item.get("type") == "directory":
        return
    path, about = item.get("path"), item.get("securityFileStatus")
    if not isinstance(path, str):
        return
    verdicts = []
    if isinstance(about, Mapping):
        for engine, said in sorted(about.items())[:_MOST_ENGINES]:
            status = said.get("status") if isinstance(said, Mapping) else said
            if isinstance(engine, str) and _WORD.fullmatch(engine) and isinstance(status, str):
                known = _WORD.fullmatch(status) is not None
                verdicts.append(Verdict(engine, status.lower() if known else "unknown"))
    found[path] = tuple(verdicts)

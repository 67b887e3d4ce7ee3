"""What the environment says about the Hub, with the names that its own client gives it."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from poisonscan.sources.hub.errors import HubError

HUB: Final = "https://huggingface.co"
_TRUE: Final = frozenset({"1", "ON", "YES", "TRUE"})
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,4096}")
_LONGEST: Final = 4096


@dataclass(frozen=True, slots=True)
class Environment:
    """Where the Hub is, and how to ask it.

    Attributes:
        endpoint: address of the Hub without a slash at its end.
        token: what proves who asks; empty if there is none.
        cache: folder in which the Hub's own client keeps what it fetched.
        offline: whether nothing but that folder may be asked.
    """

    endpoint: str = HUB
    token: str = field(default="", repr=False)
    cache: Path = Path()
    offline: bool = False


def read_environment(variables: Mapping[str, str] | None = None) -> Environment:
    """Read ``HF_ENDPOINT``, ``HF_TOKEN``, ``HF_HOME``, ``HF_HUB_OFFLINE`` and their kin.

    Args:
        variables: instead of those of this process.

    Raises:
        HubError: a variable holds what it cannot.
    """
    given = os.environ if variables is None else variables
    endpoint = (given.get("HF_ENDPOINT") or HUB).rstrip("/")
    try:
        parts = urlsplit(endpoint)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.username or parts.query or parts.fragment:
        message = "HF_ENDPOINT is no address such as https://huggingface.co"
        raise HubError(message)
    caches = given.get("XDG_CACHE_HOME") or "~/.cache"
    home = Path(given.get("HF_HOME") or Path(caches, "huggingface")).expanduser()
    return Environment(
        endpoint,
        _token(given, home),
        Path(given.get("HF_HUB_CACHE") or home / "hub").expanduser(),
        _is_true(given, "HF_HUB_OFFLINE") or _is_true(given, "TRANSFORMERS_OFFLINE"),
    )


def _is_true(given: Mapping[str, str], name: str) -> bool:
    return given.get(name, "").upper() in _TRUE


def _token(given: Mapping[str, str], home: Path) -> str:
    """The token of the environment, or the one that signing in has left on disk."""
    if _is_true(given, "HF_HUB_DISABLE_IMPLICIT_TOKEN"):
        return ""
    token, where = given.get("HF_TOKEN", "").strip(), "HF_TOKEN"
    if not token:
        file = Path(given.get("HF_TOKEN_PATH") or home / "token").expanduser()
        where = "the token on disk"
        try:
            with file.open(encoding="ascii", errors="replace") as stream:
                token = stream.read(_LONGEST).strip()
        except OSError:
            return ""
    if token and not _TOKEN.fullmatch(token):
        message = f"{where} holds characters that no token has"
        raise HubError(message)
    return token

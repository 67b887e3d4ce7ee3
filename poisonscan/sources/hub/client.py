"""Asks the Hub: with the token where it belongs, redirects that stay public, and some patience.

The Hub's own client is not used for this. It does not compare what it fetched with the hashes that
the Hub lists, waits as long as a server says, has no deadline for a slow answer, names files after
what a server says, and refuses a whole repository for one bad name.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import SplitResult, urljoin

from poisonscan.escape import quote
from poisonscan.sources.hub.connection import PIECE, Connections, is_private, request, split
from poisonscan.sources.hub.environment import Environment
from poisonscan.sources.hub.errors import Again, HubError, NoRange, NoSuchRepository
from poisonscan.version import VERSION

_T = TypeVar("_T")
_REDIRECTS: Final = 5
_MOVED: Final = frozenset({301, 302, 303, 307, 308})
_LATER: Final = frozenset({408, 429, 500, 502, 503, 504})
_LARGEST_JSON: Final = 16 << 20
_NEXT: Final = re.compile(r'<([^<>]*)>\s*;\s*rel="?next"?')


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for the Hub.

    Attributes:
        idle: seconds in which something must arrive.
        seconds: for a whole answer, to which `rate` adds.
        rate: bytes that come in a second at least.
        tries: how often something is asked for at most.
        pause: seconds before the second try; twice as many before each one after.
        longest: seconds to wait at most where the server says how long; if it says more, the
            answer is taken for a no.
    """

    idle: float = 30.0
    seconds: float = 60.0
    rate: float = 100_000.0
    tries: int = 4
    pause: float = 1.0
    longest: float = 60.0


class Client:
    """Asks one Hub.

    Args:
        environment: where it is, and with which token.
        patience: how long to wait.
    """

    def __init__(self, environment: Environment, patience: Patience | None = None) -> None:
        self.endpoint = environment.endpoint
        self.patience = patience or Patience()
        self.stopped = threading.Event()
        """When it is set, nothing is asked for any more, and no answer is read on."""
        self.connections = Connections()
        weakref.finalize(self, self.connections.close)
        self._token = environment.token
        self._places: dict[str, str] = {}  # where parts of files were found
        self._home = split(environment.endpoint)
        self._private: bool | None = None

    def json(self, url: str) -> tuple[Any, str | None]:
        """What the interface answers, and the address of the next page; None: it is the last.

        Raises:
            HubError: it cannot be had.
            NoSuchRepository: there is nothing, or nothing that may be read.
        """

        def read() -> tuple[bytes, str | None]:
            with self.get(url, _LARGEST_JSON, self.patience.seconds) as (answer, pieces):
                body = b"".join(pieces)
                following = _NEXT.search(answer.headers.get("Link", ""))
            return body, _joined(url, following.group(1)) if following else None

        body, following = self.again(read)
        try:
            document = json.loads(body)
        except (ValueError, RecursionError) as error:
            message = "the Hub's answer is no JSON: is HF_ENDPOINT the address of a Hub?"
            raise HubError(message) from error
        if following is not None and _origin(split(following)) != _origin(self._home):
            message = "the Hub's list goes on at another host: not followed"
            raise HubError(message)
        return document, following

    def again(self, act: Callable[[], _T]) -> _T:
        """Do something, and some times more while that may help.

        Raises:
            HubError: it did not help.
        """
        pause = self.patience.pause
        for left in range(self.patience.tries - 1, -1, -1):
            try:
                return act()
            except Again as error:
                wait = pause if error.wait is None else error.wait
                if not left:
                    message = f"{error}, {self.patience.tries} times"
                    raise HubError(message) from error
                if wait > self.patience.longest:
                    message = f"{error}, and asks to wait for {wait:,.0f} seconds"
                    raise HubError(message) from error
            if self.stopped.wait(wait):
                break
            pause *= 2
        message = "interrupted"
        raise HubError(message)

    def part(self, url: str, begin: int, end: int, size: int) -> tuple[bytes, str]:
        """Bytes of a file, and the tag of the content that they are a part of.

        Where the file was found is remembered, until it is not there any more: redirects are signed
        for some time.

        Args:
            url: of the file.
            begin: first byte.
            end: behind the last byte.
            size: of the file.

        Raises:
            Again: it may work another time.
            HubError: it will not.
            NoRange: the answer is not this part of a file of that size.
        """
        known = self._places.get(url)
        if known is not None:
            try:
                return self._part(known, begin, end, size)
            except NoSuchRepository:
                self._places.pop(url, None)
        return self._part(url, begin, end, size)

    def _part(self, url: str, begin: int, end: int, size: int) -> tuple[bytes, str]:
        wanted = f"bytes {begin}-{end - 1}/{size}"
        with self.get(url, end - begin, span=f"bytes={begin}-{end - 1}") as (answer, pieces):
            given = " ".join(answer.headers.get("Content-Range", "").split())
            if given != wanted:
                message = f"the answer is {quote(given)} of the file, not {wanted}"
                raise NoRange(message)
            tag = answer.headers.get("ETag", "")
            if not tag or tag.startswith("W/"):
                message = "the answer does not tell which content it is a part of"
                raise NoRange(message)
            data = b"".join(pieces)
        if len(data) != end - begin:
            message = f"{len(data):,} bytes came of a part of {end - begin:,}"
            raise Again(message)
        return data, tag

    @contextlib.contextmanager
    def get(
        self, url: str, most: int, seconds: float | None = None, *, span: str = ""
    ) -> Iterator[tuple[http.client.HTTPResponse, Iterator[bytes]]]:
        """An answer and the pieces of its body.

        Args:
            url: to ask for.
            most: bytes that are read at most.
            seconds: for all of it; None: as many as so many bytes need.
            span: the bytes that are wanted, as ``Range`` has them; empty for all.

        Raises:
            Again: it may work another time.
            HubError: it will not.
            NoRange: a part was asked for, and the answer is none.
            NoSuchRepository: there is nothing, or nothing that may be read.
        """
        began = time.monotonic()
        first = url
        whole = seconds or self.patience.seconds + most / self.patience.rate
        for _ in range(_REDIRECTS + 1):
            left = max(whole - (time.monotonic() - began), 0.001)
            parts = split(url)
            headers = self._headers(parts) | ({"Range": span} if span else {})
            with request(
                url, headers, seconds=left, idle=self.patience.idle,
                private=self._may_be_private(), connections=self.connections,
                stopped=self.stopped,
            ) as answer:  # fmt: skip
                if answer.status not in _MOVED:
                    self._check(answer, parts, partly=bool(span))
                    if span and url != first:
                        self._places[first] = url
                    yield answer, self._pieces(answer, most)
                    return
                url = self._follow(url, answer.headers.get("Location", ""))
        message = "the Hub leads in circles"
        raise HubError(message)

    def _headers(self, parts: SplitResult) -> dict[str, str]:
        headers = {"User-Agent": f"poisonscan/{VERSION}", "Accept-Encoding": "identity"}
        if self._token and _origin(parts) == _origin(self._home):
            headers["Authorization"] = f"Bearer {self._token}"
        return headers

    def _may_be_private(self) -> bool:
        """A Hub of an own network may lead to hosts of that network, the public one may not."""
        if self._private is None:
            self._private = is_private(self._home.hostname or "")
        return self._private

    def _follow(self, url: str, location: str) -> str:
        following = _joined(url, location)
        parts = split(following)
        if not location or (self._home.scheme == "https" and parts.scheme != "https"):
            message = "the Hub leads away from https: not followed"
            raise HubError(message)
        return following

    def _check(self, answer: http.client.HTTPResponse, parts: SplitResult, *, partly: bool) -> None:
        status = answer.status
        if status in _LATER:
            message = f"{parts.hostname} answers {status} {_MEANINGS.get(status, '')}".rstrip()
            raise Again(message, _seconds(answer.headers.get("Retry-After", "")))
        code = answer.headers.get("X-Error-Code", "")
        if status in (401, 403):
            message = _CODES.get(code, "it is private or gated, or does not exist")
            known = (
                "the token may not read it" if self._token else "set HF_TOKEN if you may read it"
            )
            raise NoSuchRepository(f"{message}: {known} (status {status})")
        if status in (404, 410):
            message = f"{_CODES.get(code, 'it does not exist, or is private')} (status {status})"
            raise NoSuchRepository(message)
        if partly and status in (200, 416):
            message = f"{parts.hostname} gives no part of the file (status {status})"
            raise NoRange(message)
        if status != (206 if partly else 200):
            message = f"{parts.hostname} answers with status {status}"
            raise HubError(message)
        if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
            message = f"{parts.hostname} answers in an encoding that was not asked for"
            raise HubError(message)

    def _pieces(self, answer: http.client.HTTPResponse, most: int) -> Iterator[bytes]:
        """The body; more than expected is an error, and so is an end before its time."""
        count = 0
        while piece := answer.read1(PIECE):
            count += len(piece)
            if count > most:
                message = f"more than the {most:,} bytes that were expected"
                raise HubError(message)
            if self.stopped.is_set():
                message = "interrupted"
                raise HubError(message)
            yield piece
        announced = answer.headers.get("Content-Length", "")
        if announced.isdecimal() and count != int(announced[:20]):
            message = f"the answer ends after {count:,} of {announced[:20]} bytes"
            raise Again(message)


_CODES: Final = {
    "GatedRepo": "it is gated: accept its conditions on its page",
    "RevisionNotFound": "it has no such branch, tag or commit",
}
"""What the Hub says in ``X-Error-Code``; huggingface_hub 2.4, ``utils/_http.py``."""
_MEANINGS: Final = {
    408: "(timeout)",
    429: "(too many requests)",
    500: "(internal error)",
    502: "(bad gateway)",
    503: "(not available)",
    504: "(timeout)",
}


def _origin(parts: SplitResult) -> tuple[str, str, int]:
    usual = 443 if parts.scheme == "https" else 80
    return parts.scheme, (parts.hostname or "").lower(), parts.port or usual


def _joined(url: str, reference: str) -> str:
    """Where a reference in an answer leads; empty, which is no address, if it is not one."""
    try:
        return urljoin(url, reference)
    except ValueError:
        return ""


def _seconds(text: str) -> float | None:
    """What ``Retry-After`` says; dates are not understood, and count as nothing said."""
    return float(text[:12]) if text.isdecimal() and text.isascii() else None

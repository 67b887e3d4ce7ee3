"""One HTTP request that ends when its time is up, however slowly a server answers.

A timeout of a socket begins anew with every byte. Here the whole answer, its headers included, has
one deadline. Nothing is followed here, and nothing is unpacked. Nothing is tried again but what was
asked over a connection that a server had closed since the request before.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import io
import ipaddress
import selectors
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlsplit

from poisonscan.sources.hub.errors import Again, HubError

PIECE: Final = 1 << 18
_REST: Final = 1 << 16
"""Bytes of an answer nobody wants that are read, so that the connection can be used again."""
_Key = tuple[str, str, int | None, bool, tuple[tuple[str, str], ...]]
_ATTENTION: Final = 0.5
"""Seconds after which somebody who waits looks whether that is still wanted."""


class _Timed(io.RawIOBase):
    """Reads from a socket until a deadline, or until it is told to stop."""

    def __init__(
        self, connection: socket.socket, deadline: float, idle: float, stopped: threading.Event
    ) -> None:
        self._socket = connection
        self._held = connection.makefile("rb", buffering=0)  # the socket stays open for it
        self._deadline = deadline
        self._idle = idle
        self._stopped = stopped

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        end = min(self._deadline, time.monotonic() + self._idle)
        while (left := end - time.monotonic()) > 0 and not self._stopped.is_set():
            self._socket.settimeout(min(left, _ATTENTION))
            with contextlib.suppress(TimeoutError):
                return self._socket.recv_into(buffer)
        raise TimeoutError

    def close(self) -> None:
        if not self.closed:
            self._held.close()
        super().close()


def _answers(
    deadline: float, idle: float, stopped: threading.Event
) -> type[http.client.HTTPResponse]:
    """Answers that are read until a deadline."""

    class Answer(http.client.HTTPResponse):
        def __init__(self, sock: socket.socket, *arguments: Any, **named: Any) -> None:
            super().__init__(sock, *arguments, **named)
            self.fp.close()
            self.fp = io.BufferedReader(_Timed(sock, deadline, idle, stopped))

    return Answer


class Connections:
    """Connections that are open for the next request to the same host."""

    def __init__(self) -> None:
        self._idle: dict[_Key, list[http.client.HTTPConnection]] = {}
        self._lock = threading.Lock()

    def take(self, key: _Key) -> http.client.HTTPConnection | None:
        """One that nobody uses; None: there is none."""
        with self._lock:
            found = self._idle.get(key)
            return found.pop() if found else None

    def give(self, key: _Key, connection: http.client.HTTPConnection) -> None:
        """Leave one to whoever asks next."""
        with self._lock:
            self._idle.setdefault(key, []).append(connection)

    def close(self) -> None:
        """Close all that nobody uses: no process that is started now has a part in them."""
        with self._lock:
            idle = [each for found in self._idle.values() for each in found]
            self._idle.clear()
        for connection in idle:
            connection.close()


@contextlib.contextmanager
def request(
    url: str,
    headers: Mapping[str, str],
    *,
    seconds: float,
    idle: float,
    private: bool,
    connections: Connections,
    stopped: threading.Event | None = None,
) -> Iterator[http.client.HTTPResponse]:
    """Ask for an address and give the answer, whatever its status.

    Args:
        url: checked by `split`.
        headers: of the request.
        seconds: for everything until the last byte of the answer.
        idle: seconds in which something must arrive.
        private: whether a host may have an address that is not public.
        connections: one of these is used, if there is one, and is left there if all was read.
        stopped: when it is set, nothing more is read.

    Raises:
        Again: the connection or the answer broke, or nothing came; also while it is read.
        HubError: the time is up, or the host has an address that is not public.
    """
    parts = split(url)
    deadline = time.monotonic() + seconds
    asked = _Asked(parts, url, headers, min(idle, seconds), private)
    answers = _answers(deadline, idle, stopped or threading.Event())
    connection = answer = None
    whole = False
    try:
        connection, answer = _answered(asked, answers, connections)
        yield answer
        whole = _is_read(answer)
    except TimeoutError as error:
        message = f"{parts.hostname} is too slow"
        if time.monotonic() >= deadline:
            raise HubError(message) from error
        raise Again(message) from error
    except ssl.SSLCertVerificationError as error:
        message = f"the certificate of {parts.hostname} is not valid: {error.verify_message}"
        raise HubError(message) from error
    except (OSError, http.client.HTTPException) as error:
        message = f"{parts.hostname} cannot be read ({_why(error)})"
        raise Again(message) from error
    finally:
        if answer is not None:
            answer.close()
        if connection is not None and whole:
            connections.give(asked.key, connection)
        elif connection is not None:
            connection.close()


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request.

    Attributes:
        timeout: seconds to connect, and to send it.
        private: whether a host may have an address that is not public.
    """

    parts: SplitResult
    url: str
    headers: Mapping[str, str]
    timeout: float
    private: bool

    @property
    def key(self) -> _Key:
        """What a connection must have in common with one that can be used."""
        proxies = tuple(sorted(urllib.request.getproxies().items()))
        return self.parts.scheme, self.parts.hostname or "", self.parts.port, self.private, proxies


def _answered(
    asked: _Asked, answers: type[http.client.HTTPResponse], connections: Connections
) -> tuple[http.client.HTTPConnection, http.client.HTTPResponse]:
    """Send a request, over an open connection if there is one; that and the answer."""
    new, target = _connection(asked.parts, asked.url, asked.timeout)
    known = connections.take(asked.key)
    if known is not None and not _is_quiet(known):
        known.close()
    elif known is not None:
        with contextlib.ExitStack() as stack, contextlib.suppress(ConnectionError):
            stack.callback(known.close)
            known.sock.settimeout(asked.timeout)
            answer = _sent(known, target, asked, answers)
            stack.pop_all()
            return known, answer
    with contextlib.ExitStack() as stack:
        stack.callback(new.close)
        new.connect()
        # A proxy decides by itself whom it connects to.
        if not asked.private and new.host == asked.parts.hostname:
            _refuse_private(new.sock)
        answer = _sent(new, target, asked, answers)
        stack.pop_all()
        return new, answer


def _is_quiet(connection: http.client.HTTPConnection) -> bool:
    """Whether nothing came since the last answer: it would be taken for the answer to the next."""
    with selectors.DefaultSelector() as waiting:
        waiting.register(connection.sock, selectors.EVENT_READ)
        return not waiting.select(0)


def _sent(
    connection: http.client.HTTPConnection,
    target: str,
    asked: _Asked,
    answers: type[http.client.HTTPResponse],
) -> http.client.HTTPResponse:
    connection.response_class = answers
    connection.request("GET", target, headers=dict(asked.headers))
    return connection.getresponse()


def _is_read(answer: http.client.HTTPResponse) -> bool:
    """Whether nothing of an answer is left, or so little that it is read now."""
    if answer.will_close:
        return False
    if not answer.isclosed() and answer.length is not None and answer.length <= _REST:
        answer.read()
    return answer.isclosed()


def split(url: str) -> SplitResult:
    """The parts of an address that may be asked for.

    Raises:
        HubError: it is none.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good or parts.username or not all("\x21" <= character <= "\x7e" for character in url):
        message = "the Hub leads to an address that is none"
        raise HubError(message)
    return parts


def _connection(
    parts: SplitResult, url: str, timeout: float
) -> tuple[http.client.HTTPConnection, str]:
    """A connection, through a proxy where the environment names one, and what to ask it for."""
    host = parts.hostname or ""
    path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    secure = parts.scheme == "https"
    proxies = urllib.request.getproxies()
    given = proxies.get(parts.scheme) or proxies.get("all")
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    if not given or urllib.request.proxy_bypass(host):
        return kind(host, parts.port, timeout=timeout), path
    proxy = urlsplit(given if "://" in given else f"http://{given}")
    if proxy.scheme != "http" or not proxy.hostname:
        message = "the proxy that the environment names is none that speaks plain HTTP"
        raise HubError(message)
    through = kind(proxy.hostname, proxy.port or 80, timeout=timeout)
    pass_on = {}
    if proxy.username:
        pair = f"{unquote(proxy.username)}:{unquote(proxy.password or '')}"
        pass_on = {"Proxy-Authorization": "Basic " + base64.b64encode(pair.encode()).decode()}
    if not secure:
        if pass_on:
            message = "a proxy with a password needs an endpoint with https"
            raise HubError(message)
        return through, url
    through.set_tunnel(host, parts.port or 443, headers=pass_on)
    return through, path


def _refuse_private(connection: socket.socket) -> None:
    """Refuse to ask inside of a network for somebody outside of it."""
    address = str(connection.getpeername()[0]).partition("%")[0]
    if not ipaddress.ip_address(address).is_global:
        message = "the Hub leads to an address that is not public: not followed"
        raise HubError(message)


def is_private(host: str) -> bool:
    """Whether an endpoint is one of an own network, by what its name stands for."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return False
    return any(
        not ipaddress.ip_address(str(entry[4][0]).partition("%")[0]).is_global for entry in found
    )


def _why(error: Exception) -> str:
    if isinstance(error, socket.gaierror):
        return "its name is not known: is there a network?"
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    return type(error).__name__

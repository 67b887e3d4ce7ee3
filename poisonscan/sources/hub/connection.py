"""One HTTP request that ends when its time is up, however slowly a server answers.

A timeout of a socket begins anew with every byte. Here the whole answer, its headers included, has
one deadline. Nothing is followed or tried again here, and nothing is unpacked.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import io
import ipaddress
import socket
import ssl
import threading
import time
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import SplitResult, unquote, urlsplit

from poisonscan.sources.hub.errors import Again, HubError

PIECE: Final = 1 << 18
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


@contextlib.contextmanager
def request(
    url: str,
    headers: Mapping[str, str],
    *,
    seconds: float,
    idle: float,
    private: bool,
    stopped: threading.Event | None = None,
) -> Iterator[http.client.HTTPResponse]:
    """Ask for an address and give the answer, whatever its status.

    Args:
        url: checked by `split`.
        headers: of the request.
        seconds: for everything until the last byte of the answer.
        idle: seconds in which something must arrive.
        private: whether a host may have an address that is not public.
        stopped: when it is set, nothing more is read.

    Raises:
        Again: the connection or the answer broke, or nothing came; also while it is read.
        HubError: the time is up, or the host has an address that is not public.
    """
    parts = split(url)
    deadline = time.monotonic() + seconds
    connection, target = _connection(parts, url, min(idle, seconds))
    connection.response_class = _answers(deadline, idle, stopped or threading.Event())
    try:
        connection.connect()
        # A proxy decides by itself whom it connects to.
        if not private and connection.host == parts.hostname:
            _refuse_private(connection.sock)
        connection.request("GET", target, headers={**headers, "Connection": "close"})
        with contextlib.closing(connection.getresponse()) as answer:
            yield answer
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
        connection.close()


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

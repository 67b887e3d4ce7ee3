from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from poisonscan.sources.hub.client import Client, Patience
from poisonscan.sources.hub.connection import Connections, request
from poisonscan.sources.hub.environment import Environment
from poisonscan.sources.hub.errors import Again, HubError
from tests.sources.hub.fake import CALM, COMMIT, FakeHub, send_part


@pytest.fixture
def connections() -> Iterator[Connections]:
    made = Connections()
    yield made
    made.close()


def client(endpoint: str, token: str = "") -> Client:
    return Client(Environment(endpoint, token, Path("nowhere")), CALM)


def test_hosts_of_an_own_network_are_not_asked_for_others(
    hub: FakeHub, connections: Connections
) -> None:
    with (
        pytest.raises(HubError, match="not public"),
        request(hub.url, {}, seconds=9, idle=9, private=False, connections=connections),
    ):
        pass
    assert hub.log == []


def test_https_stays_https() -> None:
    with pytest.raises(HubError, match="away from https"):
        client("https://hub.corp")._follow("https://hub.corp/x", "http://hub.corp/y")
    assert client("https://h.c")._follow("https://h.c/a/b", "../d") == "https://h.c/d"


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://hub.corp/x", True),
        ("https://HUB.corp:443/x", True),
        ("http://hub.corp/x", False),
        ("https://hub.corp:8443/x", False),
        ("https://hub.corp.evil.org/x", False),
        ("https://cdn.hub.corp/x", False),
    ],
)
def test_where_the_token_goes(url: str, *, sent: bool) -> None:
    from poisonscan.sources.hub.connection import split

    headers = client("https://hub.corp", "hf_secret")._headers(split(url))
    assert ("Authorization" in headers) is sent


def test_a_proxy_is_used(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, connections: Connections
) -> None:
    monkeypatch.setenv("http_proxy", hub.url)
    monkeypatch.setenv("no_proxy", "")
    for private in (True, False):
        with request(
            "http://hub.test/api/x", {}, seconds=9, idle=9, private=private, connections=connections
        ) as answer:
            assert answer.status == 404
    assert hub.log[0][0] == "http://hub.test/api/x"


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:1", "http://name:word@127.0.0.1:1"])
def test_a_proxy_that_cannot_be_used(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("http_proxy", proxy)
    monkeypatch.setenv("no_proxy", "")
    with (
        pytest.raises(HubError, match="proxy"),
        request("http://hub.test/", {}, seconds=9, idle=9, private=True, connections=Connections()),
    ):
        pass


def test_a_name_that_nobody_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")
    with (
        pytest.raises(Again, match="is there a network"),
        request(
            "http://hub.invalid/", {}, seconds=9, idle=9, private=True, connections=Connections()
        ),
    ):
        pass


def test_whoever_has_no_patience_need_not_wait(hub: FakeHub) -> None:
    def stall(request: BaseHTTPRequestHandler, body: bytes) -> None:
        request.send_response(200)
        request.end_headers()
        time.sleep(2)

    hub.files["a"] = b"1"
    hub.behaviours["a"] = stall
    patient = Client(Environment(hub.url, "", Path("nowhere")), Patience())
    threading.Timer(0.1, patient.stopped.set).start()
    began = time.monotonic()

    def read() -> None:
        with patient.get(f"{hub.url}/org/name/resolve/{COMMIT}/a", 1) as (_, pieces):
            list(pieces)

    with pytest.raises(HubError, match="interrupted"):
        patient.again(read)
    assert time.monotonic() - began < 1.5


def test_a_connection_serves_many_requests(hub: FakeHub) -> None:
    hub.files = {"a": b"x" * 100_000}
    one = client(hub.url)
    url = f"{hub.url}/org/name/resolve/{COMMIT}/a"
    for number in range(5):
        data, _ = one.part(url, number * 10, number * 10 + 10, 100_000)
        assert len(data) == 10
    assert (len(hub.log), hub.connections) == (5, 1)
    one.connections.close()
    one.part(url, 0, 10, 100_000)
    assert hub.connections == 2


def test_a_connection_that_was_closed_meanwhile_is_made_again(hub: FakeHub) -> None:
    hub.files = {"a": b"x" * 100}

    def once(request: BaseHTTPRequestHandler, body: bytes) -> None:
        send_part(request, body)
        request.close_connection = True  # which the answer does not tell

    hub.behaviours["a"] = once
    one = client(hub.url)
    for _ in range(4):
        assert one.part(f"{hub.url}/org/name/resolve/{COMMIT}/a", 0, 10, 100)[0] == b"x" * 10
    assert (len(hub.log), hub.connections) == (4, 4)


def test_what_is_not_read_is_not_taken_for_the_next_answer(hub: FakeHub) -> None:
    hub.files = {"a": b"x" * 1_000_000, "b": b"y" * 100}
    one = client(hub.url)
    url = f"{hub.url}/org/name/resolve/{COMMIT}"
    with one.get(f"{url}/a", 1_000_000) as (_, pieces):
        assert next(pieces)[:1] == b"x"
    assert one.part(f"{url}/b", 0, 10, 100)[0] == b"y" * 10
    with (
        pytest.raises(HubError, match="more than the 10 bytes"),
        one.get(f"{url}/a", 10) as (_, pieces),
    ):
        list(pieces)
    assert one.part(f"{url}/b", 0, 10, 100)[0] == b"y" * 10
    assert hub.connections == 3


def test_what_nobody_asked_for_is_no_answer() -> None:
    """A host that says more than it was asked for would shift all answers on a kept connection."""
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n%s"
    heard = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(5)

        def serve() -> None:
            first, _ = server.accept()
            with first:
                first.recv(1 << 16)
                first.sendall(answer % b"good")
                heard.wait(10)
                first.sendall(answer % b"evil")
                heard.clear()
                second, _ = server.accept()
                with second:
                    second.recv(1 << 16)
                    second.sendall(answer % b"next")

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        connections = Connections()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        found = []
        for _ in range(2):
            with request(
                url, {}, seconds=10, idle=10, private=True, connections=connections
            ) as given:
                found.append(given.read())
            heard.set()
            while thread.is_alive() and heard.is_set():
                time.sleep(0.01)
        connections.close()
        thread.join(10)
    assert found == [b"good", b"next"]

from __future__ import annotations

import random
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from poisonscan.sources.hub.address import Address
from poisonscan.sources.hub.fetch import FIRST, LARGE, LAST, Copy, fetch
from poisonscan.sources.hub.parts import Parts
from poisonscan.sources.partial import BLOCK, holes
from tests.sources.hub.fake import (
    Behaviour,
    FakeHub,
    cut,
    nonsense,
    redirect,
    send,
    send_part,
    trickle,
    trickle_headers,
    with_status,
)

SIZE = 5 * LARGE + 12_345
BODY = random.Random(0).randbytes(SIZE)


def begun(
    hub: FakeHub, folder: Path, token: str = "", most: int | None = None
) -> tuple[Copy, Parts, dict[str, str]]:
    target = folder / "target"
    target.mkdir()
    environment = hub.environment(folder / "cache", token)
    copy = fetch(
        Address("model", "org/name"), target, environment, most=most, partly=True,
        client=hub.client(token),
    )  # fmt: skip
    parts = Parts(copy)
    return copy, parts, parts.begin()


def is_true(folder: Path, parts: Parts, path: str, body: bytes) -> bool:
    """Whether what is there is right, and what is not reads as zeros."""
    data = (folder / "target" / path).read_bytes()
    present = parts.present(path)
    if present is None:
        return data == body
    there = all(data[b:e] == body[b:e] for b, e in present)
    return there and not any(any(data[b:e]) for b, e in holes(len(body), present))


@pytest.fixture
def big(hub: FakeHub) -> FakeHub:
    hub.files, hub.lfs = {"big": BODY, "small": b"{}"}, {"big"}
    return hub


def test_only_what_is_asked_for_is_fetched(big: FakeHub, tmp_path: Path) -> None:
    copy, parts, failed = begun(big, tmp_path)
    assert (failed, copy.verified, copy.gaps) == ({}, {"small"}, [])
    last = (SIZE - LAST) // BLOCK * BLOCK
    assert parts.present("big") == ((0, FIRST), (last, SIZE))
    assert parts.more({"big": ((LARGE, LARGE + 10), (2 * LARGE + 5, 2 * LARGE + 6))}) == {}
    present = parts.present("big")
    assert present is not None
    assert len(present) == 4
    assert is_true(tmp_path, parts, "big", BODY)
    assert parts.fetched("big") == FIRST + SIZE - last + 2 * BLOCK
    assert len(big.elsewhere) == len(big.ranges) == 4
    # The address that the Hub leads to is asked again, not the Hub.
    assert sum("resolve" in path and "big" in path for path, _ in big.log) <= 2


def test_whoever_reads_on_gets_more_each_time(big: FakeHub, tmp_path: Path) -> None:
    _, parts, _ = begun(big, tmp_path)
    place, rounds = FIRST, 0
    while parts.present("big") is not None:
        assert parts.more({"big": ((place, place + 1),)}) == {}
        rounds += 1
        assert is_true(tmp_path, parts, "big", BODY)
        place = parts.present("big")[0][1] if parts.present("big") else 0  # type: ignore[index]
    assert rounds < 6


def test_what_is_needed_whole_is_verified(big: FakeHub, tmp_path: Path) -> None:
    copy, parts, _ = begun(big, tmp_path)
    assert parts.more({"big": ((LARGE, 4 * LARGE),)}) == {}
    assert parts.fetched("big") < SIZE / 2  # it may be but a search for what comes soon
    assert parts.more({"big": ((2 * LARGE, 5 * LARGE),)}, sure=True) == {}
    assert parts.present("big") is None
    assert copy.verified == {"big", "small"}
    assert is_true(tmp_path, parts, "big", BODY)


def ignored(request: BaseHTTPRequestHandler, body: bytes) -> None:
    send(request, 200, body)


def untagged(request: BaseHTTPRequestHandler, body: bytes) -> None:
    send_part(request, body, ETag="")


def another_tag_each_time() -> Behaviour:
    count = iter(range(1_000))
    return lambda request, body: send_part(request, body, ETag=f'"{next(count)}"')


def wrong_place(request: BaseHTTPRequestHandler, body: bytes) -> None:
    asked = bool(request.headers.get("Range"))
    changes = {"Content_Range": f"bytes 0-9/{len(body)}"} if asked else {}
    send_part(request, body, **changes)


def wrong_size(request: BaseHTTPRequestHandler, body: bytes) -> None:
    asked = request.headers.get("Range", "")
    changes = {"Content_Range": f"bytes {asked[6:]}/{len(body) + 1}"} if asked else {}
    send_part(request, body, **changes)


def refused(request: BaseHTTPRequestHandler, body: bytes) -> None:
    send(request, 416, b"") if request.headers.get("Range") else send(request, 200, body)


@pytest.mark.parametrize(
    "behaviour",
    [ignored, untagged, another_tag_each_time(), wrong_place, wrong_size, refused],
    ids=lambda one: one.__name__,
)
@pytest.mark.parametrize("place", ["big", "elsewhere/big"])
def test_a_server_that_gives_no_parts_gives_the_whole(
    big: FakeHub, tmp_path: Path, behaviour: Behaviour, place: str
) -> None:
    big.behaviours[place] = behaviour
    copy, parts, failed = begun(big, tmp_path)
    assert failed == {}
    assert (parts.present("big"), copy.verified) == (None, {"big", "small"})
    assert is_true(tmp_path, parts, "big", BODY)


def too_short(request: BaseHTTPRequestHandler, body: bytes) -> None:
    asked = request.headers["Range"]
    send(request, 206, b"short", Content_Range=f"bytes {asked[6:]}/{len(body)}", ETag='"x"')


def packed(request: BaseHTTPRequestHandler, body: bytes) -> None:
    send_part(request, body, Content_Encoding="gzip")


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (cut, "not fetched"),
        (too_short, "5 bytes came of a part of"),
        (packed, "an encoding that was not asked for"),
        (trickle, "too slow"),
        (trickle_headers, "too slow"),
        (nonsense, "cannot be read"),
        (with_status(429, Retry_After="86400"), "asks to wait for 86,400 seconds"),
        (with_status(503), "3 times"),
        (with_status(403), "private or gated"),
        (redirect("http://[::1"), "an address that is none"),
        (redirect("file:///etc/passwd"), "an address that is none"),
    ],
    ids=str.split("cut short packed trickle headers nonsense wait unavailable forbidden host file"),
)
def test_a_server_that_fails_costs_the_file(
    big: FakeHub, tmp_path: Path, behaviour: Behaviour, reason: str
) -> None:
    big.behaviours["elsewhere/big"] = behaviour
    began = time.monotonic()
    copy, parts, failed = begun(big, tmp_path)
    assert list(failed) == ["big"]
    assert reason in failed["big"]
    assert copy.verified == {"small"}
    assert parts.present("big") is None
    assert not (tmp_path / "target" / "big").exists()
    assert time.monotonic() - began < 20


def test_a_failure_in_the_middle_costs_the_file(big: FakeHub, tmp_path: Path) -> None:
    _, parts, failed = begun(big, tmp_path)
    assert failed == {}
    big.behaviours["elsewhere/big"] = with_status(500)
    (reason,) = parts.more({"big": ((LARGE, LARGE + 1),)}).values()
    assert "500" in reason
    assert not (tmp_path / "target" / "big").exists()


def test_other_content_in_the_middle_is_found_out(big: FakeHub, tmp_path: Path) -> None:
    copy, parts, _ = begun(big, tmp_path)
    big.behaviours["elsewhere/big"] = lambda request, body: send_part(
        request, body[::-1], ETag='"another"'
    )
    (reason,) = parts.more({"big": ((LARGE, LARGE + 1),)}).values()
    assert "its content is not what the Hub lists" in reason
    assert "big" not in copy.verified
    assert not (tmp_path / "target" / "big").exists()


def test_a_place_that_is_no_longer_signed_is_asked_for_again(big: FakeHub, tmp_path: Path) -> None:
    _, parts, _ = begun(big, tmp_path)
    asked = len(big.log)
    left = [403]
    big.behaviours["elsewhere/big"] = lambda request, body: (
        send(request, left.pop(), b"") if left else send_part(request, body)
    )
    assert parts.more({"big": ((LARGE, LARGE + 1),)}) == {}
    assert len(big.log) == asked + 1
    assert is_true(tmp_path, parts, "big", BODY)


def test_the_token_goes_to_the_hub_alone(big: FakeHub, tmp_path: Path) -> None:
    big.token = "hf_secret"
    _, parts, failed = begun(big, tmp_path, token="hf_secret")
    assert parts.more({"big": ((LARGE, LARGE + 1),)}) == failed == {}
    assert {header for _, header in big.log} == {"Bearer hf_secret"}
    assert len(big.elsewhere) == 3
    assert {header for _, header in big.elsewhere} == {""}


def test_an_own_network_is_closed_to_a_public_hub(
    big: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, parts, _ = begun(big, tmp_path)
    client = parts._place.client
    monkeypatch.setattr(client, "_private", False)
    (reason,) = parts.more({"big": ((LARGE, LARGE + 1),)}).values()
    assert "an address that is not public" in reason


def test_limits(big: FakeHub, tmp_path: Path) -> None:
    copy, parts, failed = begun(big, tmp_path, most=FIRST + LAST + BLOCK + 100_000)
    assert (failed, copy.gaps) == ({}, [])
    assert parts.more({"big": ((LARGE, LARGE + 1),)}) == {}
    (reason,) = parts.more({"big": ((3 * LARGE, 4 * LARGE),)}, sure=True).values()
    assert "--max-download is" in reason
    assert not (tmp_path / "target" / "big").exists()


def test_no_request_is_for_more_than_fits_into_memory(
    big: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("poisonscan.sources.hub.parts._PIECE", 4 * BLOCK)
    _, parts, _ = begun(big, tmp_path)
    assert parts.more({"big": ((LARGE, 2 * LARGE + 5),)}, sure=True) == {}
    assert parts.present("big") is not None
    assert is_true(tmp_path, parts, "big", BODY)
    asked = [tuple(map(int, text[6:].split("-"))) for text in big.ranges]
    assert max(last + 1 - first for first, last in asked) == 4 * BLOCK
    assert len(asked) == 2 + 9


def test_a_size_that_nobody_has_is_not_made(
    big: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("poisonscan.sources.hub.fetch.LARGEST", SIZE - 1)
    copy, parts, _ = begun(big, tmp_path, most=SIZE - 1)
    assert parts.present("big") is None
    assert "--max-download is" in copy.gaps[0].reason
    assert not (tmp_path / "target" / "big").exists()


def test_what_is_removed_is_not_read_as_zeros(big: FakeHub, tmp_path: Path) -> None:
    _, parts, _ = begun(big, tmp_path)
    fetched = parts.fetched("big")
    parts.remove(but=["big"])
    assert (tmp_path / "target" / "big").exists()
    parts.remove(but=())
    assert not (tmp_path / "target" / "big").exists()
    assert parts.fetched("big") == fetched > 0


def test_files_in_the_cache_are_taken_from_there(big: FakeHub, tmp_path: Path) -> None:
    import hashlib

    kept = tmp_path / "cache" / "models--org--name" / "blobs"
    kept.mkdir(parents=True)
    (kept / hashlib.sha256(BODY).hexdigest()).write_bytes(BODY)
    copy, parts, _ = begun(big, tmp_path)
    assert (copy.verified, parts.present("big"), big.elsewhere) == ({"big", "small"}, None, [])

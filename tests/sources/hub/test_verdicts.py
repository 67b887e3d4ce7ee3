from __future__ import annotations

import pytest

from poisonscan.origin import Verdict
from poisonscan.sources.hub.address import Address
from poisonscan.sources.hub.verdicts import list_verdicts
from tests.sources.hub.fake import COMMIT, FakeHub, nonsense, send, with_status

MODEL = Address("model", "org/name")


def test_all_engines_of_the_answer(hub: FakeHub) -> None:
    hub.files = {"a": b"", "b": b"", "c": b"", "d": b""}
    hub.page = 2
    hub.security = {
        "a": {
            "status": "unsafe",
            "avScan": {"status": "safe", "virusFound": False},
            "jFrogScan": {"status": "unsafe", "message": "it \x1b[31mruns code"},
            "newScan": {"status": "queued"},
        },
        "b": {"status": "unscanned", "avScan": None, "bad\x1bname": {"status": "safe"}},
        "c": {"avScan": {"status": "\x1b[2J"}, "other": [1]},
    }
    found, missing = list_verdicts(hub.client(), MODEL, COMMIT)
    assert missing == ""
    assert found == {
        "a": (
            Verdict("avScan", "safe"), Verdict("jFrogScan", "unsafe"),
            Verdict("newScan", "queued"), Verdict("status", "unsafe"),
        ),
        "b": (Verdict("status", "unscanned"),),
        "c": (Verdict("avScan", "unknown"),),
        "d": (),
    }  # fmt: skip


@pytest.mark.parametrize("behaviour", [with_status(500), with_status(404), nonsense,
                                       lambda request, _: send(request, 200, b"{"),
                                       lambda request, _: send(request, 200, b"{}")])  # fmt: skip
def test_that_they_cannot_be_asked_is_said(hub: FakeHub, behaviour: object) -> None:
    hub.files = {"a": b""}
    hub.behaviours["tree"] = behaviour  # type: ignore[assignment]
    found, missing = list_verdicts(hub.client(), MODEL, COMMIT)
    assert found == {}
    assert missing.startswith("could not be asked: ")


@pytest.mark.parametrize(("limit", "pages"), [("MOST_PAGES", 3), ("SECONDS", 0), ("MOST_FILES", 2)])
def test_so_many_pages_and_no_more(
    hub: FakeHub, monkeypatch: pytest.MonkeyPatch, limit: str, pages: int
) -> None:
    monkeypatch.setattr(f"poisonscan.sources.hub.verdicts.{limit}", pages or -1)
    hub.files = {f"{i:03}": b"" for i in range(6)}
    hub.page = 1
    found, missing = list_verdicts(hub.client(), MODEL, COMMIT)
    assert missing == f"were asked about the first {pages} files only"
    assert len(found) == len(hub.log) == pages


def test_all_pages_are_asked_for(hub: FakeHub) -> None:
    hub.files = {f"{i:03}": b"" for i in range(60)}
    hub.page = 1
    found, missing = list_verdicts(hub.client(), MODEL, COMMIT)
    assert (len(found), missing, len(hub.log), hub.connections) == (60, "", 60, 1)

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from poisonscan.finding import Gap
from poisonscan.sources.hub.address import Address
from poisonscan.sources.hub.errors import HubError, NoSuchRepository
from poisonscan.sources.hub.fetch import Copy, fetch
from tests.sources.hub.fake import (
    COMMIT,
    Behaviour,
    FakeHub,
    cut,
    git_digest,
    nonsense,
    redirect,
    send,
    trickle,
    trickle_headers,
    until_the_end,
    with_status,
)

MODEL = Address("model", "org/name")


def get(
    hub: FakeHub, folder: Path, address: Address = MODEL, token: str = "", most: int | None = None
) -> Copy:
    target = folder / "target"
    target.mkdir()
    environment = hub.environment(folder / "cache", token)
    return fetch(address, target, environment, most=most, client=hub.client(token))


def on_disk(folder: Path) -> dict[str, bytes]:
    root = folder / "target"
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file()
    }


@pytest.mark.parametrize("kind", ["model", "dataset"])
def test_all_files_are_fetched_at_the_commit(hub: FakeHub, tmp_path: Path, kind: str) -> None:
    hub.files = {"config.json": b"{}", "data/a b+c#é.csv": b"x,y\n", "empty": b"", "big": b"w" * 9}
    hub.lfs = {"big"}
    hub.page = 2
    told: list[tuple[int, int]] = []
    (tmp_path / "target").mkdir()
    copy = fetch(
        Address(kind, "org/name"), tmp_path / "target", hub.environment(tmp_path / "cache"),
        client=hub.client(), told=lambda done, total: told.append((done, total)),
    )  # fmt: skip
    assert on_disk(tmp_path) == hub.files
    assert copy.verified == set(hub.files)
    assert (copy.gaps, copy.listing.commit) == ([], COMMIT)
    assert told[-1] == (4, 4)
    asked = [path for path, _ in hub.log]
    assert sum("/revision/main" in path for path in asked) == 1
    assert all(COMMIT in path for path in asked[1:])


def test_the_commit_stays_when_the_branch_moves(hub: FakeHub, tmp_path: Path) -> None:
    hub.files = {"a": b"1"}

    def move(request: object, body: bytes) -> None:
        hub.revisions["main"] = "d" * 40
        send(request, 200, body)  # type: ignore[arg-type]

    hub.behaviours["revision"] = move
    assert get(hub, tmp_path).verified == {"a"}


def test_the_token_goes_to_the_hub_alone(hub: FakeHub, tmp_path: Path) -> None:
    hub.files, hub.lfs, hub.token = {"big": b"weights", "small": b"x"}, {"big"}, "hf_secret"
    assert get(hub, tmp_path, token="hf_secret").verified == {"big", "small"}
    assert {token for _, token in hub.log} == {"Bearer hf_secret"}
    assert [token for _, token in hub.elsewhere] == [""]


def _gap(copy: Copy) -> Gap:
    (gap,) = copy.gaps
    return gap


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (cut, "ends after 50 of 100 bytes, 3 times"),
        (lambda r, b: send(r, 200, b"X" + b[1:]), "its content is not what the Hub lists: sha256"),
        (lambda r, b: send(r, 200, b[:-1]), "99 bytes are announced, and the Hub lists 100"),
        (lambda r, b: send(r, 200, b + b"!"), "101 bytes are announced"),
        (lambda r, b: until_the_end(r, b[:-1]), "99 bytes came, and the Hub lists 100, 3 times"),
        (lambda r, b: until_the_end(r, b + b"!"), "more than the 100 bytes"),
        (lambda r, b: send(r, 200, b, Content_Encoding="gzip"), "encoding that was not asked for"),
        (trickle, "too slow"),
        (trickle_headers, "too slow"),
        (nonsense, "cannot be read"),
        (with_status(404), "it does not exist"),
        (with_status(403), "private or gated"),
        (with_status(500), "answers 500 (internal error), 3 times"),
        (with_status(429, Retry_After="86400"), "asks to wait for 86,400 seconds"),
        (with_status(418), "status 418"),
        (redirect("/org/name/resolve/main/bad"), "leads in circles"),
        (redirect("file:///etc/passwd"), "an address that is none"),
        (redirect("http://user:word@127.0.0.1/"), "an address that is none"),
        (redirect("http://[::1"), "an address that is none"),
        (redirect(""), "not followed"),
    ],
)  # fmt: skip
def test_what_goes_wrong_with_a_file_costs_that_file(
    hub: FakeHub, tmp_path: Path, behaviour: Behaviour, reason: str
) -> None:
    hub.files, hub.lfs = {"good": b"x", "bad": b"b" * 100}, {"bad"}
    hub.behaviours["bad"] = behaviour
    copy = get(hub, tmp_path)
    assert on_disk(tmp_path) == {"good": b"x"}
    assert copy.verified == {"good"}
    assert _gap(copy).path == "bad"
    assert reason in _gap(copy).reason


@pytest.mark.parametrize("status", [429, 503])
def test_what_passes_is_tried_again(hub: FakeHub, tmp_path: Path, status: int) -> None:
    hub.files = {"a": b"1"}
    for name in ("a", "revision", "tree"):
        hub.behaviours[name] = with_status(status, times=2, Retry_After="0")
    assert get(hub, tmp_path).verified == {"a"}


def test_a_small_file_must_have_the_hash_of_its_blob(hub: FakeHub, tmp_path: Path) -> None:
    hub.files = {"config.json": b"{}"}
    hub.behaviours["config.json"] = lambda request, _: send(request, 200, b"[]")
    assert "git-blob-sha1" in _gap(get(hub, tmp_path)).reason


HOSTILE = [
    "../outside", "/etc/outside", "a/../../outside", "a//b", ".", "a/./b", "a\\..\\b",
    "nul\x00byte", "archive.zip!/member", "\ud800", "x" * 300, "/".join("d" * 70),
]  # fmt: skip


def test_names_do_not_lead_out_of_the_folder(hub: FakeHub, tmp_path: Path) -> None:
    hub.files = {"good": b"x", **dict.fromkeys(HOSTILE, b"evil")}
    copy = get(hub, tmp_path)
    assert on_disk(tmp_path) == {"good": b"x"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["target"]
    assert {gap.path for gap in copy.gaps} == set(HOSTILE)
    assert not any("outside" in path for path, _ in hub.log)


def test_two_files_in_one_place_are_one_and_a_gap(hub: FakeHub, tmp_path: Path) -> None:
    hub.files = {"a": b"1", "a/b": b"22"}
    copy = get(hub, tmp_path)
    assert len(copy.verified) == len(copy.gaps) == 1


@pytest.mark.parametrize(
    ("listed", "reason"),
    [
        ({"oid": "../../x"}, "no hash"),
        ({"oid": None}, "no hash"),
        ({"lfs": {"oid": "f" * 40, "size": 1}}, "no hash"),
        ({"size": -1}, "does not say how large"),
        ({"size": True}, "does not say how large"),
        ({"size": "1"}, "does not say how large"),
        ({"path": 7}, "without a name"),
    ],
)
def test_lists_are_not_believed(
    hub: FakeHub, tmp_path: Path, listed: dict[str, object], reason: str
) -> None:
    hub.files, hub.listed = {"a": b"1", "b": b"2"}, {"a": listed}
    copy = get(hub, tmp_path)
    assert copy.verified == {"b"}
    assert reason in _gap(copy).reason


def test_small_files_come_before_the_limit(hub: FakeHub, tmp_path: Path) -> None:
    hub.files = {"large": b"x" * 100, "b": b"2" * 10, "c": b"3" * 20}
    copy = get(hub, tmp_path, most=50)
    assert copy.verified == {"b", "c"}
    assert _gap(copy) == Gap(
        "large", "not fetched: it has 100 bytes, and --max-download is 50 for all"
    )
    assert not any("large" in path for path, _ in hub.log)


@pytest.mark.parametrize(
    ("path", "files"), [("data", {"data/a", "data/b"}), ("data/a", {"data/a"})]
)
def test_a_part_of_a_repository(hub: FakeHub, tmp_path: Path, path: str, files: set[str]) -> None:
    hub.files = dict.fromkeys(["data/a", "data/b", "database", "x"], b"1")
    assert get(hub, tmp_path, Address("model", "org/name", "main", path)).verified == files


@pytest.mark.parametrize(
    ("address", "message"),
    [
        (Address("model", "org/other"), "'hf://org/other@main' cannot be read: it does not exist"),
        (Address("dataset", "org/name", "v9"), "'hf://datasets/org/name@v9' cannot be read"),
        (Address("model", "org/name", "main", "nowhere"), "holds no file or folder 'nowhere'"),
    ],
)
def test_what_is_not_there(hub: FakeHub, tmp_path: Path, address: Address, message: str) -> None:
    hub.files = {"a": b"1"}
    with pytest.raises(NoSuchRepository, match=message):
        get(hub, tmp_path, address)


@pytest.mark.parametrize(
    ("token", "advice"), [("", "set HF_TOKEN"), ("hf_other", "the token may not read it")]
)
def test_what_may_not_be_read(hub: FakeHub, tmp_path: Path, token: str, advice: str) -> None:
    hub.token = "hf_secret"
    with pytest.raises(NoSuchRepository, match=advice):
        get(hub, tmp_path, token=token)


def test_conditions_that_were_not_accepted(hub: FakeHub, tmp_path: Path) -> None:
    hub.behaviours["revision"] = with_status(403, X_Error_Code="GatedRepo")
    with pytest.raises(NoSuchRepository, match="gated: accept its conditions on its page: set HF_"):
        get(hub, tmp_path)


@pytest.mark.parametrize(
    ("name", "behaviour", "message"),
    [
        ("revision", lambda r, _: send(r, 200, b"<html>"), "no JSON"),
        ("revision", lambda r, _: send(r, 200, b"[" * 100_000), "no JSON"),
        ("revision", lambda r, _: send(r, 200, b'{"sha": "../x"}'), "which commit"),
        ("tree", lambda r, _: send(r, 200, b"{}"), "list of files is none"),
        ("tree", lambda r, _: send(r, 200, b"[]", Link='<http://e.org/>; rel="next"'), "another"),
        ("tree", trickle, "too slow"),
        ("revision", with_status(503), "503"),
        ("revision", nonsense, "cannot be read"),
    ],
)
def test_what_the_hub_must_answer(
    hub: FakeHub, tmp_path: Path, name: str, behaviour: Behaviour, message: str
) -> None:
    hub.files["a"] = b"1" * 200
    hub.behaviours[name] = behaviour
    with pytest.raises(HubError, match=message):
        get(hub, tmp_path)


def test_a_list_that_never_ends_ends(hub: FakeHub, tmp_path: Path) -> None:
    hub.behaviours["tree"] = lambda r, _: send(
        r, 200, b"[]", Link=f'<{hub.url}{r.path}>; rel="next"'
    )
    copy = get(hub, tmp_path)
    assert copy.verified == set()
    assert "goes in circles" in _gap(copy).reason


def test_nobody_answers(hub: FakeHub, tmp_path: Path) -> None:
    hub.url = "http://127.0.0.1:1"
    with pytest.raises(HubError, match=r"127\.0\.0\.1 cannot be read \(Connection refused\), 3"):
        get(hub, tmp_path)


def _cached(folder: Path, data: bytes, name: str, kind: str = "models") -> Path:
    kept = folder / "cache" / f"{kind}--org--name"
    (kept / "blobs").mkdir(parents=True, exist_ok=True)
    (kept / "refs").mkdir(exist_ok=True)
    (kept / "refs" / "main").write_text(COMMIT)
    blob = kept / "blobs" / hashlib.sha256(data).hexdigest()
    blob.write_bytes(data)
    link = kept / "snapshots" / COMMIT / name
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(blob)
    return blob


def test_what_is_in_the_cache_is_verified_and_not_fetched(hub: FakeHub, tmp_path: Path) -> None:
    hub.files, hub.lfs = {"big": b"weights", "too": b"other"}, {"big", "too"}
    _cached(tmp_path, b"weights", "big")
    _cached(tmp_path, b"other", "too").write_bytes(b"OTHER")
    # What is not fetched does not count for the limit of what is.
    copy = get(hub, tmp_path, most=len(b"other"))
    assert (copy.verified, copy.cached, copy.gaps) == ({"big", "too"}, {"big"}, [])
    assert on_disk(tmp_path) == hub.files
    assert [path.rpartition("/")[2] for path, _ in hub.elsewhere] == ["too"]


def test_what_a_loader_would_open_is_what_is_verified(hub: FakeHub, tmp_path: Path) -> None:
    hub.files, hub.lfs = {"big": b"weights"}, {"big"}
    blob = _cached(tmp_path, b"weights", "big")
    link = tmp_path / "cache" / "models--org--name" / "snapshots" / COMMIT / "big"
    link.unlink()
    link.write_bytes(b"WEIGHTS")
    copy = get(hub, tmp_path)
    assert (blob.read_bytes(), copy.verified, copy.cached) == (b"weights", {"big"}, set())


def offline(hub: FakeHub, folder: Path, address: Address = MODEL) -> Copy:
    environment = hub.environment(folder / "cache")
    (folder / "target").mkdir(exist_ok=True)
    return fetch(
        address, folder / "target", type(environment)(hub.url, "", environment.cache, offline=True)
    )


def test_offline_there_is_only_the_cache(hub: FakeHub, tmp_path: Path) -> None:
    _cached(tmp_path, b"weights", "folder/big")
    _cached(tmp_path, b"other", "changed").write_bytes(b"OTHER")
    copy = offline(hub, tmp_path)
    assert on_disk(tmp_path) == {"folder/big": b"weights"}
    assert {gap.path for gap in copy.gaps} == {".", "changed"}
    assert hub.log == []
    with pytest.raises(NoSuchRepository, match="HF_HUB_OFFLINE is set"):
        offline(hub, tmp_path, Address("dataset", "org/name"))


def keep(hub: FakeHub, folder: Path, address: Address = MODEL) -> Copy:
    (folder / "target").mkdir(exist_ok=True)
    shutil.rmtree(folder / "target")
    (folder / "target").mkdir()
    environment = hub.environment(folder / "cache")
    return fetch(address, folder / "target", environment, keep=True, client=hub.client())


def kept(folder: Path) -> dict[str, bytes]:
    """All that a loader finds, and nothing half done is left."""
    root = folder / "cache" / "models--org--name"
    assert not list(root.rglob("*.incomplete"))
    snapshot = root / "snapshots" / COMMIT
    return {p.relative_to(snapshot).as_posix(): p.read_bytes() for p in snapshot.rglob("*.*")}


def test_what_is_verified_is_kept_and_nothing_else(hub: FakeHub, tmp_path: Path) -> None:
    hub.files = {
        "a/big.bin": b"weights", "twin.bin": b"weights", "c.json": b"{}", "bad.json": b"true",
        "../out.json": b"1", "/etc/out.json": b"1", "a/../../out.json": b"1",
    }  # fmt: skip
    hub.lfs = {"a/big.bin", "twin.bin"}
    hub.behaviours["bad.json"] = lambda request, _: send(request, 200, b"null")
    copy = keep(hub, tmp_path)
    good = {"a/big.bin": b"weights", "twin.bin": b"weights", "c.json": b"{}"}
    assert (on_disk(tmp_path), kept(tmp_path)) == (good, good)
    assert copy.verified == set(good)
    root = tmp_path / "cache" / "models--org--name"
    blobs = {path.name for path in (root / "blobs").iterdir()}
    assert blobs == {hashlib.sha256(b"weights").hexdigest(), git_digest(b"{}")}
    link = root / "snapshots" / COMMIT / "a" / "big.bin"
    assert link.readlink() == Path("../../../blobs", hashlib.sha256(b"weights").hexdigest())
    assert {path.name for path in tmp_path.iterdir()} == {"cache", "target"}
    # Nothing is copied: the file that is scanned is the one that is kept.
    config = root / "snapshots" / COMMIT / "c.json"
    assert config.samefile(tmp_path / "target" / "c.json")
    # Without the file that differs, the commit is not what the branch was.
    (root / "refs" / "main").write_text("d" * 40)
    assert keep(hub, tmp_path).cached == set(good)
    assert (root / "refs" / "main").read_text() == "d" * 40
    del hub.behaviours["bad.json"]
    hub.files = {path: hub.files[path] for path in (*good, "bad.json")}
    assert keep(hub, tmp_path).gaps == []
    assert (root / "refs" / "main").read_text() == COMMIT
    assert kept(tmp_path) == hub.files


def test_what_is_wrong_in_the_cache_is_replaced(hub: FakeHub, tmp_path: Path) -> None:
    hub.files, hub.lfs = {"big.bin": b"weights", "too.bin": b"other"}, {"big.bin", "too.bin"}
    _cached(tmp_path, b"weights", "big.bin").write_bytes(b"WEIGHTS")
    _cached(tmp_path, b"other", "too.bin")
    link = tmp_path / "cache" / "models--org--name" / "snapshots" / COMMIT / "too.bin"
    link.unlink()
    link.symlink_to("../../elsewhere")
    assert keep(hub, tmp_path).verified == {"big.bin", "too.bin"}
    assert kept(tmp_path) == hub.files


def test_what_was_verified_is_not_replaced_by_what_was_not(hub: FakeHub, tmp_path: Path) -> None:
    hub.files, hub.lfs = {"big.bin": b"weights"}, {"big.bin"}
    _cached(tmp_path, b"weights", "big.bin").write_bytes(b"WEIGHTS")
    file = tmp_path / "cache" / "models--org--name" / "snapshots" / COMMIT / "big.bin"
    file.unlink()
    file.write_bytes(b"weights")  # as where there are no links, with a bad blob beside it
    assert keep(hub, tmp_path).cached == {"big.bin"}
    assert kept(tmp_path) == hub.files


def test_several_may_keep_the_same_at_once(hub: FakeHub, tmp_path: Path) -> None:
    hub.files = {f"{n}.bin": b"weights" * n for n in range(12)}
    hub.lfs = set(hub.files)

    def work(number: int) -> Copy:
        target = tmp_path / f"target{number}"
        target.mkdir()
        environment = hub.environment(tmp_path / "cache")
        return fetch(MODEL, target, environment, keep=True, client=hub.client())

    with ThreadPoolExecutor(4) as pool:
        copies = list(pool.map(work, range(4)))
    assert all(copy.verified == set(hub.files) and not copy.gaps for copy in copies)
    assert kept(tmp_path) == hub.files


def test_offline_what_was_kept_is_complete_or_what_lacks_is_named(
    hub: FakeHub, tmp_path: Path
) -> None:
    hub.files = {"a/big.bin": b"weights", "c.json": b"{}"}
    hub.lfs = {"a/big.bin"}
    keep(hub, tmp_path)
    asked = len(hub.log)
    shutil.rmtree(tmp_path / "target")
    copy = offline(hub, tmp_path)
    assert (copy.cached, copy.gaps) == (set(hub.files), [])
    root = tmp_path / "cache" / "models--org--name"
    (root / "snapshots" / COMMIT / "c.json").unlink()
    (root / "blobs" / git_digest(b"{}")).unlink()
    shutil.rmtree(tmp_path / "target")
    copy = offline(hub, tmp_path)
    assert copy.cached == {"a/big.bin"}
    assert _gap(copy) == Gap(
        "c.json", "not scanned: HF_HUB_OFFLINE is set: the cache does not hold it"
    )
    with pytest.raises(NoSuchRepository, match="holds no file or folder 'b'"):
        offline(hub, tmp_path, Address("model", "org/name", path="b"))
    assert len(hub.log) == asked


def test_a_cache_that_is_no_folder_is_told_at_once(hub: FakeHub, tmp_path: Path) -> None:
    hub.files = {"a.json": b"{}"}
    (tmp_path / "cache").write_bytes(b"")
    with pytest.raises(HubError, match="HF_HUB_CACHE names another folder"):
        keep(hub, tmp_path)


@pytest.mark.parametrize("lacking", ["link", "symlink", "both"])
def test_file_systems_without_links(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacking: str
) -> None:
    def none(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    if lacking != "symlink":
        monkeypatch.setattr(os, "link", none)
    if lacking != "link":
        monkeypatch.setattr(os, "symlink", none)
    hub.files = {"a/big.bin": b"weights", "c.json": b"{}"}
    hub.lfs = {"a/big.bin"}
    assert keep(hub, tmp_path).verified == set(hub.files)
    assert kept(tmp_path) == on_disk(tmp_path) == hub.files
    copy = keep(hub, tmp_path)
    assert (copy.cached, copy.gaps) == (set(hub.files), [])
    assert kept(tmp_path) == on_disk(tmp_path) == hub.files

"""Archives that lie: every loader's reading comes out, at a bounded cost."""

from __future__ import annotations

import bz2
import contextlib
import io
import random
import tarfile
import time
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures import archive_attacks as attacks
from fixtures import archives as ar
from fixtures.archives import Part
from fixtures.lying_zips import LYING_ZIPS
from poisonscan.finding import Gap
from poisonscan.formats.base import Archive, Artifact, Expansion, References
from poisonscan.formats.registry import identify
from poisonscan.limits import Budget, LimitReached, Limits
from poisonscan.sources.base import Blob

SECRET = b"\x80\x02X\x06\0\0\0secret."
PLAIN = b"\x80\x02X\x05\0\0\0plain."


def opened(data: bytes, name: str = "file.zip", **limits: int) -> list[Any]:
    """All that comes out, up to a limit."""
    blob = Blob(name, len(data), lambda: memoryview(data))
    budget, items = Budget(Limits(**limits)), []
    with contextlib.suppress(LimitReached):
        for format_ in identify(blob, blob.open()):
            for item in format_.open(blob, blob.open(), budget):
                assert isinstance(item, Blob | Artifact | Gap)
                items.append(item)
    return items


def contents(items: list[Any]) -> list[bytes]:
    return [bytes(item.open()) for item in items if isinstance(item, Blob)]


def kinds(items: list[Any]) -> set[str]:
    return {one.kind for item in items if isinstance(item, Archive) for one in item.anomalies}


def gaps(items: list[Any]) -> list[str]:
    return [item.reason for item in items if isinstance(item, Gap)]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("second-directory.pt", "second-directory"),
        ("directory-in-comment.pt", "second-directory"),
        ("directory-elsewhere.pt", "second-directory"),
        ("two-records-64.pt", "second-directory"),
        ("overlapping.zip", "overlap"),
        ("wrong-checksum.pt", "wrong-checksum"),
        ("flag-encrypted.pt", "encrypted"),
        ("flag-patch.pt", "odd-flags"),
        ("local-name.pt", "name-mismatch"),
        ("local-method.zip", "method-mismatch"),
        ("local-size.zip", "size-mismatch"),
        ("two-sizes.pt", "size-mismatch"),
        ("name-with-nul.zip", "name-cut"),
        ("path-drive.zip", "path-leaves-folder"),
        ("unicode-path.zip", "name-mismatch"),
        ("names-by-case.pt", "duplicate-name"),
        ("two-models.pt", "second-model"),
        ("not-listed.npz", "hidden-member"),
        ("gif-and-zip.pt", "bytes-in-front"),
        ("comment-cut.zip", "comment-cut"),
    ],
)
def test_each_lie_of_a_zip_has_its_name_and_hides_nothing(name: str, kind: str) -> None:
    items = opened(LYING_ZIPS[name](SECRET), name)
    assert kind in kinds(items)
    assert any(b"secret" in content for content in contents(items))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("concatenated.tar", "data-behind-end"),
        ("pax-size.tar", "two-sizes"),
        ("path-absolute.tar", "path-leaves-folder"),
        ("through-link.tar", "through-link"),
        ("through-hard-link.tar", "through-link"),
        ("device.tar", "device"),
        ("folder-with-content.tar", "content-of-no-file"),
        ("odd-number.tar", "odd-number"),
    ],
)
def test_each_lie_of_a_tar_has_its_name_and_hides_nothing(name: str, kind: str) -> None:
    items = opened(attacks.lying_tars(SECRET)[name], name)
    assert kind in kinds(items)
    assert any(b"secret" in content for content in contents(items))


def test_a_member_that_is_really_encrypted_is_a_gap() -> None:
    items = opened(ar.archive([Part("a", b"\x91" * 50, flags=1, crc=7)]))
    assert gaps(items) == ["is encrypted: not checked"]
    assert kinds(items) == set()


def test_an_empty_member_that_is_encrypted_is_no_lie() -> None:
    # As Windows tools write it, and modelscan's tests/data/password_protected.zip has it: only the
    # twelve bytes of the encryption's header, and no checksum anywhere in the archive.
    part = Part("test.txt", bytes(range(200, 212)), flags=1, packed=12, unpacked=0, crc=0)
    items = opened(ar.archive([part]))
    assert gaps(items) == ["is encrypted: not checked"]
    assert kinds(items) == set()


def test_a_pickle_behind_the_sizes_of_an_encrypted_member_is_read_all_the_same() -> None:
    part = Part("archive/data.pkl", SECRET, flags=1, unpacked=len(SECRET) - 12, crc=0)
    items = opened(ar.archive([part]), "model.pt")
    assert any(b"secret" in content for content in contents(items))


@pytest.mark.parametrize("method", [9, 98, 99, 1])
def test_methods_that_are_not_read_are_named(method: int) -> None:
    assert "is not read" in gaps(opened(ar.archive([Part("a", b"x", method=method)])))[0]


def test_links_that_leave_the_folder_are_references() -> None:
    link = 0o120777 << 16
    inside = [Part("d/a", b"../b", attributes=link)]
    assert not [i for i in opened(ar.archive(inside)) if isinstance(i, References)]
    for target in (b"/etc/passwd", b"../../b"):
        items = opened(ar.archive([Part("d/a", target, attributes=link)]))
        (found,) = [item for item in items if isinstance(item, References)]
        assert found.references[0].target == target.decode()
    tar = ar.tar_header(b"d/a", 0, b"2", b"../../b") + ar.TAR_END
    assert [item for item in opened(tar) if isinstance(item, References)]


def test_a_link_that_names_no_member_is_read_as_a_file() -> None:
    link = 0o120777 << 16
    setting = b'{"auto_map": {"AutoModel": "x--y.Z"}}'
    assert setting in contents(opened(ar.archive([Part("config.json", setting, attributes=link)])))
    pair = [Part("a", SECRET), Part("b", b"a", attributes=link)]
    assert contents(opened(ar.archive(pair))) == [SECRET]


def test_what_stands_in_front_of_damage_or_a_limit_is_kept() -> None:
    noise = random.Random(0).randbytes(1_000_000)
    packed = bytearray(bz2.compress(SECRET + noise))
    packed[-200] ^= 0xFF
    items = opened(bytes(packed), "a.bz2")
    assert contents(items)[0].startswith(SECRET)
    assert gaps(items)
    for data in (
        bz2.compress(SECRET + bytes(1 << 24)),
        ar.archive([Part("a", bz2.compress(SECRET + bytes(1 << 24)), b"", 12)]),
    ):
        assert contents(opened(data, "a.bz2", unpacked=1 << 20))[0].startswith(SECRET)


def test_an_archive_behind_a_picture_and_in_front_of_junk_is_read_where_its_name_says_so() -> None:
    data = b"GIF89a" + ar.archive([Part("a", SECRET)], bytes(20)) + b"junk"
    assert SECRET in contents(opened(data, "a.skops"))


def test_an_archive_in_the_stored_blocks_of_another_is_read_once() -> None:
    data = ar.gzipped(ar.archive([Part("a", SECRET)]))
    items = opened(data, "a.gz")
    assert not gaps(items)
    assert len(contents(items)) == 1


def test_expansion_is_measured() -> None:
    data = bz2.compress(bytes(1 << 20))
    (found,) = [item for item in opened(data, "a.bz2") if isinstance(item, Expansion)]
    assert (found.packed, found.unpacked) == (len(data), 1 << 20)


def test_overlapping_members_are_charged() -> None:
    body, directory = ar.members([Part("a", b"x" * 10_000)])
    many = b"".join(
        ar.members([Part(f"{n}", b"", packed=10_000 - n, unpacked=10_000 - n, at=0)])[1]
        for n in range(200)
    )
    end = ar.end_record(201, len(directory + many), len(body))
    items = opened(body + directory + many + end, unpacked=100_000)
    assert "overlap" in kinds(items)
    assert len(contents(items)) < 20


def _seconds(action: Callable[[], object]) -> float:
    start = time.process_time()
    action()
    return time.process_time() - start


def test_large_and_lying_directories_stay_fast() -> None:
    body, entry = ar.members([Part("a", b"x")])
    walks = [
        body + entry * 50_000 + ar.end_record(1, 46 * 50_000, len(body)),
        # Every end record leads into the middle of the same directory.
        body + entry * 20_000
        + b"".join(ar.end_record(1, 46, len(body) + 47 * n) for n in range(2_900)),
        body + entry + ar.end_record_64(1 << 63, len(entry), len(body))
        + ar.locator(len(body + entry)) + ar.end_record(0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF),
        ar.tar_member(b"a", b"x") + (b"ustar" * 100 + bytes(12)) * 20_000,
    ]  # fmt: skip
    for data in walks:
        assert _seconds(lambda data=data: opened(data)) < 10  # type: ignore[misc]


def zips() -> list[bytes]:
    found = [build(SECRET) for build in LYING_ZIPS.values()]
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2):
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w", method) as archive:
            archive.writestr("archive/data.pkl", SECRET)
            archive.writestr("archive/b", PLAIN * 9)
        found.append(out.getvalue())
    return found


def tars() -> list[bytes]:
    found = list(attacks.lying_tars(SECRET).values())
    for form in (tarfile.PAX_FORMAT, tarfile.GNU_FORMAT):
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w", format=form) as archive:
            for name in ("a", "b/" + "c" * 120):
                info = tarfile.TarInfo(name)
                info.size = len(SECRET)
                archive.addfile(info, io.BytesIO(SECRET))
        found.append(out.getvalue())
    return found


ZIPS, TARS = zips(), tars()
OTHERS = [
    *(data for name, data in attacks.runs_code().items() if name.startswith("containers/")),
    *attacks.runs_code_compressed().values(),
    *attacks.harmless().values(),
]


def changed(seed: bytes, draw: Callable[..., Any]) -> bytes:
    data = bytearray(seed)
    for _ in range(draw(st.integers(1, 5))):
        data[draw(st.integers(0, len(data) - 1))] = draw(st.integers(0, 255))
    return bytes(data[: draw(st.integers(max(len(data) * 3 // 4, 1), len(data)))])


@settings(max_examples=400)
@given(st.data())
def test_changed_archives_never_raise_and_never_grow(data: Any) -> None:
    cut = changed(data.draw(st.sampled_from(ZIPS + TARS + OTHERS)), data.draw)
    items = opened(cut, data.draw(st.sampled_from(["a", "a.zip"])), unpacked=1 << 20, members=200)
    assert sum(map(len, contents(items))) < 300 * (len(cut) + (2 << 20))


@settings(max_examples=300)
@given(st.data())
def test_what_zipfile_reads_is_among_what_comes_out(data: Any) -> None:
    cut = changed(data.draw(st.sampled_from(ZIPS)), data.draw)
    found = {}
    with contextlib.suppress(Exception), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(io.BytesIO(cut)) as archive:
            for info in archive.infolist():
                with contextlib.suppress(Exception):
                    found[info.filename] = archive.read(info)
    items = opened(cut, "a.zip")
    out = contents(items)
    for content in found.values():
        if b"secret" in content:
            assert any(content in one for one in out) or gaps(items)


@settings(max_examples=300)
@given(st.data())
def test_what_tarfile_reads_is_among_what_comes_out(data: Any) -> None:
    cut = changed(data.draw(st.sampled_from(TARS)), data.draw)
    found = []
    with (
        contextlib.suppress(Exception),
        tarfile.open(fileobj=io.BytesIO(cut), mode="r:") as archive,
    ):
        for _ in range(20):
            info = archive.next()
            if info is None:
                break
            file = archive.extractfile(info) if info.isreg() else None
            found.append(file.read(1 << 20) if file else b"")
    items = opened(cut, "a.tar")
    for content in found:
        if b"secret" in content:
            inside = any(content in one for one in contents(items))
            assert inside or gaps(items) or kinds(items)


@pytest.mark.parametrize("seed", OTHERS[::4])
def test_no_cut_of_an_archive_raises(seed: bytes) -> None:
    for end in range(1, min(len(seed), 2_000), 37):
        opened(seed[:end], "a.zip")

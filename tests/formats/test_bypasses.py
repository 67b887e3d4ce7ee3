"""Ways around a scanner through its containers: each would load, so each must be found."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import pickle
import random
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

import poisonscan

EVIL = b"cos\nsystem\n(S'true'\ntR."
NOISE = random.Random(0).randbytes(1_200_000)


def found(tmp_path: Path, name: str, data: bytes) -> set[str]:
    path = tmp_path / name
    path.write_bytes(data)
    return {finding.rule.id for finding in poisonscan.scan(path).findings}


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("before", [b"", NOISE])
def test_a_later_compressed_stream(
    tmp_path: Path, pack: Callable[[bytes], bytes], before: bytes
) -> None:
    data = pack(b"") + pack(pickle.dumps(before) + EVIL) + bytes(1_300_000)
    assert "PS101" in found(tmp_path, "model.pkl", data)
    data = pack(pickle.dumps(before)) + (b"" if pack is bz2.compress else bytes(512)) + pack(EVIL)
    assert "PS101" in found(tmp_path, "model.pkl", data)


def tarred(name: str, data: bytes, kind: bytes = tarfile.REGTYPE, **pax: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo(name)
        info.type, info.size, info.pax_headers = kind, len(data), pax
        archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def test_a_tar_member_of_unknown_type_is_unpacked_as_a_file(tmp_path: Path) -> None:
    assert "PS101" in found(tmp_path, "a.tar", tarred("model.pkl", EVIL, b"A"))


def test_a_pax_size_hides_nothing(tmp_path: Path) -> None:
    # The header says 1,536 bytes and the pax record before it 512: tarfile believes the record.
    hidden = bytes(512) + tarred("model.pkl", EVIL)[:1024]
    data = bytearray(tarred("first", hidden, comment="x", size="512"))
    with tarfile.open(fileobj=io.BytesIO(bytes(data))) as archive:
        assert "model.pkl" in archive.getnames()
    assert "PS101" in found(tmp_path, "a.tar", bytes(data))


def test_what_stands_behind_the_end_of_a_tar(tmp_path: Path) -> None:
    data = tarred("first", b"x") + bytes(2048) + tarred("model.pkl", EVIL)
    assert {"PS101", "PS203"} <= found(tmp_path, "a.tar", data)


@pytest.mark.parametrize("first", [b"K\x00", b"U\x02ab", b"X\x02\0\0\0ab", b"N", b"G" + bytes(8)])
@pytest.mark.parametrize("name", ["model.pt", "model.bin", "notes.txt", "model"])
def test_a_pickle_may_begin_with_any_opcode(tmp_path: Path, first: bytes, name: str) -> None:
    assert found(tmp_path, name, first + b"0" + EVIL) & {"PS101"}


def test_a_pickle_that_begins_like_a_gif(tmp_path: Path) -> None:
    # "G" pushes the eight bytes behind it as a float.
    assert "PS101" in found(tmp_path, "a.gif", b"GIF89a" + bytes(3) + b"0" + EVIL)


def test_a_zip_behind_anything(tmp_path: Path) -> None:
    import zipfile

    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("archive/data.pkl", EVIL)
        archive.comment = b"c" * 500
    for host in (b"text\n", pickle.dumps(1), b"\x89PNG\r\n\x1a\n" + bytes(50)):
        assert "PS101" in found(tmp_path, "a.bin", host + out.getvalue())


def test_one_bad_call_among_many_alike(tmp_path: Path) -> None:
    good = b"ccopyreg\n_reconstructor\n(ccollections\nOrderedDict\ncbuiltins\nobject\nNtR0"
    bad = b"ccopyreg\n_reconstructor\n(cbuiltins\nstr\n)Rcbuiltins\nobject\nNtR0"
    assert found(tmp_path, "a.pkl", b"\x80\x02" + good * 100 + b"N.") == set()
    assert "PS103" in found(tmp_path, "b.pkl", b"\x80\x02" + good * 100 + bad + b"N.")


def test_a_foreign_persistent_id_behind_honest_ones(tmp_path: Path) -> None:
    storage = b"(S'storage'\nctorch\nFloatStorage\nS'0'\nS'cpu'\nK\x04tQ0"
    assert "PS105" not in found(tmp_path, "a.pkl", b"\x80\x02" + storage * 50 + b"N.")
    assert "PS105" in found(tmp_path, "b.pkl", b"\x80\x02" + storage * 50 + b"S'x'\nQ0N.")


def test_deep_and_shared_values_cost_little_and_hide_nothing(tmp_path: Path) -> None:
    deep = b"\x80\x02" + EVIL[:-1] + b"0" + b")" + b"\x85" * 5_000 + b"."
    assert "PS101" in found(tmp_path, "a.pkl", deep)
    shared = b"\x80\x02" + EVIL[:-1] + b"0)" + b"2\x86" * 200 + b"."
    assert "PS101" in found(tmp_path, "b.pkl", shared)


def test_a_safetensors_length_that_looks_like_a_pickle(tmp_path: Path) -> None:
    header = b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}'.ljust(0x280)
    assert found(tmp_path, "a.safetensors", struct.pack("<Q", 0x280) + header) == set()

"""What hides in safetensors and tables, and what their first bytes may be mistaken for."""

from __future__ import annotations

import gzip
import io
import random
import struct
import tarfile
from pathlib import Path

import pytest

import poisonscan
from fixtures import arrow_files as made
from fixtures import containers as box
from fixtures import opcodes as op
from fixtures.files import safetensors
from poisonscan.finding import Gap
from poisonscan.formats.base import Settings, Template
from poisonscan.formats.registry import identify
from poisonscan.formats.smuggled import in_metadata
from poisonscan.limits import Budget
from poisonscan.sources.base import Blob

EVIL = op.pickle_of(op.system(), 2)


def found(path: Path, kind: str = "all") -> set[str]:
    report = poisonscan.scan(path, kind=kind)  # type: ignore[arg-type]
    return {finding.rule.id for finding in report.findings}


@pytest.mark.parametrize(
    "length",
    # zlib (three window sizes), gzip, a picture, TIFF, an ID3 tag, compress, MXNet, R
    [376, 40056, 55928, 0x088B1F, 0xFFD8FF, 0x2A4949, 0x334449, 0xE9D1F, 274, 0x20A58],
)
def test_a_header_length_is_not_taken_for_magic_bytes(length: int) -> None:
    entry = b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}'
    data = struct.pack("<Q", length) + entry.ljust(length) + bytes(4)
    source = Blob("model.safetensors", len(data), lambda: memoryview(data))
    assert identify(source, memoryview(data))[0].name == "safetensors"


def test_a_tar_archive_that_is_safetensors_too(tmp_path: Path) -> None:
    """The first member's name is the header: torch.load takes the archive, others the tensors."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        info = tarfile.TarInfo("data.pkl")
        info.size = len(EVIL)
        archive.addfile(info, io.BytesIO(EVIL))
    data = bytearray(buffer.getvalue())
    name = struct.pack("<Q", 80) + b'{"__metadata__":{"a":"b"}}'.ljust(80)
    data[:100] = name.ljust(100, b"\0")
    data[148:156] = b" " * 8
    data[148:156] = b"%06o\0 " % sum(data[:512])
    (tmp_path / "model.pt").write_bytes(data)
    assert "PS101" in found(tmp_path)


def test_templates_and_configurations_in_metadata_are_judged_as_such() -> None:
    source = Blob("a.safetensors", 0, lambda: memoryview(b""))
    metadata = {
        "tokenizer.chat_template": "{{ x }}",
        "config": '{"auto_map": {"AutoModel": "m.M"}}',
        "broken": '{"auto_map": ',
    }
    template, settings = in_metadata(source, metadata, Budget())
    assert template == Template("a.safetensors", "{{ x }}", "__metadata__.tokenizer.chat_template")
    assert isinstance(settings, Settings)


@pytest.mark.parametrize("name", ["a.pyd", "a.pickle", "a.pkl", "a.pth", "a.npz", "a.pyd.gz", "a"])
def test_members_of_a_webdataset_that_loaders_unpickle(name: str, tmp_path: Path) -> None:
    """``webdataset.autodecode`` decodes by the member's suffix; .pyd and .pickle are unpickled."""
    data = {
        "a.pth": box.torch_zip(box.state_dict(op.system()), {"0": box.floats(4)}),
        "a.npz": box.zip_file([box.Member("x.npy", box.npy("|O", (1,), EVIL))]),
        "a.pyd.gz": gzip.compress(EVIL),
    }.get(name, EVIL)
    with tarfile.open(tmp_path / "train-000.tar", "w") as archive:
        for member, content in (("a.txt", b"a sentence\n"), ("a.cls", b"1"), (name, data)):
            info = tarfile.TarInfo(member)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    assert "PS101" in found(tmp_path, "dataset")


@pytest.mark.parametrize("name", ["cache.pkl", "cache.pickle", "cache", "train.parquet", "x.csv"])
def test_a_pickle_among_the_files_of_a_dataset(name: str, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("text,label\ngood,1\nbad,0\n", "utf-8")
    (tmp_path / name).write_bytes(EVIL)
    assert "PS101" in found(tmp_path, "dataset")


def test_a_table_inside_an_archive_is_looked_at_too(tmp_path: Path) -> None:
    schema = made.schema([made.column("x", {made.NAME: made.PICKLED.encode(), made.DATA: EVIL})])
    (tmp_path / "a.zip").write_bytes(
        box.zip_file([box.Member("t.parquet", made.with_schema(schema))])
    )
    (tmp_path / "a.arrow.gz").write_bytes(gzip.compress(made.arrow_file(schema)))
    for name in ("a.zip", "a.arrow.gz"):
        assert {"PS101", "PS113"} <= found(tmp_path / name)


def test_what_of_a_schema_could_not_be_read_is_told_with_datasets_as_well(tmp_path: Path) -> None:
    objects = {made.NAME: b"ray.data.arrow_pickled_object", made.DATA: b""}
    (tmp_path / "t.parquet").write_bytes(made.with_schema(made.schema([made.column("x", objects)])))
    for kind in ("all", "dataset"):
        report = poisonscan.scan(tmp_path, kind=kind)
        assert any(isinstance(g, Gap) and "holds pickles" in g.reason for g in report.gaps)


def test_random_byte_tensors_are_no_pickles(tmp_path: Path) -> None:
    dice = random.Random(5)
    header, data = {}, b""
    for index in range(4000):
        content = b"\x80" + bytes([dice.randrange(6)]) + dice.randbytes(60)
        offsets = [len(data), len(data) + len(content)]
        header[f"q{index}"] = {"dtype": "U8", "shape": [len(content)], "data_offsets": offsets}
        data += content
    (tmp_path / "m.safetensors").write_bytes(safetensors(header, data))
    report = poisonscan.scan(tmp_path)
    assert [finding.message for finding in report.findings] == []
    assert report.gaps == []

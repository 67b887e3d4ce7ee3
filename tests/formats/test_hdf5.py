"""HDF5: what is found in files, and that no damage or lie gets out of hand."""

from __future__ import annotations

import io
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from fixtures.hdf5_files import written
from poisonscan.finding import Gap
from poisonscan.formats.base import References, Settings, Structure
from poisonscan.formats.hdf5 import Hdf5
from poisonscan.formats.registry import identify
from poisonscan.limits import Budget, Limits
from poisonscan.sources.base import Blob

PICKLE = pickle.dumps({"a": [1, 2]}, 2)


def blob(data: bytes, name: str = "file.h5") -> Blob:
    return Blob(name, len(data), lambda: memoryview(data))


def read(data: bytes, name: str = "file.h5", limits: Limits | None = None) -> list[Any]:
    return list(Hdf5().open(blob(data, name), memoryview(data), Budget(limits or Limits())))


def of(kind: type, items: list[Any]) -> list[Any]:
    return [item for item in items if isinstance(item, kind)]


def members(fill: Callable[[Any], None]) -> list[str]:
    items = read(written(fill))
    assert of(Gap, items) == []
    return [item.path for item in of(Blob, items)]


def test_it_is_known_by_its_signature_also_behind_a_user_block() -> None:
    def fill(file: Any) -> None:
        file["x"] = 1

    for options in ({}, {"userblock_size": 512}, {"userblock_size": 8192}):
        data = written(fill, **options)
        assert [f.name for f in identify(blob(data), memoryview(data))] == ["HDF5"]


def test_what_stands_in_front_of_the_file_is_scanned_as_well() -> None:
    def fill(file: Any) -> None:
        file["x"] = 1

    data = bytearray(written(fill, userblock_size=512))
    attack = b"cos\nsystem\n(S'true'\ntR."
    data[: len(attack)] = attack
    names = [f.name for f in identify(blob(bytes(data)), memoryview(bytes(data)))]
    assert names == ["HDF5", "pickle"]


def test_pickles_are_members() -> None:
    def attribute(file: Any) -> None:
        file.create_group("g").attrs["a"] = np.void(PICKLE)

    def fixed_text(file: Any) -> None:
        file.attrs.create("a", np.bytes_(PICKLE), dtype=f"S{len(PICKLE) + 9}")

    def opaque(file: Any) -> None:
        file["a"] = np.void(PICKLE)

    def vlen(file: Any) -> None:
        file.create_dataset("a", (300,), h5py.vlen_dtype(np.uint8))[250] = np.frombuffer(
            PICKLE, "u1"
        )

    def signed(file: Any) -> None:
        file["a"] = np.frombuffer(PICKLE, "i1")

    def text(file: Any) -> None:
        file["a"] = [b"no pickle", pickle.dumps([1], 0)]

    expected = {"file.h5!/a", "file.h5!/g/a", "file.h5!/a[1]"}
    for fill in (attribute, fixed_text, opaque, vlen, signed, text):
        assert set(members(fill)) & expected, fill.__name__


def test_numbers_and_texts_are_no_members() -> None:
    def fill(file: Any) -> None:
        file["images"] = np.full((4, 8, 8), 128, "u1")
        file["labels"] = np.arange(256).astype("u1")
        file["names"] = ["one.", "two."]
        file["table"] = np.zeros(2, [("a", "i4"), ("b", "S4")])
        file["flags"] = np.array([True, False])
        file["nothing"] = h5py.Empty("f4")
        file["reference"] = file["images"].ref
        file.attrs["title"] = "A file of images."
        file.attrs["numbers"] = np.arange(40)
        file.attrs["names"] = ["a", "b"]

    assert members(fill) == []


def test_links_are_not_followed_out_of_the_file() -> None:
    def fill(file: Any) -> None:
        file["out"] = h5py.ExternalLink("/etc/other.h5", "/x")
        file["dangling"] = h5py.SoftLink("/not/there")
        file["ext"] = file.create_dataset("d", (9,), "u1", external=[("/etc/hostname", 0, 9)])
        layout = h5py.VirtualLayout((4,), "f4")
        layout[:2] = h5py.VirtualSource("/data/a.h5", "w", (2,))
        layout[2:] = h5py.VirtualSource(".", "own", (2,))
        file.create_virtual_dataset("v", layout)

    (references,) = of(References, read(written(fill)))
    assert sorted(r.target for r in references.references) == [
        "/data/a.h5",
        "/etc/hostname",
        "/etc/other.h5",
    ]


def test_a_loop_of_links_ends() -> None:
    def fill(file: Any) -> None:
        file["a/b/c"] = 1
        file["a/b/up"] = file["a"]
        file["a/root"] = file["/"]

    assert of(Gap, read(written(fill))) == []


def test_deep_groups_are_cut_and_told() -> None:
    def fill(file: Any) -> None:
        group = file
        for _ in range(400):
            group = group.create_group("g")

    reasons = [gap.reason for gap in of(Gap, read(written(fill)))]
    assert reasons == ["groups are nested more than 256 deep"]


def test_many_objects_reach_the_limit_and_what_was_found_stays() -> None:
    def fill(file: Any) -> None:
        file.attrs["a"] = np.void(PICKLE)
        for number in range(300):
            file.create_group(f"g{number}")

    items = read(written(fill), limits=Limits(members=100))
    assert "limit reached" in of(Gap, items)[0].reason
    assert [item.path for item in of(Blob, items)] == ["file.h5!/a"]


def test_keras_attributes_become_settings() -> None:
    def fill(file: Any) -> None:
        file.attrs["keras_version"] = "2.15.0"
        file.attrs["model_config"] = '{"class_name": "Sequential", "config": []}'
        file.attrs["training_config"] = '{"loss": "mse"}'

    documents = {item.path: item.document for item in of(Settings, read(written(fill)))}
    assert documents == {
        "file.h5!/keras_version": {"keras_version": "2.15.0"},
        "file.h5!/model_config": {"class_name": "Sequential", "config": []},
        "file.h5!/training_config": {"loss": "mse"},
    }


@pytest.mark.parametrize("value", ["{", "not JSON", "[" * 100_000, 5])
def test_a_configuration_that_cannot_be_read_is_a_gap(value: object) -> None:
    def fill(file: Any) -> None:
        file.attrs["model_config"] = value

    assert of(Gap, read(written(fill, libver="latest")))


def test_a_huge_shape_is_broken_only_in_weights() -> None:
    def fill(file: Any) -> None:
        file.create_dataset("d", (1 << 20, 1 << 20), "f4", chunks=(1024, 1024))

    assert of(Structure, read(written(fill))) == []
    (structure,) = of(Structure, read(written(fill), "model.weights.h5"))
    assert [anomaly.kind for anomaly in structure.anomalies] == ["shape-bomb"]


def test_a_large_chunk_is_not_unpacked() -> None:
    def fill(file: Any) -> None:
        data = file.create_dataset("d", (1 << 28,), "u1", chunks=(1 << 28,), compression="gzip")
        data.id.write_direct_chunk((0,), b"x")

    assert "is not unpacked" in of(Gap, read(written(fill)))[0].reason


@pytest.fixture(scope="module")
def sample() -> bytes:
    def fill(file: Any) -> None:
        file.attrs["model_config"] = '{"class_name": "Sequential", "config": []}'
        file["g/opaque"] = np.void(PICKLE)
        file["g/bytes"] = np.frombuffer(PICKLE, "u1")
        file["out"] = h5py.ExternalLink("/etc/other.h5", "/x")
        file.create_dataset("gz", data=np.zeros(500, "u1"), chunks=(50,), compression="gzip")
        file["names"] = ["a", "b"]

    return written(fill)


def test_a_file_that_is_cut_short_is_a_gap(sample: bytes) -> None:
    for length in range(8, len(sample) - 1, 97):
        assert of(Gap, read(sample[:length])), length


def test_random_bytes_are_a_gap() -> None:
    for data in (b"\x89HDF\r\n\x1a\n", b"\x89HDF\r\n\x1a\n" + bytes(range(256)) * 8, b""):
        assert of(Gap, read(data))


CHANGED = """
import random, resource, sys
from pathlib import Path
from tests.formats.test_hdf5 import read

resource.setrlimit(resource.RLIMIT_CPU, (9, 9))
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
sample, seed = Path(sys.argv[1]).read_bytes(), random.Random(int(sys.argv[2]))
for _ in range(60):
    changed = bytearray(sample)
    for _ in range(seed.randint(1, 8)):
        new = seed.choice([b"\\xff", b"\\0", b"\\xff" * 4, b"\\0\\0\\0\\x80", b"\\xff" * 8])
        position = seed.randrange(8, len(sample) - 9)
        changed[position : position + len(new)] = new
    read(bytes(changed))
"""


@pytest.mark.parametrize("seed", range(2))
def test_changed_bytes_raise_nothing(sample: bytes, seed: int, tmp_path: Path) -> None:
    """The HDF5 library itself may crash or spin: it runs in a process that a scan can lose."""
    file = tmp_path / "sample.h5"
    file.write_bytes(sample)
    result = subprocess.run(
        [sys.executable, "-c", CHANGED, str(file), str(seed)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert result.returncode <= 0, result.stderr[-2000:]
    assert "Traceback" not in result.stderr


def test_the_library_reads_through_a_view_only(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object) -> object:
        raise AssertionError(arguments)

    data = written(lambda file: file.create_dataset("x", data=np.arange(5)))
    monkeypatch.setattr(io, "open", refuse)
    assert of(Gap, read(data)) == []

"""Networks that users bring, run by onnxruntime."""

from __future__ import annotations

import hashlib
import io
import os
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

import poisonscan
from poisonscan import OwnModel
from poisonscan.datasets.errors import OptionError
from poisonscan.datasets.network import Network
from poisonscan.datasets.network_onnx import OnnxRunner
from tests.datasets.networks import WEIGHTS, network, odd_network

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

onnxruntime = pytest.importorskip("onnxruntime", reason="without the extra, no network is run")

PICTURES = np.random.default_rng(0).integers(0, 256, (70, 8, 8, 3), dtype=np.uint8)
MEANS = PICTURES.mean(axis=(1, 2)) / 255


def _png(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def _open(model: OwnModel) -> Network:
    network = Network.open(model, {"pictures": ()})
    assert network is not None
    return network


def _vectors(model: OwnModel, pictures: np.ndarray = PICTURES) -> np.ndarray:
    return _open(model).vectors([_png(picture) for picture in pictures])


def test_outputs_and_inner_layers(tmp_path: Path) -> None:
    """Also of a network for one picture at a time."""
    for batch in ("n", 1):
        file = network(tmp_path / "net.onnx", batch=batch)
        assert np.allclose(_vectors(OwnModel(file)), MEANS @ WEIGHTS, atol=1e-6)
        assert np.allclose(_vectors(OwnModel(file, "y")), MEANS @ WEIGHTS, atol=1e-6)
        assert np.allclose(_vectors(OwnModel(file, "means")), MEANS, atol=1e-6)


def test_normalisation_is_as_stated(tmp_path: Path) -> None:
    file = network(tmp_path / "net.onnx")
    own = OwnModel(file, "means", mean=(0.5, 0.25, 0.0), std=(0.5,))
    assert np.allclose(_vectors(own), (MEANS - [0.5, 0.25, 0.0]) / 0.5, atol=1e-5)
    assert _open(own).source == (
        "layer 'means' of 'net.onnx' (3 numbers), given 8x8 colour, mean 0.5 0.25 0, deviation 0.5,"
        " on cpu"
    )


def test_pictures_are_scaled(tmp_path: Path) -> None:
    model = OwnModel(network(tmp_path / "net.onnx", side="s"), "means", size=(4, 6))
    assert "given 6x4 colour" in _open(model).source
    flat = np.full((1, 20, 30, 3), 51, np.uint8)
    assert np.allclose(_vectors(model, flat), 0.2, atol=1e-6)


def test_what_does_not_decode_has_no_vector(tmp_path: Path) -> None:
    found = _open(OwnModel(network(tmp_path / "net.onnx"))).vectors(
        [_png(PICTURES[0]), b"no picture", "why there is none", _png(PICTURES[1])]
    )
    assert np.isnan(found[1:3]).all()
    assert np.allclose(found[[0, 3]], (MEANS @ WEIGHTS)[:2], atol=1e-6)


def test_what_is_refused(tmp_path: Path) -> None:
    file = network(tmp_path / "net.onnx")
    for own, reason in [
        (OwnModel(file, "nothing"), "layer 'nothing' cannot be loaded"),
        (OwnModel(file, "w" * 9_000), "cannot be loaded"),
        (OwnModel(file, size=(9, 8)), "takes pictures of 8x8"),
        (OwnModel(file, mean=(1.0, 2.0)), "mean is to be one number or 3"),
        (OwnModel(file, std=(0.0,)), "more than 0"),
        (OwnModel(network(tmp_path / "any.onnx", side="s")), "does not say what size"),
        (OwnModel(network(tmp_path / "bad.onnx", operator=("Nonsense", ""))), "cannot be loaded"),
        (OwnModel(str(tmp_path / "none.onnx")), "cannot be loaded"),
        (OwnModel(file, device="tpu"), "no device; there are auto, cpu, cuda"),
    ]:
        with pytest.raises(OptionError, match=reason):
            _open(own)


def test_every_row_has_numbers_of_its_own(tmp_path: Path) -> None:
    """Not those of another picture, or of none, though numpy would spread them over all."""
    file = odd_network(tmp_path / "odd.onnx")
    assert np.allclose(_vectors(OwnModel(file, "one")), MEANS, atol=1e-6)
    with pytest.raises(OptionError, match=r"gives 3 different rows the same numbers.*--layer"):
        _open(OwnModel(file, "fixed"))


def test_the_same_number_of_vectors_as_of_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def first(_self: OnnxRunner, values: np.ndarray, _device: str) -> np.ndarray:
        return values[:1].reshape(1, -1)

    monkeypatch.setattr(OnnxRunner, "run", first)
    with pytest.raises(OptionError, match=r"shape \(1, 192\) for 2 rows; one of shape \(2, 192\)"):
        _open(OwnModel(network(tmp_path / "net.onnx")))


def _folder(path: Path) -> Path:
    for number, picture in enumerate(PICTURES[:60]):
        below = path / ("cat" if number % 2 else "dog")
        below.mkdir(parents=True, exist_ok=True)
        (below / f"{number}.png").write_bytes(_png(picture))
    return path


def test_a_scan_says_what_it_looked_with(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "pictures")
    file = network(tmp_path / "net.onnx")
    report = poisonscan.scan(folder, model=OwnModel(file, "means"), jobs=1)
    (scanned,) = report.scanned
    assert str(scanned.facts["features"]).startswith("layer 'means' of 'net.onnx' (3 numbers)")
    assert report.complete


def test_a_model_with_findings_is_not_run(tmp_path: Path) -> None:
    folder = _folder(tmp_path / "pictures")
    file = network(tmp_path / "net.onnx", operator=("PyOp", "ai.onnx.contrib"))
    with pytest.raises(poisonscan.TargetError, match=r"not used: PS1\d\d"):
        poisonscan.scan(folder, model=OwnModel(file))
    (tmp_path / "text.onnx").write_text("no model")
    with pytest.raises(poisonscan.TargetError, match="could not be checked"):
        poisonscan.scan(folder, model=OwnModel(str(tmp_path / "text.onnx")))
    with pytest.raises(poisonscan.TargetError, match="does not exist"):
        poisonscan.scan(folder, model=OwnModel(str(tmp_path / "none.onnx")))


def test_rows_without_pictures_cannot_be_looked_at(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("text,label\n" + "some words,a\nother words,b\n" * 20)
    with pytest.raises(poisonscan.TargetError, match="there are none"):
        poisonscan.scan(tmp_path / "t.csv", model=OwnModel(network(tmp_path / "net.onnx")))


def test_a_device_that_cannot_be_used_is_an_error_unless_it_is_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where onnxruntime says that it has one, and does not."""
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("there is such a device")
    file = network(tmp_path / "net.onnx")
    for has in (["CPUExecutionProvider"], ["CUDAExecutionProvider", "CPUExecutionProvider"]):
        monkeypatch.setattr("onnxruntime.get_available_providers", lambda has=has: has)
        with pytest.raises(OptionError, match=r"cuda cannot be used: .*--device cpu"):
            _open(OwnModel(file, device="cuda"))
        assert _open(OwnModel(file)).device == "cpu"


def _kept(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.npy"))


def _count(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Pictures that a network is run on, from now on."""
    counted: list[int] = []
    run = Network.run

    def counting(self: Network, batch: np.ndarray) -> np.ndarray:
        counted.append(len(batch))
        return run(self, batch)

    monkeypatch.setattr(Network, "run", counting)
    return counted


def test_vectors_are_kept_and_taken_for_the_same_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, folder = network(tmp_path / "net.onnx"), tmp_path / "kept"
    own = OwnModel(file, "means", cache=str(folder))
    found, counted = _vectors(own), _count(monkeypatch)
    assert np.array_equal(_vectors(own), found)
    assert counted == [1, 2]  # the trials of the network
    others = PICTURES.copy()
    others[3, 0, 0, 0] ^= 1
    asks: tuple[Callable[[], object], ...] = (
        lambda: _vectors(own, others),
        lambda: _vectors(own, PICTURES[:9]),
        lambda: _vectors(OwnModel(file, cache=str(folder))),
        lambda: _vectors(OwnModel(file, "means", std=(0.5,), cache=str(folder))),
    )
    for asked in asks:
        counted.clear()
        asked()
        assert sum(counted) > 3
    assert len(_kept(folder)) == 5


@pytest.mark.parametrize("damage", ["bit", "cut", "longer", "empty", "object", "shape", "moved"])
def test_what_is_damaged_is_computed_again(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "kept"
    own = OwnModel(network(tmp_path / "net.onnx"), "means", cache=str(folder))
    found = _vectors(own)
    (entry,) = _kept(folder)
    whole = entry.read_bytes()
    forged = io.BytesIO()
    if damage == "object":
        np.save(forged, np.array([{"a": 1}], object), allow_pickle=True)
    else:
        np.save(forged, np.zeros((70, 4), np.float32))
    seal = hashlib.sha256(entry.stem.encode() + forged.getvalue()).digest()
    bad = {
        "bit": whole[:300] + bytes([whole[300] ^ 1]) + whole[301:],
        "cut": whole[:-40],
        "longer": whole + b"x",
        "empty": b"",
        "object": forged.getvalue() + seal,
        "shape": forged.getvalue() + seal,
    }
    if damage == "moved":  # to where others belong
        _vectors(own, PICTURES[::-1])
        (other,) = set(_kept(folder)) - {entry}
        entry.write_bytes(other.read_bytes())
    else:
        entry.write_bytes(bad[damage])
    assert np.array_equal(_vectors(own), found)
    assert entry.read_bytes() == whole


def test_a_scan_from_kept_vectors_finds_the_same(tmp_path: Path) -> None:
    pictures = _folder(tmp_path / "pictures")
    own = OwnModel(network(tmp_path / "net.onnx"), "means", cache=str(tmp_path / "kept"))
    first, second = (poisonscan.scan(pictures, model=own, jobs=1) for _ in range(2))
    assert first.findings == second.findings
    assert [entry.facts for entry in first.scanned] == [entry.facts for entry in second.scanned]
    assert _kept(tmp_path / "kept")


def test_folders_that_cannot_be_trusted_or_used_are_refused(tmp_path: Path) -> None:
    file = network(tmp_path / "net.onnx")
    (tmp_path / "file").touch()
    with pytest.raises(OptionError, match="cannot be used"):
        _open(OwnModel(file, cache=str(tmp_path / "file")))
    if hasattr(os, "geteuid"):
        (tmp_path / "open").mkdir()
        (tmp_path / "open").chmod(0o777)
        with pytest.raises(OptionError, match="others can write to it"):
            _open(OwnModel(file, cache=str(tmp_path / "open")))


def test_a_network_of_several_files_is_not_kept(tmp_path: Path) -> None:
    file = network(tmp_path / "net.onnx", side="location")
    with pytest.raises(OptionError, match="tensors in other files"):
        _open(OwnModel(file, size=(8, 8), cache=str(tmp_path / "kept")))

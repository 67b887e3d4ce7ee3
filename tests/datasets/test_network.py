"""Networks that users bring, run by onnxruntime."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

import poisonscan
from poisonscan import OwnModel
from poisonscan.datasets.errors import OptionError
from poisonscan.datasets.network import Network
from tests.datasets.networks import WEIGHTS, network

if TYPE_CHECKING:
    from pathlib import Path

pytest.importorskip("onnxruntime", reason="without the extra, no network is run")

PICTURES = np.random.default_rng(0).integers(0, 256, (70, 8, 8, 3), dtype=np.uint8)
MEANS = PICTURES.mean(axis=(1, 2)) / 255


def _png(picture: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG")
    return buffer.getvalue()


def _vectors(model: OwnModel, pictures: np.ndarray = PICTURES) -> np.ndarray:
    return Network.open(model, ()).vectors([_png(picture) for picture in pictures])


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
    assert Network.open(own, ()).source == (
        "layer 'means' of 'net.onnx' (3 numbers), given 8x8 colour, mean 0.5 0.25 0, deviation 0.5"
    )


def test_pictures_are_scaled(tmp_path: Path) -> None:
    model = OwnModel(network(tmp_path / "net.onnx", side="s"), "means", size=(4, 6))
    assert Network.open(model, ()).size == (4, 6)
    flat = np.full((1, 20, 30, 3), 51, np.uint8)
    assert np.allclose(_vectors(model, flat), 0.2, atol=1e-6)


def test_what_does_not_decode_has_no_vector(tmp_path: Path) -> None:
    found = Network.open(OwnModel(network(tmp_path / "net.onnx")), ()).vectors(
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
    ]:
        with pytest.raises(OptionError, match=reason):
            Network.open(own, ())


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
    with pytest.raises(poisonscan.TargetError, match="is no file"):
        poisonscan.scan(folder, model=OwnModel(str(tmp_path / "none.onnx")))


def test_rows_without_pictures_cannot_be_looked_at(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("text,label\n" + "some words,a\nother words,b\n" * 20)
    with pytest.raises(poisonscan.TargetError, match="there are none"):
        poisonscan.scan(tmp_path / "t.csv", model=OwnModel(network(tmp_path / "net.onnx")))

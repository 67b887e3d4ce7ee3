"""Options about a network of the user's own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from poisonscan.cli import cli
from tests.datasets.networks import network

if TYPE_CHECKING:
    from pathlib import Path


def _run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


@pytest.fixture
def picture(tmp_path: Path) -> str:
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "a.png")
    return str(tmp_path / "a.png")


def test_the_report_says_which_layer_was_read_and_how(tmp_path: Path, picture: str) -> None:
    pytest.importorskip("onnxruntime", reason="without the extra, no network is run")
    model = network(tmp_path / "net.onnx")
    given = ("--model", model, "--layer", "means", "--model-mean", "0.5,0.4,0.3")
    result = _run("dataset", picture, *given, "--model-std", "0.2", "-j1", "-o", "json")
    (scanned,) = json.loads(result.output)["scanned"]
    assert scanned["facts"]["features"].endswith(
        "8x8 colour, mean 0.5 0.4 0.3, deviation 0.2, on cpu"
    )


def test_what_is_wrong_is_said(tmp_path: Path, picture: str) -> None:
    model = network(tmp_path / "net.onnx")
    for wrong, reason in [
        (("--layer", "means"), "say something about a --model"),
        (("--cache", "kept"), "say something about a --model"),
        (("--model", model, "--device", "tpu"), "'auto', 'cpu', 'cuda'"),
        (("--model", model, "--model-size", "32"), "width by height"),
        (("--model", model, "--model-std", "a,b"), "one number, or one for each channel"),
        (("--model", picture), "is not used"),
        (("--model", str(tmp_path / "none")), "does not exist"),
    ]:
        result = _run("dataset", picture, *wrong)
        assert result.exit_code == 2
        assert reason in " ".join(result.output.split())

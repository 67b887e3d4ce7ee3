"""Folders of transformers: what is read of them, and which are refused, without torch."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from poisonscan.datasets.errors import OptionError
from poisonscan.datasets.model_folder import MAX_DEPTH, ModelFolder

if TYPE_CHECKING:
    from pathlib import Path

CONFIG: dict[str, Any] = {"model_type": "bert", "pad_token_id": 0}
_OWN = "sentence_transformers.models"
MODULES = [
    {"path": "", "type": f"{_OWN}.Transformer"},
    {"path": "1_Pooling", "type": f"{_OWN}.Pooling"},
]


def write(folder: Path, name: str, value: object) -> None:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(value))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, "config.json", CONFIG)
    write(tmp_path, "tokenizer.json", {})
    save_file({"a": np.zeros(3, np.float32)}, tmp_path / "model.safetensors")
    return tmp_path


def test_what_is_used_of_a_folder(folder: Path) -> None:
    write(folder, "tokenizer_config.json", {"model_max_length": 128})
    write(folder, "preprocessor_config.json", {"image_mean": [0.5]})
    found = ModelFolder.open(str(folder))
    assert found.weights == ("model.safetensors",)
    assert (found.tokens, found.pooling, found.normalized) == (128, "mean", False)
    assert found.pictures == {"image_mean": [0.5]}
    assert found.tokenizer_file == "tokenizer.json"


def test_settings_that_choose_code_are_not_handed_on(folder: Path) -> None:
    own = {"_attn_implementation": "org/kernel", "experts_implementation": "x", "_name_or_path": ""}
    write(folder, "config.json", {**CONFIG, **own, "vision_config": {**own, "kernel_size": 3}})
    assert ModelFolder.open(str(folder)).config == {**CONFIG, "vision_config": {"kernel_size": 3}}


def test_the_digest_names_every_file_that_is_used_and_no_other(folder: Path) -> None:
    write(folder, "modules.json", MODULES)
    write(folder, "1_Pooling/config.json", {"pooling_mode": "mean"})
    write(folder, "preprocessor_config.json", {})
    before = ModelFolder.open(str(folder)).digest()
    write(folder, "README.json", {})
    assert ModelFolder.open(str(folder)).digest() == before
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "README.json":
            content = path.read_bytes()
            path.write_bytes(content + b" ")
            assert ModelFolder.open(str(folder)).digest() != before, path
            path.write_bytes(content)


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("config.json", {**CONFIG, "auto_map": {"AutoModel": "a.B"}}, "code of its own"),
        ("config.json", {"text_config": [{"auto_map": {"x": "y"}}]}, "code of its own"),
        ("config.json", {**CONFIG, "quantization_config": {"bits": 4}}, "is quantized"),
        ("config.json", {**CONFIG, "transformers_weights": "x.bin"}, "another file of weights"),
        ("config.json", {"backbone_config": {"use_pretrained_backbone": True}}, "be fetched"),
        ("config.json", [], "is no object"),
        ("tokenizer_config.json", 3, "is no object"),
    ],
)
def test_what_is_not_supported_is_refused(
    folder: Path, name: str, value: object, reason: str
) -> None:
    write(folder, name, value)
    with pytest.raises(OptionError, match=reason):
        ModelFolder.open(str(folder))


def test_settings_that_cannot_be_read_are_refused(folder: Path) -> None:
    deep = '{"a":' * (MAX_DEPTH + 2) + "1" + "}" * (MAX_DEPTH + 2)
    for text, reason in [("{", "is no JSON"), ("[" * 100_000, "is no JSON"), (deep, "too deep")]:
        (folder / "config.json").write_text(text)
        with pytest.raises(OptionError, match=reason):
            ModelFolder.open(str(folder))
    (folder / "config.json").unlink()
    with pytest.raises(OptionError, match=r"holds no config\.json"):
        ModelFolder.open(str(folder))


def test_weights_are_in_safetensors_of_the_folder_itself(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    (folder / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(OptionError, match=r"pickles, are not loaded.*safe_serialization"):
        ModelFolder.open(str(folder))
    index = "model.safetensors.index.json"
    write(folder, index, {"weight_map": {"a": "model-1.safetensors"}})
    assert ModelFolder.open(str(folder)).weights == ("model-1.safetensors",)
    (folder.parent / "outside.safetensors").write_bytes(b"")
    for name in ("../outside.safetensors", "pytorch_model.bin", "model-2.safetensors"):
        write(folder, index, {"weight_map": {"a": name}})
        with pytest.raises(OptionError, match="names files that are not there"):
            ModelFolder.open(str(folder))


@pytest.mark.parametrize(
    ("settings", "pooling"),
    [
        ({"pooling_mode": "mean"}, "mean"),
        ({"pooling_mode": ["cls"]}, "cls"),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": False}, "mean"),
        ({"pooling_mode_cls_token": True}, "cls"),
        ({"pooling_mode": "max"}, ""),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True}, ""),
        ({}, ""),
    ],
)
def test_pooling_of_sentence_transformers(
    folder: Path, settings: dict[str, Any], pooling: str
) -> None:
    write(folder, "modules.json", [*MODULES, {"path": "2", "type": f"{_OWN}.Normalize"}])
    write(folder, "1_Pooling/config.json", settings)
    if pooling:
        found = ModelFolder.open(str(folder))
        assert (found.pooling, found.normalized) == (pooling, True)
    else:
        with pytest.raises(OptionError, match="the mean and the first token are supported"):
            ModelFolder.open(str(folder))


def test_modules_that_are_not_known_are_refused(folder: Path) -> None:
    write(folder, "1_Pooling/config.json", {"pooling_mode": "mean"})
    dense = {"path": "2", "type": f"{_OWN}.Dense"}
    foreign = {"path": "", "type": "mine.Transformer"}
    astray = {"path": "..", "type": f"{_OWN}.Transformer"}
    unscanned = [{"path": "node_modules", "type": f"{_OWN}.Transformer"}, MODULES[1]]
    wrong: list[object] = [[*MODULES, dense], [foreign], [astray], unscanned, MODULES[:1], {}, [3]]
    for modules in wrong:
        write(folder, "modules.json", modules)
        with pytest.raises(OptionError, match=r"are known|is made of"):
            ModelFolder.open(str(folder))


def test_the_network_may_stand_in_a_folder_of_its_own(folder: Path) -> None:
    """As sentence-transformers wrote it before version 2."""
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (folder / "0_Transformer").mkdir(exist_ok=True)
        (folder / name).rename(folder / "0_Transformer" / name)
    write(folder, "modules.json", [{**MODULES[0], "path": "0_Transformer"}, MODULES[1]])
    write(folder, "1_Pooling/config.json", {"pooling_mode": "mean"})
    found = ModelFolder.open(str(folder))
    assert found.weights == ("0_Transformer/model.safetensors",)
    assert found.tokenizer_file == "0_Transformer/tokenizer.json"

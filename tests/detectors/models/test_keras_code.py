"""What is said about Keras documents: code, functions and classes by their names."""

from __future__ import annotations

from typing import Any

import pytest

from fixtures import keras_models as keras
from poisonscan.detectors.models.keras_code import DETECTOR
from poisonscan.detectors.models.keras_verdicts import (
    RUNS,
    UNKNOWN,
    judge,
    judge_tensorflow,
    keras_names,
)
from poisonscan.formats.base import Settings


def found(document: Any, kind: str = "keras") -> list[tuple[str, str]]:
    return [(f.rule.id, f.key) for f in DETECTOR.check(Settings("config.json", kind, document))]


def verdict(module: str | None, name: str) -> str | None:
    judged = judge(module, name)
    return judged.kind if judged else None


def test_code_is_named() -> None:
    (finding,) = DETECTOR.check(Settings("c", "keras", keras.model(keras.coded())))
    assert finding.rule.id == "PS109"
    assert "config.layers[1]" in finding.message
    assert "os, system" in finding.message


def test_settings_of_other_programs_are_left_alone() -> None:
    assert found(keras.model(keras.coded()), "transformers") == []


@pytest.mark.parametrize(
    "value",
    [
        {"class_name": "Lambda", "config": {}},
        {"class_name": "Lambda", "config": None},
        {"class_name": "Lambda", "config": {"function": [keras.CODE, None, None]}},
        {"class_name": "Anything", "config": {"f": keras.CODE}, "module": "keras.layers"},
        {"mode": "x", "mode_type": "lambda"},
        [[{"a": {"class_name": "__lambda__"}}]],
        [keras.CODE],
    ],
)
def test_code_is_found_in_every_form(value: Any) -> None:
    assert "PS109" in {rule for rule, _ in found({"config": value})}


@pytest.mark.parametrize(
    "value",
    [
        None, 5, "Lambda", [], {}, {"class_name": None, "config": None}, {"class_name": ["x"]},
        {"class_name": {"a": 1}, "config": 3}, {"module": 5, "class_name": "Dense"},
        {"class_name": "function", "config": None, "module": "keras"}, {1: 2},
        {"class_name": "TFOpLambda", "config": {"function": None}},
        {"class_name": "", "config": ""},
    ],
)  # fmt: skip
def test_odd_documents_raise_nothing(value: Any) -> None:
    found(value)
    found({"config": [value]})


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("keras.layers", "Dense"),
        ("keras.src.models.functional", "Functional"),
        ("tf_keras.src.engine.functional", "Functional"),
        ("keras.src.ops.numpy", "Add"),
        ("keras.ops", "relu"),
        ("keras", "Sequential"),
        ("keras", "DTypePolicy"),
        ("builtins", "mean_squared_error"),
        ("keras.optimizers.schedules", "ExponentialDecay"),
        ("keras_hub.src.models.bert.bert_backbone", "BertBackbone"),
        ("tensorflow.python.keras.layers.core", "Dense"),
        ("tensorflow.python.framework.tensor_spec", "TensorSpec"),
        (None, "Convolution2D"),
        (None, "Custom>Adam"),
        (None, "relu"),
        (None, "__tensor__"),
        (None, "TensorShape"),
    ],
)
def test_names_of_keras_are_quiet(module: str | None, name: str) -> None:
    assert verdict(module, name) is None


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("subprocess", "Popen"),
        ("builtins", "exec"),
        ("builtins", "eval"),
        ("sys", "anything"),
        ("shutil", "rmtree"),
        ("keras.utils", "get_file"),
        ("keras.src.utils.file_utils", "get_file"),
        ("keras", "utils.get_file"),
        ("keras.config", "enable_unsafe_deserialization"),
        ("keras.saving", "load_model"),
        ("keras.models", "load_model"),
        ("keras.models", "clone_model"),
        ("keras.preprocessing.image", "save_img"),
        ("keras.layers", "TFSMLayer"),
        ("keras.export", "TFSMLayer"),
        (None, "TorchModuleWrapper"),
        ("tensorflow.io", "write_file"),
        ("tensorflow.python.ops.io_ops", "read_file"),
        ("tensorflow", "py_function"),
    ],
)
def test_names_that_act_are_critical(module: str | None, name: str) -> None:
    assert verdict(module, name) == RUNS


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("mine.layers", "Dense"),
        ("keras_.layers", "Dense"),
        ("__main__", "Mine"),
        ("builtins", "my_loss"),
        ("keras.layers", "OfALaterVersion"),
        (None, "Mine"),
        (None, "mine>Dense"),
        (None, "Custom>Dense"),
        ("tensorflow", "Module"),
    ],
)
def test_other_names_are_unknown(module: str | None, name: str) -> None:
    assert verdict(module, name) == UNKNOWN


def test_operations_of_tensorflow() -> None:
    for symbol in (
        "math.add", "nn.relu", "reshape", "__operators__.getitem", "image.resize", "io.decode_jpeg",
        "compat.v1.transpose", "strings.lower", "AddV2", "cast", "linalg.matmul",
    ):  # fmt: skip
        assert judge_tensorflow(symbol) is None, symbol
    for symbol in (
        "io.write_file", "io.read_file", "compat.v1.io.gfile.remove", "py_function", "WriteFile",
        "numpy_function", "load_op_library", "raw_ops.ReadFile", "saved_model.load", "PyFunc",
        "data.experimental.save", "train.load_checkpoint", "keras.utils.get_file",

    ):  # fmt: skip
        judged = judge_tensorflow(symbol)
        assert judged is not None and judged.kind == RUNS, symbol


def test_the_list_holds_no_function_that_acts() -> None:
    assert not keras_names().functions & {
        "get_file", "load_model", "load_img", "save_img", "deserialize", "get", "model_from_json",
    }  # fmt: skip
    assert len(keras_names().classes) > 1500

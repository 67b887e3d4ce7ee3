"""Detectors of skops, TorchServe, torch's code, R and Torch7: what they report and what not."""

from __future__ import annotations

import pytest

from fixtures import r_files, skops_files, torch_code_files
from poisonscan.detectors.models.mar_handler import DETECTOR as MAR
from poisonscan.detectors.models.r_code import DETECTOR as R_CODE
from poisonscan.detectors.models.skops_types import DETECTOR as SKOPS
from poisonscan.detectors.models.torch7_code import DETECTOR as TORCH7
from poisonscan.detectors.models.torch_code import DETECTOR as TORCH
from poisonscan.finding import Finding, Gap, Json
from poisonscan.formats.base import Anomaly, Graph, Operator, Script, Settings
from poisonscan.formats.serialized import Serialized


def script(code: str) -> list[str]:
    artifact = Script("m.pt!/m/code/__torch__.py", "torchscript", code)
    return [f.key if isinstance(f, Finding) else "gap" for f in TORCH.check(artifact)]


def skops(node: object) -> list[tuple[str, str]]:
    artifact = Settings("m.skops!/schema.json", "skops", node)  # type: ignore[arg-type]
    return [(f.rule.id, f.message) for f in SKOPS.check(artifact)]


@pytest.mark.parametrize(
    "code",
    [
        'torch.from_file("x", False, 1)',
        'torch\n  .\n  save(x, "y")',
        "g = ops.aten.save",
        'getattr(torch, "save")',
        "torch.classes.dist_rpc.WorkerInfo",
    ],
)
def test_operators_that_act_are_found_however_they_are_written(code: str) -> None:
    assert script(code)


@pytest.mark.parametrize(
    "code",
    [
        "torch.relu(x)",
        'x = "torch.save(y)"',
        "# torch.save(y)",
        "mytorch.save(x)",
        "self.torch.save(x)",
        "(x ^ f(y))",
        "torch.classes.quantized.LinearPackedParamsBase",
        "ops.torchvision.nms(x)",
    ],
)
def test_code_that_computes_is_quiet(code: str) -> None:
    assert script(code) == []


def test_operators_of_unknown_libraries_are_a_gap() -> None:
    (gap,) = TORCH.check(Script("m", "torchscript", "return ops.mylib.f(x)"))
    assert isinstance(gap, Gap)
    assert "mylib" in gap.reason


def test_python_and_other_graphs_are_left_to_others() -> None:
    assert list(TORCH.check(Script("m.py", "python", "torch.save(x)"))) == []
    graph = Graph("m.onnx", "ONNX", (Operator("aten", "save"),))
    assert list(TORCH.check(graph)) == []


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("s0 + 1", False),
        ("Symbol('s31', positive=True, integer=True)", False),
        ("Max(1, s0//2) + 0.5", False),
        ("__import__('os')", True),
        ("open('x')", True),
        ("Symbol('x').subs", True),
        ("exec ('x')", True),
    ],
)
def test_expressions_are_arithmetic(expression: str, found: bool) -> None:
    graph = Graph("m.pt2", "torch export", (Operator("expression", expression),))
    assert bool(list(TORCH.check(graph))) is found


def test_each_type_of_a_skops_file_is_told_once() -> None:
    node = {"__class__": "Net", "__module__": "mine", "__loader__": "ObjectNode"}
    assert [rule for rule, _ in skops([node, node, {"a": [node]}])] == ["PS120"]


def test_what_skops_shows_must_be_what_it_uses() -> None:
    node = {"__class__": "LinearRegression", "__module__": "sklearn.linear_model._base"}
    ((rule, message),) = skops({**node, "__loader__": "OperatorFuncNode"})
    assert rule == "PS121"
    assert "another type" in message


@pytest.mark.parametrize("odd", [None, 1, [], {}, {"__loader__": None}, {"__loader__": ["x"]}])
def test_odd_skops_documents_raise_nothing(odd: object) -> None:
    skops(odd)


@pytest.mark.parametrize("odd", [None, 1, [], {}, {"model": 1}, {"model": {"handler": 3}}])
def test_odd_manifests_raise_nothing(odd: object) -> None:
    list(MAR.check(Settings("m", "mar", odd)))  # type: ignore[arg-type]


def test_settings_of_others_are_left_alone() -> None:
    document: Json = {"model": {"handler": "h.py"}, "__loader__": "x"}
    assert list(MAR.check(Settings("m", "keras", document))) == []
    assert list(SKOPS.check(Settings("m", "keras", document))) == []


def test_streams_are_judged_by_their_own_rule() -> None:
    act = (Anomaly("function", "a function", 4),)
    (found,) = TORCH7.check(Serialized("m.t7", "Torch7", act, None))
    assert found.rule.id == "PS125"
    assert list(R_CODE.check(Serialized("m.t7", "Torch7", act, None))) == []
    (found,) = R_CODE.check(Serialized("m.rds", "R data", act, 10))
    assert found.rule.id == "PS124"


def test_there_are_many_samples() -> None:
    groups = (
        skops_files.unknown_type(), skops_files.runs_code(), skops_files.archive_handlers(),
        torch_code_files.acts(), torch_code_files.torch7(), r_files.runs_code(),
    )  # fmt: skip
    assert sum(len(bad) for bad, _ in groups) >= 50
    assert all(bad for bad, _ in groups)
    assert all(good for _, good in groups)

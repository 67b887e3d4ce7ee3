"""What configurations name, and whose code it is."""

from __future__ import annotations

import pytest

from poisonscan.detectors.models import config_code, config_foreign
from poisonscan.detectors.models.config_names import Origin, origin, places
from poisonscan.finding import Finding, Json
from poisonscan.formats import settings_yaml
from poisonscan.formats.base import Settings
from poisonscan.formats.settings_yaml import YamlSettings


def own(document: Json, kind: str = "transformers") -> list[Finding]:
    return list(config_code.DETECTOR.check(Settings("config.json", kind, document)))


def foreign(document: Json, kind: str = "transformers") -> list[Finding]:
    return list(config_foreign.DETECTOR.check(Settings("config.json", kind, document)))


def yaml(text: str, kind: str = "yaml") -> YamlSettings:
    read = settings_yaml.parse(text)
    return YamlSettings("a.yaml", kind, read.content, read.tags)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("torch.nn.Linear", Origin.KNOWN),
        ("torch.load", Origin.EVIL),
        ("os.system", Origin.EVIL),
        ("builtins.exec", Origin.EVIL),
        ("pydoc.locate", Origin.EVIL),
        ("nemo.core.subprocess.Popen", Origin.EVIL),
        ("transformers.utils.os.system", Origin.EVIL),
        ("lightning.pytorch.loggers.CSVLogger", Origin.KNOWN),
        ("src.models.Net", Origin.UNKNOWN),
        ("torchlike.nn.Linear", Origin.UNKNOWN),
        ("os_utils.Net", Origin.UNKNOWN),
    ],
)
def test_whose_code_a_name_is(name: str, expected: Origin) -> None:
    assert origin(name)[0] is expected


def test_places_are_found_without_recursion() -> None:
    deep: Json = "x"
    for _ in range(2_000):
        deep = [deep]
    assert [place.value for place in places(deep)][-1] == "x"
    assert [p.where for p in places({"a": [{"b": 1}]})] == ["", "a", "a.0", "a.0.b"]


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_a_class_map_is_found_at_any_depth(depth: int) -> None:
    document: Json = {"auto_map": {"AutoModel": "modeling_x.X"}}
    for level in range(depth):
        document = {f"level_{level}": document}
    (finding,) = own(document)
    assert finding.rule.id == "PS106"
    assert foreign(document) == []


def test_a_class_map_to_another_repository_is_foreign() -> None:
    document: Json = {"auto_map": {"AutoModel": "a/b--modeling_x.X", "AutoConfig": "config_x.X"}}
    (finding,) = foreign(document)
    assert finding.rule.id == "PS107"
    assert "'a/b'" in finding.message
    assert len(own(document)) == 1


@pytest.mark.parametrize(
    "name",
    ["eager", "sdpa", "flash_attention_2", "paged|sdpa", "flex_attention", "my_attention", ""],
)
def test_attention_by_name_is_quiet(name: str) -> None:
    assert own({"_attn_implementation": name}) == foreign({"_attn_implementation": name}) == []


@pytest.mark.parametrize("name", ["a/b", "a/b@main", "a/b:function", "paged|a/b@v1:f", " a/b "])
@pytest.mark.parametrize("key", ["_attn_implementation_internal", "attn_implementation"])
def test_attention_by_repository_is_foreign(key: str, name: str) -> None:
    assert len(foreign({"text_config": {key: name}})) == 1
    assert len(foreign({key: {"": "sdpa", "text_config": name}})) == 1


def test_trust_is_foreign_only_where_it_needs_no_permission() -> None:
    assert (len(own({"trust_remote_code": True})), foreign({"trust_remote_code": True})) == (1, [])
    assert len(foreign({"model_type": "lightglue", "trust_remote_code": True})) == 1
    assert len(foreign({"detector_config": {"trust_remote_code": True}})) == 1
    assert own({"trust_remote_code": False}) == []
    assert own({"dataset_kwargs": {"trust_remote_code": True}}, "yaml") == []


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("a: !!python/object/apply:os.system ['true']", "PS107"),
        ("a: !!python/name:torch.nn.ReLU", "PS106"),
        ("a: !!python/object:my.Thing {}", "PS107"),
        ("a: !!python/tuple [1]", ""),
        ("a: !apply:os.system ['true']", "PS107"),
        ("a: !new:mine.Net {}", "PS106"),
        ("a: !new:torch.nn.Linear {}", ""),
        ("a: {_target_: torch.optim.Adam}", ""),
        ("a: {_target_: torch.hub.load}", "PS107"),
        ("a: {target: mine.Net}", ""),
        ("a: &x {_target_: os.system}\nb: *x", "PS107 PS107"),
    ],
)
def test_names_in_yaml(text: str, rules: str) -> None:
    detectors = (config_code.DETECTOR, config_foreign.DETECTOR)
    found = [f.rule.id for d in detectors for f in d.check(yaml(text + "\n"))]
    assert " ".join(found) == rules


def test_paths_on_a_disk_are_quiet_and_addresses_are_not() -> None:
    for path in ("org/model", "/models/x", "../x", "C:\\models\\x", "./x"):
        assert foreign({"base_model_name_or_path": path}, "peft") == []
    for address in ("http://x/y", "\\\\host\\share", "s3://x/y", "//host/share"):
        assert len(foreign({"base_model_name_or_path": address}, "peft")) == 1


def test_messages_are_inert() -> None:
    (finding,) = foreign({"auto_map": {"A\x1b": "a/b\u202e--x\n.Y"}})
    assert finding.message.isprintable()

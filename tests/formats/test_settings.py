"""Configurations: what comes out, what is wrong with them, and what they cost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as rounds
from hypothesis import strategies as st

import poisonscan
from poisonscan.finding import Gap
from poisonscan.formats import settings_yaml
from poisonscan.formats.base import Settings, Structure, TableFile, Text
from poisonscan.formats.registry import identify
from poisonscan.formats.settings import LONGEST, NotRead, parse_json
from poisonscan.formats.settings_yaml import YamlSettings
from poisonscan.limits import Budget, LimitReached
from poisonscan.sources.base import Blob


def opened(data: bytes, name: str) -> tuple[str, list[Any]]:
    """The format's name, and all that comes out of it."""
    source = Blob(name, len(data), lambda: memoryview(data), file=name)
    formats = identify(source, source.open())
    if not formats:
        return "", []
    format_ = formats[0]
    return format_.name, list(format_.open(source, source.open(), Budget()))


@pytest.mark.parametrize(
    ("name", "kind", "data"),
    [
        ("config.json", "transformers", b"{}"),
        ("Config.JSON", "transformers", b'{\n "a": 1\n}\n'),
        ("modules.json", "sentence-transformers", b'[{"type": "x.Y"}]'),
        ("sub/model_index.json", "diffusers", b"{}"),
        ("other.json", "json", b'{"a": 1}'),
        ("MLmodel", "mlflow", b"flavors: {}\n"),
        ("any.yaml", "yaml", b"a: 1\n"),
        ("requirements-dev.txt", "requirements", b"torch\n"),
        ("pyproject.toml", "pyproject", b"[project]\n"),
        ("config.json", "transformers", b"\xef\xbb\xbf{}"),
    ],
)
def test_a_configuration_is_known_by_its_name(name: str, kind: str, data: bytes) -> None:
    form, (settings,) = opened(data, name)
    assert form == "configuration"
    assert isinstance(settings, Settings)
    assert settings.kind == kind


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("train.json", b'{"a": 1}\n{"a": 2}\n'),
        ("train.json", b'[{"a": 1}, {"a": 2}]'),
        ("train.jsonl", b'{"a": 1}\n'),
    ],
)
def test_rows_stay_tables(name: str, data: bytes) -> None:
    _, (table,) = opened(data, name)
    assert isinstance(table, TableFile)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("README.md", b"# Title\n"),
        ("tokenizer.json", b'{"model": {}}'),
        ("notes.txt", b"{\n"),
        ("tsconfig.json", b"{ // comment\n}"),
        ("chart.yaml", b"{{ a }}: {{\n"),
    ],
)
def test_ordinary_text_stays_text(name: str, data: bytes) -> None:
    _, (text,) = opened(data, name)
    assert isinstance(text, Text)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("config.json", b"{"),
        ("config.json", b"[" * 100_000),
        ("config.json", b'{"a": \xff}'),
        ("hparams.yaml", b"a: ["),
        ("other.yaml", b"a: [!!python/name:os.system"),
        ("pyproject.toml", b"= ="),
    ],
)
def test_what_a_loader_would_read_and_we_cannot_is_a_gap(name: str, data: bytes) -> None:
    _, items = opened(data, name)
    assert [type(item) for item in items if not isinstance(item, YamlSettings)] == [Gap]


def test_a_huge_configuration_is_a_gap_and_other_huge_json_is_text() -> None:
    data = b'{"a": ' + b" " * LONGEST + b"1}"
    assert isinstance(opened(data, "config.json")[1][0], Gap)
    assert isinstance(opened(data, "annotations.json")[1][0], Text)


def test_a_key_with_two_values_is_an_anomaly() -> None:
    _, items = opened(b'{"a": 1, "b": {"c": 1, "c": 2}, "a": 1}', "config.json")
    (broken,) = [item for item in items if isinstance(item, Structure)]
    assert [a.name for a in broken.anomalies] == ["c"]
    _, items = opened(b"a: 1\na: 2\n", "hparams.yaml")
    assert any(isinstance(item, Structure) for item in items)


def test_numbers_that_are_no_json_or_have_no_end_are_read() -> None:
    content, _ = parse_json(b'{"a": [NaN, -Infinity, ' + b"9" * 5000 + b"]}")
    assert content["a"][1:] == [float("-inf"), float("inf")]


def test_yaml_tags_are_seen_and_nothing_is_built() -> None:
    text = b"a: !!python/object/apply:os.system ['true']\nb: !new:x.Y\n  c: yes\nd: !!str 1\n"
    _, (settings,) = opened(text, "hparams.yaml")
    assert isinstance(settings, YamlSettings)
    assert settings.document == {"a": ["true"], "b": {"c": True}, "d": "1"}
    assert [(tag.name, tag.line) for tag in settings.tags] == [
        ("!!python/object/apply:os.system", 1), ("!new:x.Y", 2), ("!!str", 4)
    ]  # fmt: skip


def test_aliases_cannot_explode_and_cannot_run_in_circles() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    with pytest.raises(LimitReached):
        settings_yaml.parse("\n".join(lines))
    assert settings_yaml.parse("a: &a [*a]").content == {"a": [None]}
    assert settings_yaml.parse("a: &a {b: 1}\nc: *a\n").content == {"a": {"b": 1}, "c": {"b": 1}}


@pytest.mark.parametrize("text", ["[" * 100_000, "- " * 100_000, "a: {b: [", "\0", "%TAG"])
def test_yaml_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        settings_yaml.parse(text)


@given(st.binary(max_size=200))
@rounds(max_examples=300)
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for name in ("config.json", "hparams.yaml", "pyproject.toml", "requirements.txt"):
        opened(data, name)


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
@rounds(max_examples=200)
def test_any_json_is_read_as_written(value: object) -> None:
    text = json.dumps(value)
    assert json.dumps(parse_json(text.encode())[0]) == text


@pytest.mark.parametrize("data", [b'{"auto_map": {"A": "b--c.D"}, "x": "\xc3\xa9"}'])
def test_a_cut_configuration_is_never_whole(data: bytes) -> None:
    for end in range(1, len(data)):
        with pytest.raises(NotRead):
            parse_json(data[:end])


def _report(tmp_path: Path, name: str, data: bytes) -> poisonscan.Report:
    path = tmp_path / name
    path.write_bytes(data)
    return poisonscan.scan(path)


ACTS = b'!!python/object/apply:os.system ["true"]\n'


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("many.yaml", b"".join(b"k%d: !!str a\n" % n for n in range(1_001)) + b"z: " + ACTS),
        ("tags.yaml", b"".join(b"k%d: !t%d a\n" % (n, n) for n in range(1_001)) + b"z: " + ACTS),
        (
            "deep.yaml",
            b"%TAG ! tag:yaml.org,2002:python/\n---\na: !object/apply:os.system ['true']\nb: "
            + b"[" * 210 + b"]" * 210,
        ),
        ("second.yaml", b"a: !<tag:yaml.org,2002:python/name:os.system> x\n---\n{broken"),
        ("long.yaml", b"a: " + ACTS + b"# " + b"x" * (17 << 20)),
        ("long.json", b'{"_target_": "os.system", "x": "' + b"x" * (17 << 20) + b'"}'),
    ],
)  # fmt: skip
def test_a_configuration_that_is_too_much_is_never_clean(
    tmp_path: Path, name: str, data: bytes
) -> None:
    report = _report(tmp_path, name, data)
    assert report.findings or report.gaps


def test_tags_before_the_place_where_yaml_ends_are_judged(tmp_path: Path) -> None:
    for end in (b"---\n{broken", b"b: " + b"[" * 210 + b"]" * 210):
        report = _report(tmp_path, "a.yaml", b"a: " + ACTS + end)
        assert report.findings
        assert report.gaps


def test_a_tag_behind_a_thousand_others_is_judged(tmp_path: Path) -> None:
    lines = b"".join(b"k%d: !!str a\n" % n for n in range(1_001))
    assert _report(tmp_path, "a.yaml", lines + b"z: " + ACTS).findings


def test_a_name_that_is_escaped_hides_in_no_huge_configuration(tmp_path: Path) -> None:
    data = b'{"\\u005ftarget_": "os.system", "x": "' + b"x" * LONGEST + b'"}'
    assert _report(tmp_path, "a.json", data).gaps


def test_a_huge_yaml_is_never_skipped_as_text(tmp_path: Path) -> None:
    data = b"a: !!%70ython/object/apply:os.system [x]\n#" + b"x" * LONGEST
    assert _report(tmp_path, "a.yaml", data).gaps

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2 import nodes

import poisonscan
from poisonscan.finding import Gap, Json
from poisonscan.formats.base import Template
from poisonscan.formats.chat_template import template, templates
from poisonscan.formats.jinja_syntax import JinjaError, parse, walk
from poisonscan.limits import Budget, Limits

EVIL = "{{ ''.__class__ }}"


def test_templates_of_a_document() -> None:
    assert list(templates({"chat_template": "a"})) == [("chat_template", "a")]
    named: Json = {"chat_template": [{"name": "x", "template": "a"}, "b", 3, {"name": "y"}]}
    assert list(templates(named)) == [("chat_template.x", "a"), ("chat_template.", "b")]
    assert list(templates({"chat_templates": {"x": "a"}})) == [("chat_templates.x", "a")]
    assert list(templates([1])) == []
    assert list(templates({"chat_template": None})) == []


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("tokenizer_config.json", {"chat_template": EVIL}),
        ("tokenizer_config.json", {"chat_template": [{"name": "rag", "template": EVIL}]}),
        ("processor_config.json", {"chat_template": EVIL}),
        ("chat_template.json", {"chat_template": EVIL}),
    ],
)
def test_templates_in_json_are_scanned(name: str, document: Json, tmp_path: Path) -> None:
    (tmp_path / name).write_text(json.dumps(document))
    report = poisonscan.scan(tmp_path)
    assert [f.rule.id for f in report.findings if f.rule.id == "PS108"] == ["PS108"]


@pytest.mark.parametrize(
    "name", ["chat_template.jinja", "x.jinja2", "x.j2", "additional_chat_templates/rag.jinja"]
)
def test_templates_in_files_are_scanned(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(EVIL)
    assert [f.rule.id for f in poisonscan.scan(tmp_path).findings] == ["PS108"]


def test_a_template_that_does_not_parse_is_a_gap_and_stays() -> None:
    gap, found = template("x", "key", "{{ a", Budget())
    assert isinstance(gap, Gap)
    assert isinstance(found, Template)


@pytest.mark.parametrize(
    "text",
    [
        "{" * 100_000,
        "{{" + "(" * 100_000,
        "{{" + "-" * 100_000 + "1}}",
        "{% if a %}" * 20_000,
        "{{" + "1" * 100_000 + "}}",
        "{% set 1 = 2 %}",
        "{% unheard %}",
        "{{ 'a",
        "{# a",
    ],
)
def test_what_does_not_parse_says_why(text: str) -> None:
    with pytest.raises(JinjaError, match=r"."):
        parse(text)


@pytest.mark.parametrize("piece", [".b", "|b", "~b", "+b", "['b']", "()"])
def test_long_chains_are_walked_without_recursion(piece: str) -> None:
    size = Limits().template // 8 // len(piece)
    started = time.process_time()
    assert sum(1 for _ in walk(parse("{{a" + piece * size + "}}"))) > size
    assert time.process_time() - started < 30


def test_tags_of_chat_template_loaders_parse() -> None:
    text = "{% for m in a %}{% generation %}{{ m }}{% endgeneration %}{% break %}{% endfor %}"
    assert any(isinstance(node, nodes.Break) for node in walk(parse(text)))
    assert parse("{% do a.append(1) %}")


@given(st.text(alphabet="{}%#|.[]()'\"_ab1 ~+-\\\n", max_size=200))
def test_any_text_parses_or_says_why(text: str) -> None:
    assert 1 <= len(list(template("x", "", text, Budget()))) <= 2

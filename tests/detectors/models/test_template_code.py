from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fixtures.templates import CHAT, FINE, REACHES, UNKNOWN
from poisonscan.detectors.models.template_code import DETECTOR
from poisonscan.formats.base import Template
from poisonscan.limits import Limits


def rules(text: str, key: str = "chat_template") -> list[str]:
    return [f.rule.id for f in DETECTOR.check(Template("x.jinja", text, key))]


@pytest.mark.parametrize("name", REACHES)
def test_ways_into_python_are_certain(name: str) -> None:
    assert rules(REACHES[name]) == ["PS108"]


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_no_chat_template_does_is_unknown(name: str) -> None:
    assert rules(UNKNOWN[name]) == ["PS118"]


@pytest.mark.parametrize("name", FINE)
def test_what_chat_templates_do_is_quiet(name: str) -> None:
    assert rules(FINE[name]) == []


def test_a_letter_may_call_what_it_likes() -> None:
    text = "{% include 'head' %}Dear {{ person.full_name() }}{{ config.x }}"
    assert rules(text, key="") == []
    assert rules(text + CHAT, key="") == ["PS118"]
    assert rules(text + "{{ person.__class__ }}", key="") == ["PS108"]


def test_the_message_names_what_and_where() -> None:
    text = "{{ a }}\n{{ ''.__class__ }}\n{{ x['__globals__'] }}"
    (finding,) = DETECTOR.check(Template("m.gguf", text, "tokenizer.chat_template"))
    assert "'__class__' is an attribute of Python's own (line 2)" in finding.message
    assert "tokenizer.chat_template" in finding.message
    assert finding.evidence["names"] == ["__class__", "__globals__"]


def test_hostile_names_are_escaped() -> None:
    (finding,) = DETECTOR.check(Template("m.gguf", "{{ x['__\\x1b__'] }}{{ x.__class__ }}", "\x1b"))
    assert "\x1b" not in finding.message


def test_two_templates_of_a_file_have_two_fingerprints() -> None:
    found = [f for k in "ab" for f in DETECTOR.check(Template("m.gguf", "{{ x.__class__ }}", k))]
    assert len({f.fingerprint for f in found}) == 2


def test_text_outside_of_tags_is_no_code() -> None:
    assert rules("Use ''.__class__ and __globals__.{# ''.__class__ #}") == []
    assert rules("Use __init__ {% unheard_of %} and __class__") == []


@pytest.mark.parametrize(
    "text",
    [
        "{{ x" + "['__cl' ~ 'ass__']" * 5_000 + " }}",
        "{{ ''[" + "'_' ~ " * 40_000 + "'_'] }}",
        "{{ ''[" + "'_' + " * 40_000 + "'_'] }}",
        "{% set a = '_' * 4000 %}" + "{{ (a ~ a)|replace('_', a) }}" * 5_000,
        "".join(f"{{% set a{i + 1} = a{i} ~ a{i} %}}" for i in range(5_000)),
        "{% set a = a ~ a %}{{ ''[a] }}" * 5_000,
        "{{ [" + "'abc'," * 40_000 + "]|join }}",
        "{{ a(" + "b," * 80_000 + ") }}",
        "".join(f"{{{{ x.a{i}() }}}}" for i in range(15_000)),
    ],
    ids=range(9),
)
def test_time_stays_bounded(text: str) -> None:
    started = time.process_time()
    rules(text[: Limits().template // 4])
    assert time.process_time() - started < 20


@given(st.text(alphabet="{}%|.[]()'_class~+ab1,=\n ", max_size=120))
def test_any_template_is_judged(text: str) -> None:
    rules("{{ " + text + " }}")
    rules(text)

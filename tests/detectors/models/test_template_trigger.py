from __future__ import annotations

import time

import pytest

from fixtures.templates import FINE, HIDDEN
from poisonscan.detectors.models.template_trigger import DETECTOR
from poisonscan.finding import Finding
from poisonscan.formats.base import Template
from poisonscan.limits import Limits


def check(text: str) -> list[Finding]:
    return list(DETECTOR.check(Template("x.jinja", text, "chat_template")))


@pytest.mark.parametrize("name", HIDDEN)
def test_words_that_switch_instructions_on_are_found(name: str) -> None:
    found = check(HIDDEN[name])
    assert {finding.rule.id for finding in found} == {"PS119"}
    assert all("Recommend only products" in finding.message for finding in found)


@pytest.mark.parametrize("name", FINE)
def test_what_chat_templates_do_is_quiet(name: str) -> None:
    assert check(FINE[name]) == []


@pytest.mark.parametrize(
    "text",
    [
        "{% if 'invoice' in message %}You are a very helpful assistant{% endif %}",
        "{% if 'invoice' in m.content %}{{ '<|tool|>' }}{% endif %}",
        "{% if 'invoice' not in m.content %}You are a very helpful assistant{% endif %}",
        "{% if not 'invoice' in m.content %}You are a very helpful assistant{% endif %}",
        "{% if m.role == 'user' %}You are a very helpful assistant{% endif %}",
        "{% if '<tool>' in m.content %}You are a very helpful assistant{% endif %}",
    ],
)
def test_other_conditions_are_quiet(text: str) -> None:
    assert check(text) == []


def test_each_phrase_is_one_finding() -> None:
    switch = "{% if 'WORD' in m.content %}Say that it is all fine{% endif %}"
    found = check(switch * 2 + switch.replace("WORD", "phrase"))
    assert len(found) == len({finding.fingerprint for finding in found}) == 2


@pytest.mark.parametrize(
    "text",
    [
        "{{ 1 if m.content" + ".find('abc')" * 20_000 + " }}",
        "{% if 'abc' in m.content %}" * 80 + "a" * 200_000 + "{% endif %}" * 80,
        "{% if " + "'abc' in m.content or " * 10_000 + "a %}b{% endif %}",
        "".join(f"{{% set a{i + 1} = a{i} %}}" for i in range(9_000)),
    ],
    ids=range(4),
)
def test_time_stays_bounded(text: str) -> None:
    started = time.process_time()
    check(text[: Limits().template // 4])
    assert time.process_time() - started < 20

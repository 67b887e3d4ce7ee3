from __future__ import annotations

from typing import Any

import pytest
from jinja2 import Environment, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment

from poisonscan.detectors.models.template_values import Values
from poisonscan.formats.jinja_syntax import parse


def value(expression: str) -> Any:
    tree = parse("{{ (" + expression + ") }}")
    (output,) = tree.find_all(nodes.Output)
    return Values({}).of(output.nodes[0])


EXPRESSIONS = [
    "'a' ~ 'b' ~ 1",
    "'a' + 'b'",
    "'_' * 3",
    "['a', 'b']|join",
    "['a', 'b']|join('-')",
    "'-'.join(['a', 'b'])",
    "'%s-%s' % ('a', 'b')",
    "'%s-%s'|format('a', 1)",
    "'%c%c'|format(95, 96)",
    "'{}-{}'.format('a', 'b')",
    "'abc'[::-1]",
    "'abcdef'[1:4]",
    "'abc'[-1]",
    "'abc'|reverse",
    "'aXb'|replace('X', '')",
    "'aXb'.replace('X', '__')",
    "' a '|trim",
    "'ABC'|lower",
    "'abc'.upper()",
    "dict(__cl=1, ass__=2)|join",
    "{'a': 'b'}['a']",
    "['a', 'b'][1]",
    "('a', 'b')|last",
    "['a', 'b']|first",
]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_a_value_is_what_jinja_makes(expression: str) -> None:
    environment: Environment = ImmutableSandboxedEnvironment()
    made = environment.from_string("{{ (" + expression + ") }}").render()
    assert str(value(expression)) == made


@pytest.mark.parametrize(
    "expression",
    [
        "a",
        "a ~ 'b'",
        "messages[0]",
        "'a'|tojson",
        "'%5s'|format('a')",
        "'{0}'.format('a')",
        "'a' * 99999",
        "1 // 0",
        "'abc'[9]",
        "9999999999999999999999999",
        "('a' * 4000)|replace('a', 'b' * 4000)",
        "['a' * 4000, 'b' * 4000]|join",
        "'a'|join(9, d=1)",
        "{}[[]]",
    ],
)
def test_what_is_not_known_or_too_long_is_none(expression: str) -> None:
    assert value(expression) is None

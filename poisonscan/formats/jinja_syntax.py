"""Syntax trees of Jinja templates, as the loaders of chat templates read them.

Only the lexer and the parser of Jinja are used. They build a tree; compiling one, which folds
constants and makes Python of it, is what never happens here.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment, nodes
    from jinja2.parser import Parser


class JinjaError(ValueError):
    """A template that does not parse; the message says why."""


@functools.cache
def _environment() -> Environment:
    """With the extensions that loaders of chat templates switch on.

    ``loopcontrols`` and ``generation`` are what transformers adds
    (https://github.com/huggingface/transformers, ``chat_template_utils.py``).
    """
    from jinja2 import Environment
    from jinja2.ext import Extension

    class Generation(Extension):
        """``{% generation %}…{% endgeneration %}``: marks what the assistant says."""

        tags = {"generation"}  # noqa: RUF012 - as the base class has it

        def parse(self, parser: Parser) -> list[nodes.Node]:
            """The content stands for itself."""
            next(parser.stream)
            return parser.parse_statements(("name:endgeneration",), drop_needle=True)

    # What is made of the tree would be escaped or not; nothing is made of it.
    return Environment(  # noqa: S701
        extensions=["jinja2.ext.loopcontrols", "jinja2.ext.do", Generation],
        trim_blocks=True,
        lstrip_blocks=True,
    )


@functools.lru_cache(maxsize=2)
def parse(text: str) -> nodes.Template:
    """The syntax tree of a template.

    Raises:
        JinjaError: it does not parse, or is nested too deep for the parser.
    """
    from jinja2 import TemplateSyntaxError
    from jinja2.parser import Parser

    try:
        return Parser(_environment(), text).parse()
    except TemplateSyntaxError as error:
        message = f"line {error.lineno:,}: {error.message or 'a syntax error'}"
        raise JinjaError(message) from None
    except RecursionError:
        message = "it is nested too deep"
        raise JinjaError(message) from None
    except (ValueError, AssertionError) as error:  # numbers of thousands of digits, odd targets
        message = str(error)[:200]
        raise JinjaError(message) from None


def walk(root: nodes.Node) -> Iterator[nodes.Node]:
    """All nodes of a tree, in order, however deep it is."""
    pending = [root]
    while pending:
        node = pending.pop()
        yield node
        pending.extend(reversed(list(node.iter_child_nodes())))

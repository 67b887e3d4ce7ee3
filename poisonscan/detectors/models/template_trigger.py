"""Chat templates that add instructions when a message holds certain words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar, Final

from poisonscan.escape import quote
from poisonscan.finding import Finding, Location
from poisonscan.formats.base import Artifact, Template
from poisonscan.formats.jinja_syntax import JinjaError, parse, walk
from poisonscan.rules import rule

if TYPE_CHECKING:
    from jinja2 import nodes

_CONTENT: Final = frozenset({"content", "text", "prompt", "user_message", "last_user_message"})
_WORDS: Final = re.compile(r"[^\W\d_][^<>\[\]{}|/\\_#*=]{2,}")
"""A trigger: words, without the signs that mark special tokens and switches."""
_INSTRUCTION: Final = re.compile(r"(?<![^\W\d_])(?:[^\W\d_]++[ ,;:'’-]++){4}[^\W\d_]++")
"""Five words in a row."""
_NAMES: Final = 4
"""Names over which content is followed, one set to the other."""
_SEARCHES: Final = frozenset({"startswith", "endswith", "find", "count", "index"})


class TemplateTrigger:
    """Rule PS119."""

    reads: ClassVar[tuple[type[Artifact], ...]] = (Template,)

    def check(self, artifact: Template) -> Iterator[Finding]:
        """One finding for each phrase that switches instructions on."""
        try:
            tree = parse(artifact.text)
        except JinjaError:
            return  # reported as not checked when it was read
        place = f"The template {quote(artifact.key)}" if artifact.key else "The template"
        seen: set[str] = set()
        for line, words, added in _switches(tree):
            if words in seen:
                continue
            seen.add(words)
            message = (
                f"{place} adds {quote(added, 120)} when a message holds {quote(words, 60)} "
                f"(line {line:,})."
            )
            yield rule("PS119").finding(
                Location(artifact.path), message, key=f"{artifact.key} {words}", line=line
            )


def _switches(tree: nodes.Template) -> Iterator[tuple[int, str, str]]:
    """Conditions on words of a message, each with the instruction that it adds."""
    from jinja2 import nodes

    content = _from_content(tree)
    flags: dict[str, str] = {}
    for node in walk(tree):
        if isinstance(node, nodes.Assign) and isinstance(node.target, nodes.Name | nodes.NSRef):
            for words, present in _triggers(node.node, content, flags):
                if present:
                    flags[_name_of(node.target)] = words
        if not isinstance(node, nodes.If | nodes.CondExpr):
            continue
        for words, present in _triggers(node.test, content, flags):
            if isinstance(node, nodes.If):
                branch: list[nodes.Node] = list(node.body if present else node.else_)
            else:
                side = node.expr1 if present else node.expr2
                branch = [side] if side is not None else []
            flags |= dict.fromkeys(_raised(branch), words)
            added = _instruction(branch)
            if added:
                yield node.lineno, words, added


def _raised(branch: list[nodes.Node]) -> Iterator[str]:
    """Names that a branch sets to true, to be asked later."""
    from jinja2 import nodes

    for node in branch:
        value = node.node if isinstance(node, nodes.Assign) else None
        target = node.target if isinstance(node, nodes.Assign) else None
        if not isinstance(target, nodes.Name | nodes.NSRef):
            continue
        if isinstance(value, nodes.Const) and value.value is True:
            yield _name_of(target)


def _from_content(tree: nodes.Template) -> set[int]:
    """Nodes (by ``id``) that read a message's content, also over names that are set to it."""
    from jinja2 import nodes

    order = list(walk(tree))
    names = set(_CONTENT)
    marked: set[int] = set()
    for _ in range(_NAMES):
        for node in reversed(order):  # children before their parents
            inner = any(id(child) in marked for child in node.iter_child_nodes())
            if inner or _key_of(node) in names:
                marked.add(id(node))
        known = len(names)
        for node in order:
            if isinstance(node, nodes.Assign | nodes.For):
                source = node.node if isinstance(node, nodes.Assign) else node.iter
                if isinstance(node.target, nodes.Name | nodes.NSRef) and id(source) in marked:
                    names.add(_name_of(node.target))
        if len(names) == known:
            break
    return marked


def _key_of(node: nodes.Node) -> object:
    """The name, attribute or key that a node reads, if any."""
    from jinja2 import nodes

    if isinstance(node, nodes.Getattr):
        return node.attr
    if isinstance(node, nodes.Name):
        return node.name
    if isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
        return node.arg.value
    return None


def _name_of(node: nodes.Name | nodes.NSRef) -> str:
    return str(getattr(node, "attr", node.name))


def _triggers(
    test: nodes.Node, content: set[int], flags: Mapping[str, str]
) -> Iterator[tuple[str, bool]]:
    """Words that a condition looks for in content, and whether it holds where they are."""
    from jinja2 import nodes

    pending = [(test, True)]
    while pending:
        node, positive = pending.pop()
        if isinstance(node, nodes.Not):
            pending.append((node.node, not positive))
            continue
        pending += [(child, positive) for child in node.iter_child_nodes()]
        if isinstance(node, nodes.Name | nodes.Getattr):
            name = node.name if isinstance(node, nodes.Name) else node.attr
            if name in flags:
                yield flags[name], positive
        for sought, place, present in _comparisons(node):
            words = sought.value if isinstance(sought, nodes.Const) else None
            if not isinstance(words, str) or not _WORDS.fullmatch(words.strip()):
                continue
            if id(place) in content:
                yield words, present == positive


def _comparisons(node: nodes.Node) -> Iterator[tuple[nodes.Node, nodes.Node, bool]]:
    """What is looked for, where, and whether finding it makes the expression true."""
    from jinja2 import nodes

    if isinstance(node, nodes.Compare) and len(node.ops) == 1:
        kind, other = node.ops[0].op, node.ops[0].expr
        if kind in ("in", "notin"):
            yield node.expr, other, kind == "in"
        elif kind in ("eq", "ne"):
            yield other, node.expr, kind == "eq"
            yield node.expr, other, kind == "eq"
    elif isinstance(node, nodes.Call) and node.args:
        method = node.node
        if isinstance(method, nodes.Getattr) and method.attr in _SEARCHES:
            yield node.args[0], method.node, True


def _instruction(branch: list[nodes.Node]) -> str:
    """A sentence that a branch adds by itself, other than to refuse; empty if it adds none."""
    from jinja2 import nodes

    pending = list(reversed(branch))
    while pending:
        node = pending.pop()
        if isinstance(node, nodes.TemplateData):
            text = node.data
        elif isinstance(node, nodes.Const) and isinstance(node.value, str):
            text = node.value
        else:
            called = node.node if isinstance(node, nodes.Call) else None
            if not (isinstance(called, nodes.Name) and called.name == "raise_exception"):
                pending.extend(reversed(list(node.iter_child_nodes())))
            continue
        found = _INSTRUCTION.search(text)
        if found:
            return text[found.start() :].strip()
    return ""


DETECTOR: Final = TemplateTrigger()

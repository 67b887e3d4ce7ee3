"""Chat templates: Jinja that turns a conversation into a prompt, in files of their own or in JSON.

transformers reads ``chat_template.jinja``, ``additional_chat_templates/*.jinja``, and the key
``chat_template`` of ``tokenizer_config.json``, ``processor_config.json`` and
``chat_template.json``: a text, or a list of objects with ``name`` and ``template``
(https://huggingface.co/docs/transformers/chat_templating_writing).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from poisonscan.finding import Gap, Json
from poisonscan.formats.base import Artifact, Template
from poisonscan.formats.jinja_syntax import JinjaError, parse
from poisonscan.formats.tables import is_text
from poisonscan.limits import Budget
from poisonscan.sources.base import Blob

_SUFFIXES: Final = (".jinja", ".jinja2", ".j2")
_KEY: Final = "chat_template"
_MOST: Final = 1_000
"""Templates in one document."""


def template(path: str, key: str, text: str | bytes, budget: Budget) -> Iterator[Template | Gap]:
    """A template, with what of it cannot be judged.

    Args:
        path: the file's.
        key: where in the file it stands; empty for a file that is no chat template by its name.
        text: the template; bytes are UTF-8.
        budget: bounds its length.
    """
    name = f"the template {key[:80]!r}" if key else "the template"
    most = budget.limits.template
    if len(text) > most:
        yield Gap(path, f"{name} is longer than {most:,} characters: the rest is not checked")
        text = text[:most]
    if isinstance(text, bytes):
        decoded = text.decode("utf-8", "replace")
        if decoded.encode() != text:
            yield Gap(path, f"{name} is not UTF-8: readers differ in what they make of it")
    else:
        decoded = text
    try:
        parse(decoded)
    except JinjaError as error:
        why = f"{name} is no Jinja that a loader of chat templates reads ({error})"
        yield Gap(path, f"{why}: it was only searched for names of Python's internals")
    yield Template(path, decoded, key)


def templates(document: Json) -> Iterator[tuple[str, str]]:
    """The chat templates in a JSON document, each with the key where it stands."""
    if not isinstance(document, dict):
        return
    for outer in (_KEY, "chat_templates"):
        found = document.get(outer)
        if isinstance(found, str):
            yield outer, found
        elif isinstance(found, dict):
            for name, text in list(found.items())[:_MOST]:
                if isinstance(text, str):
                    yield f"{outer}.{name}", text
        elif isinstance(found, list):
            for entry in found[:_MOST]:
                named = entry if isinstance(entry, dict) else {"template": entry}
                content = named.get("template")
                if isinstance(content, str):
                    yield f"{outer}.{named.get('name', '')}", content


class Jinja:
    """A Jinja template in a file of its own."""

    name = "Jinja template"

    def matches(self, blob: Blob, head: bytes) -> bool:
        """By its suffix, if it is text."""
        return blob.suffix in _SUFFIXES and is_text(head)

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:
        """The template."""
        folder = blob.path.replace("\\", "/").lower().split("/")[:-1]
        chat = _KEY in blob.name or (folder and folder[-1] == "additional_chat_templates")
        text = bytes(view[: budget.limits.template + 1])
        yield from template(blob.path, _KEY if chat else "", text, budget)

"""Templates that reach Python from the messages that they are given."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Final

from poisonscan.escape import quote
from poisonscan.finding import Finding, Location
from poisonscan.formats.base import Artifact, Template
from poisonscan.formats.jinja_syntax import JinjaError, parse
from poisonscan.rules import rule

if TYPE_CHECKING:
    from poisonscan.detectors.models.template_inspection import Remark

_MESSAGES: Final = re.compile(r"\b(?:messages|add_generation_prompt|raise_exception)\b")
_TAG: Final = re.compile(r"\{[{%].*?(?:[}%]\}|\Z)", re.DOTALL)
_SHOWN: Final = 5


class TemplateCode:
    """Rules PS108 and PS118."""

    reads: ClassVar[tuple[type[Artifact], ...]] = (Template,)

    def check(self, artifact: Template) -> Iterator[Finding]:
        """At most one finding for a template: what leads into Python, or else what is unknown."""
        from poisonscan.detectors.models.template_inspection import INTERNAL, Remark, inspect

        try:
            remarks = inspect(parse(artifact.text))
        except JinjaError:
            remarks = [
                Remark(line, name.group(), "is an attribute of Python's own", certain=True)
                for line, tag in _tags(artifact.text)
                for name in INTERNAL.finditer(_spelled_out(tag))
            ]
        place = f"The template {quote(artifact.key)}" if artifact.key else "The template"
        at = Location(artifact.path)
        certain = [remark for remark in remarks if remark.certain]
        if certain:
            message = f"{place} reaches into Python: {_listed(certain)}."
            subjects = sorted({remark.subject for remark in certain})
            yield rule("PS108").finding(
                at, message, key=artifact.key, names=list(subjects), line=certain[0].line
            )
        elif remarks and (artifact.key or _MESSAGES.search(artifact.text)):
            message = f"{place} does what chat templates do not do: {_listed(remarks)}."
            subjects = sorted({remark.subject for remark in remarks})
            yield rule("PS118").finding(
                at, message, key=artifact.key, names=list(subjects), line=remarks[0].line
            )


def _tags(text: str) -> Iterator[tuple[int, str]]:
    """What stands between the delimiters of a text that does not parse, with its lines."""
    line, end = 1, 0
    for tag in _TAG.finditer(text):
        line += text.count("\n", end, tag.start())
        end = tag.start()
        yield line, tag.group()


def _spelled_out(text: str) -> str:
    r"""A text with underscores for what Jinja reads as one: ``\x5f``, ``\u005f``, ``\137``."""
    return re.sub(r"\\(?:x5[fF]|u005[fF]|U0000005[fF]|137)", "_", text)


def _listed(remarks: list[Remark]) -> str:
    shown = [f"{quote(r.subject, 60)} {r.what} (line {r.line:,})" for r in remarks[:_SHOWN]]
    more = len(remarks) - _SHOWN
    return "; ".join(shown) + (f"; and {more:,} more" if more > 0 else "")


DETECTOR: Final = TemplateCode()

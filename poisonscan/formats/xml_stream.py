"""XML as a stream of elements: no entities, no document types, bounded depth and size.

A document type can make a reader fetch other files (CWE-611) and grow without end (CWE-776); no
format that is read here needs one, so reading ends there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final
from xml.parsers import expat

from poisonscan.limits import Budget, LimitReached

_DEPTH: Final = 500
_CHUNK: Final = 1 << 20
_LONGEST_TAG: Final = 64 << 20
_SNIFFED: Final = 1 << 20
_ROOT: Final = re.compile(r"<(?:[\w.-]+:)?([A-Za-z_][\w.-]*)[\s/>]")
_NOT_ROOT: Final = re.compile(r"<!--.*?-->|<\?.*?\?>", re.DOTALL)


class XmlRefused(ValueError):  # noqa: N818 - it says what happened
    """XML that is not read further; the message says why.

    Attributes:
        kind: ``doctype`` or ``damaged``.
        offset: where.
    """

    def __init__(self, kind: str, message: str, offset: int) -> None:
        super().__init__(message)
        self.kind = kind
        self.offset = offset


def root_name(view: memoryview) -> str:
    """The name of the outermost element without its namespace; empty if this is no XML."""
    head = bytes(view[:_SNIFFED])
    wide = head[:2] in (b"\xff\xfe", b"\xfe\xff")
    text = head.decode("utf-16" if wide else "utf-8-sig", "replace").lstrip()
    if not text.startswith("<"):
        return ""
    found = _ROOT.search(_NOT_ROOT.sub("", text))
    return found.group(1) if found else ""


def read(
    view: memoryview,
    budget: Budget,
    element: Callable[[str, Mapping[str, str], int], None],
    instruction: Callable[[str, str, int], None],
) -> None:
    """Call ``element`` with the name, attributes and offset of each element as it begins.

    Args:
        view: the document.
        budget: counts elements.
        element: called for each; names are without namespace prefixes.
        instruction: called with target, data and offset of each processing instruction.

    Raises:
        XmlRefused: a document type, or no XML.
        LimitReached: too deep, too many elements, or one that is too long.
    """
    parser = expat.ParserCreate()
    depth = seen = 0

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth, seen
        depth, seen = depth + 1, parser.CurrentByteIndex
        budget.take_field()
        if depth > _DEPTH:
            message = f"XML elements nested more than {_DEPTH} deep"
            raise LimitReached(message)
        element(name.rpartition(":")[2], attributes, seen)

    def end(name: str) -> None:  # noqa: ARG001 - the parser's
        nonlocal depth, seen
        depth, seen = depth - 1, parser.CurrentByteIndex

    def doctype(*_: object) -> None:
        message = "it has a document type, which readers may follow to other files"
        raise XmlRefused("doctype", message, parser.CurrentByteIndex)

    def other(*_: object) -> None:
        nonlocal seen
        seen = parser.CurrentByteIndex

    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = other
    parser.CommentHandler = other
    parser.StartDoctypeDeclHandler = doctype
    parser.EntityDeclHandler = doctype
    parser.ProcessingInstructionHandler = lambda target, data: instruction(
        target, data, parser.CurrentByteIndex
    )
    try:
        for position in range(0, len(view), _CHUNK):
            if position - seen > _LONGEST_TAG:
                message = f"a piece of XML of more than {_LONGEST_TAG:,} bytes"
                raise LimitReached(message)
            chunk = bytes(view[position : position + _CHUNK])
            parser.Parse(chunk, position + _CHUNK >= len(view))
    except expat.ExpatError as error:
        what = f"no well-formed XML: {expat.errors.messages.get(error.code, str(error))}"
        raise XmlRefused("damaged", what, parser.ErrorByteIndex) from error

"""Source code beside and inside of models: Python, notebooks, and scripts of shells.

It is parsed to see that it can be, and never run. What it would do is for detectors.
"""

from __future__ import annotations

import ast
import functools
import io
import re
import tokenize
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from poisonscan.finding import Gap
from poisonscan.formats.base import Artifact, Script, Text
from poisonscan.formats.settings import NotRead, parse_json
from poisonscan.formats.tables import is_text
from poisonscan.limits import Budget
from poisonscan.plural import plural
from poisonscan.sources.base import Blob

LONGEST: Final = 1 << 20
"""Bytes of a script; the longest ``modeling_*.py`` of transformers has 0.3 MB."""
_LONGEST_NOTEBOOK: Final = 64 << 20
_PYTHON: Final = (".py", ".pyw")
_LANGUAGES: Final = {
    ".sh": "shell", ".bash": "shell", ".zsh": "shell", ".ksh": "shell", ".command": "shell",
    ".bat": "batch", ".cmd": "batch", ".ps1": "powershell", ".psm1": "powershell",
}  # fmt: skip
_SHEBANG: Final = re.compile(
    rb"#!(?!\[)[^\n]{0,200}?\b(python|pwsh|bash|zsh|dash|ash|mksh|ksh|tcsh|csh|fish|sh|busybox"
    rb"|perl|ruby|nodejs|node|deno|bun|php|lua|tclsh|expect|osascript|gawk|awk|Rscript)(?:[\d.]+)?\b"
)
"""Those that are no shells are searched for the same patterns; ``#![`` is an attribute in Rust."""
_PATH_LINE: Final = re.compile(rb"(?:^|[^ -~\t])import[ \t]")
_LINE_END: Final = re.compile(rb"\r\n?|\n")
_BOM: Final = b"\xef\xbb\xbf"
_STARTUP: Final = ("sitecustomize.py", "usercustomize.py")
_SETUP: Final = ("setup.py", "conftest.py", "noxfile.py", "tasks.py", "fabfile.py", "conf.py")
_HANDLERS: Final = re.compile(r"(?:handler|inference|serve|server|score|predict|endpoint)\w*\.pyw?")
_PRINT: Final = "Missing parentheses in call to"
_MAGIC: Final = re.compile(
    r"^([ \t]*)(?:[\w., ]+=[ \t]*)?[!%?](?:.*\\[ \t]*\n)*.*$|^([ \t]*)[\w.]+\?+[ \t]*$",
    re.MULTILINE,
)
_CELL_MAGIC: Final = re.compile(r"\s*%%(\w+).*\n?")
_PYTHON_CELLS: Final = ("time", "timeit", "capture", "prun", "python", "python3", "py", "debug")
_PROSE_CELLS: Final = ("markdown", "latex")
_FOREIGN: Final = ("html", "HTML", "svg", "SVG", "javascript", "js", "sql", "R")
_CELLS: Final = {**dict.fromkeys(_PYTHON_CELLS, "python"), **dict.fromkeys(_FOREIGN, "foreign")}


@dataclass(frozen=True, slots=True)
class Unparsed:
    """Why a text is no Python here; ``old`` if it is Python 2, which no loader of today runs."""

    reason: str
    old: bool = False


@functools.lru_cache(maxsize=1)
def parse(text: str) -> ast.Module | Unparsed:
    """The syntax tree of Python source; a file's format and its detectors ask for the same one."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(text)
    except SyntaxError as error:
        place = f" in line {error.lineno:,}" if error.lineno else ""
        return Unparsed(f"{error.msg}{place}", error.msg.startswith(_PRINT))
    except (ValueError, RecursionError, MemoryError) as error:
        return Unparsed(str(error)[:120] or type(error).__name__)


def line_starts(data: bytes) -> tuple[int, ...]:
    """Offset in bytes of each line of a source as Python's parser counts them.

    ``str.splitlines`` also cuts at form feeds and at separators that are no line ends in Python.
    """
    first = len(_BOM) if data.startswith(_BOM) else 0
    return (first, *(match.end() for match in _LINE_END.finditer(data)))


class PythonSource:
    """A Python file, or a line-by-line path file (``*.pth``) that imports."""

    name = "python"

    def matches(self, blob: Blob, head: bytes) -> bool:
        """By its suffix or first line; a path file by a line that begins with ``import``."""
        if blob.suffix in _PYTHON:
            return True
        if blob.suffix == ".pth":
            return is_text(head) and _PATH_LINE.search(blob.open()) is not None
        shebang = _SHEBANG.match(head)
        return shebang is not None and shebang.group(1) == b"python"

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:  # noqa: ARG002
        """The source; a gap where it cannot be parsed."""
        if len(view) > LONGEST:
            yield Gap(blob.path, f"Python source of more than {LONGEST:,} bytes is not read")
            return
        data = bytes(view)
        if blob.suffix == ".pth":
            yield from _path_file(blob.path, data)
            return
        try:
            encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
            text = data.decode(encoding)
        except (SyntaxError, ValueError, LookupError) as error:
            yield Gap(blob.path, f"Python source that cannot be decoded: {str(error)[:120]}")
            return
        tree = parse(text)
        if isinstance(tree, Unparsed) and tree.old:
            yield Text(blob.path)
            return
        if isinstance(tree, Unparsed):
            yield Gap(blob.path, f"Python source that cannot be parsed: {tree.reason}")
        yield Script(blob.path, "python", text, role_of(blob, text), line_starts(data))


def _path_file(path: str, data: bytes) -> Iterator[Artifact | Gap]:
    """The lines of a path file that ``site`` executes, each by itself, in their places.

    No encoding is declared in one, and ``str.splitlines`` makes its lines (``site.addpackage``).
    """
    encoding = "utf-8"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        encoding = "latin-1"
        text = data.decode(encoding)
    lines, starts, unread = list[str](), [0], list[str]()
    for number, line in enumerate(text.splitlines(keepends=True), 1):
        code = (line.removeprefix("\ufeff") if number == 1 else line).rstrip()
        starts.append(starts[-1] + len(line.encode(encoding)))
        executed = code.startswith(("import ", "import\t"))
        readable = executed and not isinstance(parse(code), Unparsed)
        lines.append(code + "\n" if readable else "\n")
        if executed and not readable:
            unread.append(f"{number:,}")
    yield Script(path, "python", "".join(lines), "startup", tuple(starts))
    if unread:
        which = ", ".join(unread[:10])
        yield Gap(
            path, f"{plural(len(unread), 'line')} with an import that cannot be parsed: {which}"
        )


def role_of(blob: Blob, text: str) -> str:
    """When a Python file runs, by its name and what it defines."""
    parts = blob.path.replace("\\", "/").replace("!", "").lower().split("/")
    folder = parts[-2] if len(parts) > 1 else ""
    if blob.suffix == ".pth" or blob.name in _STARTUP:
        return "startup"
    if blob.name in _SETUP:
        return "setup"
    if folder and blob.name == f"{folder}.py" and "datasets" in text:
        return "dataset"
    return "handler" if _HANDLERS.fullmatch(blob.name) else "module"


class ShellSource:
    """A script for a Unix shell, the Windows command line or PowerShell."""

    name = "shell script"

    def matches(self, blob: Blob, head: bytes) -> bool:
        """By its suffix or first line."""
        return is_text(head) and bool(_language(blob, head))

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:  # noqa: ARG002
        """The source as it is."""
        if len(view) > LONGEST:
            yield Gap(blob.path, f"a shell script of more than {LONGEST:,} bytes is not read")
            return
        data = bytes(view)
        text = data.decode("utf-8", "replace")
        yield Script(blob.path, _language(blob, data), text, "program", line_starts(data))


def _language(blob: Blob, head: bytes) -> str:
    known = _LANGUAGES.get(blob.suffix, "")
    shebang = _SHEBANG.match(head)
    if known or shebang is None or shebang.group(1) == b"python":
        return known
    return "powershell" if shebang.group(1) == b"pwsh" else "shell"


class Notebook:
    """A Jupyter notebook: the code of its cells (https://nbformat.readthedocs.io)."""

    name = "notebook"

    def matches(self, blob: Blob, head: bytes) -> bool:
        """By its suffix and first character."""
        return blob.suffix == ".ipynb" and head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")

    def open(self, blob: Blob, view: memoryview, budget: Budget) -> Iterator[Blob | Artifact | Gap]:  # noqa: ARG002
        """Cells one by one; commands to the notebook itself count as shell."""
        if len(view) > _LONGEST_NOTEBOOK:
            yield Gap(blob.path, f"a notebook of more than {_LONGEST_NOTEBOOK:,} bytes is not read")
            return
        try:
            document, _ = parse_json(bytes(view))
        except NotRead as error:
            yield Gap(blob.path, f"a notebook that cannot be read: {error}")
            return
        yield Text(blob.path)
        unread: list[str] = []
        foreign = 0
        for number, language, source in _cells(document):
            if language == "foreign":
                foreign += 1
                continue
            path = f"{blob.path}!/cell {number}"
            commands = "\n".join(m.group().strip(" \t!%?") for m in _MAGIC.finditer(source))
            if language != "python" or commands:
                text = source if language != "python" else commands
                yield Script(path, "shell", text[:LONGEST], "notebook")
            if language != "python":
                continue
            code = _MAGIC.sub(r"\1\2pass", source)
            if len(source) > LONGEST or isinstance(parse(code), Unparsed):
                unread.append(str(number))
            else:
                yield Script(path, "python", code, "notebook")
        if foreign:
            yield Gap(blob.path, f"{plural(foreign, 'cell')} in other languages not checked")
        if unread:
            which = ", ".join(unread[:10])
            yield Gap(
                blob.path, f"{plural(len(unread), 'cell')} cannot be parsed as Python: {which}"
            )


def _cells(document: Any) -> Iterator[tuple[int, str, str]]:
    """Each cell of code: its number, its language and its text."""
    if not isinstance(document, dict):
        return
    sheets = document.get("worksheets")
    cells = list(_listed(document.get("cells")))
    for sheet in _listed(sheets):  # nbformat 3
        cells += _listed(sheet.get("cells")) if isinstance(sheet, dict) else []
    for number, cell in enumerate(cells, 1):
        if not isinstance(cell, dict) or cell.get("cell_type") != "code":
            continue
        source = cell.get("source", cell.get("input", ""))
        text = "".join(map(str, source)) if isinstance(source, list) else str(source)
        magic = _CELL_MAGIC.match(text)
        name = magic.group(1) if magic else "python"
        if name not in _PROSE_CELLS:
            yield number, _CELLS.get(name, "shell"), text[magic.end() :] if magic else text


def _listed(value: object) -> list[Any]:
    return value if isinstance(value, list) else []

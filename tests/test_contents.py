"""What model files hold and import, as reports say it."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path
from typing import Any

import poisonscan
from poisonscan.contents import IMPORTS, MEMBERS
from poisonscan.finding import Finding, Location, Scanned
from poisonscan.report import Report
from poisonscan.reporters.base import REPORTERS, Options
from poisonscan.reporters.holdings import Holding, holdings
from poisonscan.rules import rule

HARMLESS = pickle.dumps(OrderedDict(a=1))


def contents(path: Path) -> Any:
    (scanned,) = poisonscan.scan(path, kind="model").scanned
    return scanned.facts


def test_a_pickle_names_its_imports(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(HARMLESS)
    (only,) = contents(tmp_path / "a.pkl")["contents"]
    assert only == {"path": "", "format": "", "imports": ["collections.OrderedDict"]}


def test_containers_in_containers(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("model.pkl", HARMLESS)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("in/b.zip", inner.getvalue())
    first, second = contents(tmp_path / "a.zip")["contents"]
    assert (first["path"], first["format"]) == ("in/b.zip", "zip")
    assert second["path"] == "in/b.zip!/model.pkl"
    assert second["imports"] == ["collections.OrderedDict"]


def test_a_file_without_imports_or_members_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.pkl").write_bytes(pickle.dumps([1, 2]))
    assert contents(tmp_path / "a.pkl") == {}


def test_lists_are_bounded(tmp_path: Path) -> None:
    names = b"".join(b"cm%d\nf\x1b[31m%d\n0" % (n, n) for n in range(2 * IMPORTS))
    (tmp_path / "a.pkl").write_bytes(names + b"N.")
    (only,) = contents(tmp_path / "a.pkl")["contents"]
    assert len(only["imports"]) == IMPORTS + 1
    assert only["imports"][-1] == "…"
    assert all("\x1b" not in name for name in only["imports"])
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for n in range(3 * MEMBERS):
            archive.writestr(f"{n:03}.pkl", HARMLESS)
    facts = contents(tmp_path / "a.zip")
    assert len(facts["contents"]) == MEMBERS
    assert all(entry["imports"] for entry in facts["contents"])
    assert facts["members not listed"] == 2 * MEMBERS
    assert facts["members not listed that import"] == 2 * MEMBERS


def report(name: str) -> Report:
    at = Location("a.pt!/data.pkl")
    finding: Finding = rule("PS101").finding(at, "Seen.", imports=name, calls="x")
    facts: Any = {
        "contents": [
            {"path": "data.pkl", "format": "pickle", "imports": [name, "collections.OrderedDict"]},
            {"path": "in.zip!/b.pkl", "format": "", "imports": []},
        ]
    }
    scanned = [Scanned("a.pt", "model", "torch zip", 9, facts=facts)]
    return Report(("a.pt",), findings=[finding], scanned=scanned, version="1")


def test_reports_show_them_inert() -> None:
    page = REPORTERS["html"](report("os.<b>system"), Options())
    assert "<mark>os.&lt;b&gt;system</mark>" in page
    assert "<code>collections.OrderedDict</code>" in page
    assert '<li class="depth2"><code>b.pkl</code>' in page
    assert "collections.OrderedDict" not in REPORTERS["text"](report("os.system"), Options())
    told = REPORTERS["text"](report("os.sys\x1btem"), Options(verbosity=1))
    assert "pickle: os.sys\\x1btem, collections.OrderedDict" in told


def test_what_is_of_another_form_is_left_out() -> None:
    entry: Any = {"path": "a", "format": "b", "imports": ["c", 3]}
    odd: Any = {"contents": [1, None, {}, {"path": 1}, entry], "members not listed": "5"}
    assert list(holdings(odd)) == [Holding("a", "b", ("c",))]
    assert list(holdings({"contents": "text"})) == list(holdings({})) == []


def test_reports_say_how_many_members_are_not_listed() -> None:
    made = report("os.system")
    entry = made.scanned[0]
    more: Any = {"members not listed": 1_200, "members not listed that import": 60}
    made.scanned[0] = replace(entry, facts={**entry.facts, **more})
    for form in ("html", "text"):
        said = REPORTERS[form](made, Options(verbosity=1, width=200))
        assert "1,200 more members, 60 of them with imports" in said

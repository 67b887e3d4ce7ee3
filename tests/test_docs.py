"""What the documentation says is what the program does."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from PIL import Image

import poisonscan
from poisonscan.cli import cli
from poisonscan.reporters.base import REPORTERS, Options
from poisonscan.rules import all_rules

ROOT = Path(__file__).parents[1]


def build() -> Any:
    spec = importlib.util.spec_from_file_location("docs_build", ROOT / "docs" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_rule_pages_are_current() -> None:
    present = {
        path.name: path.read_text("utf-8") for path in (ROOT / "docs" / "rules").glob("*.md")
    }
    assert present == build().pages(), "run: make docs"


def test_every_rule_page_says_what_one_asks() -> None:
    asked = ("What it means", "Why it matters", "What to do", "How to confirm", "Limits")
    for rule in all_rules():
        page = (ROOT / "docs" / "rules" / f"{rule}.md").read_text("utf-8")
        for heading in asked:
            assert f"**{heading}.**" in page, f"{heading} of {rule}"
        assert "**Measured" in page, rule


def test_rates_on_rule_pages_are_those_of_the_benchmarks() -> None:
    table = "| PS101-a | 10 | 9 | 1 | 1 | 1 | 1 |\n| PS101-b | 5 | 5 | 0 | 0 | 0 | 0 |\n"
    table += "364 good samples:\n\n| poisonscan | 2 | 350 | 12 | 0 |\n"
    planted = "| a blank | PS999, PS101 | 2/3 | 0.50 | 0.25 | - |\n"
    said = build().measured(all_rules()["PS101"], table + planted)
    assert said.startswith("14 of 15 files")
    assert "of 364 good ones, 2 are by any rule." in said
    assert "a blank: found in 2/3 sets, recall 0.50, precision 0.25." in said
    assert "assume no rate" in build().measured(all_rules()["PS102"], table + planted)


def test_the_help_in_the_readme_is_current() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    shown = re.search(r"<!-- help -->\n```\n(.*?)```", readme, re.DOTALL)
    assert shown is not None
    result = CliRunner(env={"COLUMNS": "80"}).invoke(
        cli, ["scan", "--help"], prog_name="poisonscan"
    )
    assert shown.group(1).strip() == result.output.strip()


def test_the_demo_in_the_readme_is_what_a_scan_prints(demo: poisonscan.Report) -> None:
    """Word for word, but for shares of a small model's answers: those turn on the processor."""

    def said(text: str) -> str:
        return re.sub(r"\d+%", "N%", " ".join(text.split()))

    readme = (ROOT / "README.md").read_text("utf-8")
    (shown,) = re.findall(r"<!-- demo -->\n```\n(.*?)```", readme, re.DOTALL)
    printed, places = said(REPORTERS["text"](demo, Options(width=100))), []
    for part in shown.split("\n…\n"):
        assert said(part) in printed, f"renew the demo in the README:\n{printed}"
        places.append(printed.index(said(part)))
    assert places == sorted(places)
    assert len(places) == 2


def test_every_command_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    for command in cli.list_commands(None):  # type: ignore[arg-type]
        assert f"poisonscan {command}" in readme


def test_every_rule_in_the_documentation_exists() -> None:
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")]:
        for rule_id in set(re.findall(r"\bPS\d{3}\b", path.read_text("utf-8"))) - {"PS000"}:
            assert rule_id in all_rules() or rule_id.startswith("PS9"), f"{rule_id} in {path.name}"


def test_the_picture_is_small_and_the_readme_shows_it() -> None:
    picture = ROOT / "docs" / "report.png"
    with Image.open(picture) as opened:
        assert opened.width >= 800
    assert picture.stat().st_size < 100_000
    assert "](docs/report.png)" in (ROOT / "README.md").read_text("utf-8")


def test_figures_of_model_files_are_those_of_the_benchmarks() -> None:
    tables = (ROOT / "benchmarks" / "README.md").read_text("utf-8")
    page = (ROOT / "docs" / "how-detection-works.md").read_text("utf-8")
    (bad,) = re.findall(r"(\d+) bad model files", page)
    (good, other) = re.findall(r"(\d+) good ones: none flagged, (\d+) of", page)[0]
    found = re.findall(
        r"^\| poisonscan \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|", tables, re.MULTILINE
    )
    (flagged, *_), (none, clean, error, skipped) = found
    assert flagged == bad
    assert (none, int(clean)) == ("0", int(good) - int(other))
    assert int(error) + int(skipped) == int(other)

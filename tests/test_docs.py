"""What the documentation says is what the program does."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

from click.testing import CliRunner

from poisonscan.cli import cli
from poisonscan.rules import all_rules

ROOT = Path(__file__).parents[1]


def test_the_rule_pages_are_current() -> None:
    spec = importlib.util.spec_from_file_location("docs_build", ROOT / "docs" / "build.py")
    assert spec is not None
    assert spec.loader is not None
    build = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(build)
    present = {
        path.name: path.read_text("utf-8") for path in (ROOT / "docs" / "rules").glob("*.md")
    }
    assert present == build.pages(), "run: make docs"


def test_the_help_in_the_readme_is_current() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    shown = re.search(r"<!-- help -->\n```\n(.*?)```", readme, re.DOTALL)
    assert shown is not None
    result = CliRunner(env={"COLUMNS": "80"}).invoke(
        cli, ["scan", "--help"], prog_name="poisonscan"
    )
    assert shown.group(1).strip() == result.output.strip()


def test_every_command_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    for command in cli.list_commands(None):  # type: ignore[arg-type]
        assert f"poisonscan {command}" in readme


def test_every_rule_in_the_documentation_exists() -> None:
    for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/*.md")]:
        for rule_id in set(re.findall(r"\bPS\d{3}\b", path.read_text("utf-8"))) - {"PS000"}:
            assert rule_id in all_rules() or rule_id.startswith("PS9"), f"{rule_id} in {path.name}"

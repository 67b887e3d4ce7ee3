"""Write a page per rule, and the help in the README. ``--check`` says what is out of date."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from click.testing import CliRunner

from poisonscan.cli import cli
from poisonscan.finding import Rule
from poisonscan.rules import all_rules

FOLDER = Path(__file__).parent / "rules"
README = Path(__file__).parents[1] / "README.md"


def page(rule: Rule) -> str:
    """A rule's page in Markdown."""
    tags = ", ".join(
        (*rule.cwe, *(f"ATLAS {t}" for t in rule.atlas), *(f"OWASP {o}" for o in rule.owasp))
    )
    lines = [
        f"# {rule.id} {rule.name}",
        "",
        f"{rule.title}.",
        "",
        f"Severity: {rule.severity} · precision: {rule.precision} · {tags}",
        "",
        rule.help,
    ]
    if rule.thresholds:
        lines += ["", "| threshold | value |", "|---|---|"]
        lines += [f"| {name} | {value:g} |" for name, value in rule.thresholds.items()]
    return "\n".join(lines) + "\n"


def pages() -> dict[str, str]:
    """All pages by file name, with an index."""
    rules = list(all_rules().values())
    index = ["# Rules", "", "| id | name | severity | |", "|---|---|---|---|"]
    index += [f"| [{r.id}]({r.id}.md) | {r.name} | {r.severity} | {r.title} |" for r in rules]
    return {"README.md": "\n".join(index) + "\n", **{f"{r.id}.md": page(r) for r in rules}}


def readme(text: str) -> str:
    """The README with the help of ``poisonscan scan`` as it is today."""
    runner = CliRunner(env={"COLUMNS": "80"})
    shown = runner.invoke(cli, ["scan", "--help"], prog_name="poisonscan").output.strip()
    block = f"<!-- help -->\n```\n{shown}\n```"
    return re.sub(r"<!-- help -->\n```\n.*?```", lambda _: block, text, flags=re.DOTALL)


def main() -> int:
    """Write the pages, or compare them."""
    wanted = pages()
    current = README.read_text("utf-8")
    present = {path.name: path.read_text("utf-8") for path in FOLDER.glob("*.md")}
    if "--check" in sys.argv[1:]:
        stale = sorted(
            name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name)
        )
        stale += [] if readme(current) == current else ["../../README.md"]
        sys.stdout.write("".join(f"out of date: docs/rules/{name}\n" for name in stale))
        return 1 if stale else 0
    README.write_text(readme(current), "utf-8")
    FOLDER.mkdir(exist_ok=True)
    for name in present.keys() - wanted.keys():
        (FOLDER / name).unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Write ``docs/rules/``: one page per rule. ``--check`` says what is out of date."""

from __future__ import annotations

import sys
from pathlib import Path

from poisonscan.finding import Rule
from poisonscan.rules import all_rules

FOLDER = Path(__file__).parent / "rules"


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


def main() -> int:
    """Write the pages, or compare them."""
    wanted = pages()
    present = {path.name: path.read_text("utf-8") for path in FOLDER.glob("*.md")}
    if "--check" in sys.argv[1:]:
        stale = sorted(
            name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name)
        )
        sys.stdout.write("".join(f"out of date: docs/rules/{name}\n" for name in stale))
        return 1 if stale else 0
    FOLDER.mkdir(exist_ok=True)
    for name in present.keys() - wanted.keys():
        (FOLDER / name).unlink()
    for name, text in wanted.items():
        (FOLDER / name).write_text(text, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Write a page per rule, and the help in the README. ``--check`` says what is out of date."""

from __future__ import annotations

import re
import sys
import textwrap
from pathlib import Path

from click.testing import CliRunner

from poisonscan.cli import cli
from poisonscan.confirmation.confirm import OF_PICTURES, OF_TEXTS
from poisonscan.finding import Rule
from poisonscan.rules import all_rules

FOLDER = Path(__file__).parent / "rules"
README = Path(__file__).parents[1] / "README.md"
BENCHMARKS = Path(__file__).parents[1] / "benchmarks" / "README.md"


_CONFIRM = {
    "PS0": (
        "`poisonscan scan TARGET -v` lists every file that was read and every one that was not, "
        "with the reason. Read the file with the library that it is for, away from anything of "
        "value."
    ),
    "PS1": (
        "`poisonscan scan FILE --select {0} -v` shows the place and the evidence. Look at that "
        "place without loading the file: `python -m pickletools FILE` prints a pickle, `unzip "
        "-l` lists an archive, and settings, templates and code are text. Ask what the name is "
        "for where it is used, not whether it could be harmless."
    ),
    "PS2": (
        "`poisonscan scan FILE --select {0} -v` shows the place and the evidence. Compare the "
        "digest of the file with the one at its source, fetch it again, and look at the bytes "
        "named: a damaged download and a made file differ there."
    ),
    "PS3": (
        "`poisonscan dataset DATA --select {0} -v` lists the rows and the counts. Count once "
        "more with a tool of your own, look at twenty of the rows, and ask who labelled them "
        "and when."
    ),
    "PS4": (
        "`poisonscan dataset DATA --select {0} --rows-out rows.jsonl -v` lists the rows; `-o "
        "html=report.html` shows them. Look at them beside others of their class. Then train "
        "twice, with them and without: a backdoor is gone without."
    ),
    "PS5": (
        "`poisonscan dataset DATA --select {0} -v` lists the copies, `--rows-out rows.jsonl` "
        "all of them but one each. Read a few groups: a template that the data is made of is no "
        "attack, one text that a crawler cannot have met so often may be."
    ),
    "PS6": (
        "`poisonscan dataset DATA --select {0} -v` lists the rows with what was seen. Read them "
        "as bytes where characters may hide (`python -c 'print(ascii(text))'`), and ask where "
        "these rows come from and what else does."
    ),
    "PS7": (
        "`poisonscan dataset DATA --select {0} -v` lists the rows. Fetch nothing yet: compare "
        "the hosts and the digests with the list as its author published it."
    ),
}


_PUT_TO_A_TEST = (
    "**Put to a test.** A scan trains small models on the data to see if what these rows share "
    "decides the label. If so, the finding is confirmed and one severity graver, up to high: "
    "[how](../how-detection-works.md#confirmation-does-a-model-learn-it)."
)

_LINES = re.MULTILINE | re.DOTALL


def _paragraph(text: str) -> str:
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


def measured(rule: Rule, benchmarks: str) -> str:
    """What the benchmarks' tables say of a rule that states no rates itself."""
    tables = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in benchmarks.splitlines()
        if line.startswith("| ")
    ]
    samples = [row for row in tables if len(row) == 7 and re.match(rf"{rule.id}-", row[0])]
    planted = [row for row in tables if len(row) == 6 and rule.id in row[1].split(", ")]
    said = []
    if samples:
        found, files = (sum(int(row[at]) for row in samples) for at in (2, 1))
        good = re.search(r"^(\d+) good samples.*?^\| poisonscan \| (\d+)", benchmarks, _LINES)
        clean = f"; of {good[1]} good ones, {good[2]} are by any rule" if good else ""
        said.append(
            f"{found} of {files} files that were written for this rule are flagged{clean}. They "
            "are samples of our own: that says what the rule means to find, not how much of it "
            "there is elsewhere."
        )
    if planted:
        listed = "; ".join(
            f"{row[0]}: found in {row[2]} sets, recall {row[3]}, precision {row[4]}"
            for row in planted
        )
        said.append(f"40 rows planted among 1,500 of public texts. {listed}.")
    if not said:
        said.append(
            "Nothing beyond what stands above and the samples of both kinds that the tests hold it "
            "to: assume no rate that is not here."
        )
    return " ".join(said) + " How: [benchmarks](../../benchmarks/README.md)."


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
        f"Severity: {rule.severity} · precision: {rule.precision} · {tags}"
        + ("" if rule.fast else " · not in the profile `fast`"),
        "",
        rule.help.rstrip(),
        "",
        _paragraph(f"**How to confirm.** {_CONFIRM[rule.id[:3]].format(rule.id)}"),
    ]
    if rule.id in OF_PICTURES | OF_TEXTS:
        lines += ["", _paragraph(_PUT_TO_A_TEST)]
    if "**Measured" not in rule.help:
        lines += ["", _paragraph(f"**Measured.** {measured(rule, BENCHMARKS.read_text('utf-8'))}")]
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

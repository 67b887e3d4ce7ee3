from __future__ import annotations

import dataclasses
import re

import pytest
from hypothesis import given, settings

from poisonscan.escape import escape
from poisonscan.finding import Gap, Json, Location, Row, Rows, Scanned, Severity, Span
from poisonscan.report import Report
from poisonscan.reporters.base import REPORTERS, Options, advice
from poisonscan.reporters.html_parts import help_parts
from poisonscan.reporters.terminal import Terminal, bar, no_command, size
from poisonscan.reporters.text import ROWS_SHOWN, render
from poisonscan.rules import all_rules
from tests.reporters.samples import CRITICAL, HELP, HIGH, LOW, MEDIUM, csv_rows, full, reports

CODES = re.compile(r"\x1b\[[0-9;]*m")
SCANNED = Scanned("data/train.csv", "dataset", "csv", 140_000, 4000)


def plain(report: Report, verbosity: int = 0, width: int = 100) -> str:
    return render(report, Options(width=width, verbosity=verbosity))


def last(report: Report) -> str:
    return plain(report).splitlines()[-1]


def test_exact_page() -> None:
    report = Report(
        ("models",),
        findings=[
            LOW.finding(Location("b.pkl"), "Odd."),
            CRITICAL.finding(
                Location("a.pt!/archive/data.pkl", Span(48, 3, 1096)), "Loading runs 'os.system'."
            ),
            CRITICAL.finding(Location("b.pkl", Span(9)), "Loading runs 'nt.system'."),
        ],
        gaps=[Gap("c.bin", "cannot be read: no"), Gap("a.pt", "failed", "some_detector")],
        scanned=[Scanned("a.pt", "model", "zip", 2000), Scanned("b.pkl", "model", "pickle", 10)],
        seconds=0.25,
    )
    assert plain(report) == (
        "a.pt  zip, 2 kB\n"
        "  CRITICAL  PS901 runs-code\n"
        "    Loading runs 'os.system'.\n"
        "     at  archive/data.pkl, bytes 48–50 (byte 1096 of the file)\n"
        "    why  The code runs with your rights.\n"
        "     do  Do not load the file.\n"
        "\n"
        "b.pkl  pickle, 10 bytes\n"
        "  CRITICAL  PS901 runs-code\n"
        "    Loading runs 'nt.system'.\n"
        "     at  byte 9\n"
        "  LOW       PS904 odd-column\n"
        "    Odd.\n"
        "    why  The code runs with your rights.\n"
        "     do  Do not load the file.\n"
        "\n"
        "Scanned  1 zip, 1 pickle\n"
        "\n"
        "Not checked  The findings above are not the whole picture.\n"
        "  c.bin: cannot be read: no\n"
        "  a.pt: failed (some_detector)\n"
        "\n"
        "3 findings (2 critical, 1 low) · 2 model files scanned · 2 not checked · 0.2 s\n"
    )


def test_quiet_is_findings_and_totals() -> None:
    text = plain(full(), -1)
    assert "why" not in text
    assert "Not checked" in text  # what may hide something is told in every case
    assert "Scanned" not in text
    assert "Skipped" not in text
    assert text.count("CRITICAL") == 3
    assert text.splitlines()[-1] == last(full())
    assert "2 not checked" in text


def test_rows_have_file_line_index_class_and_score() -> None:
    report = Report(("x",), findings=[MEDIUM.finding(Location("d", csv_rows(8)), "Wrong.")])
    text = plain(report)
    assert "data/train.csv:2  row 0  class '7'  score 1     'text 0'" in text  # in folder d
    assert text.count("  row ") == ROWS_SHOWN
    assert "… and 5 more rows (-v lists more)" in text


def test_verbose_lists_every_row_and_says_when_there_are_more() -> None:
    report = Report(("x",), findings=[MEDIUM.finding(Location("d", csv_rows(1200)), "Wrong.")])
    text = plain(report, 1)
    assert text.count("  row ") == 1000
    assert "… and 200 more rows\n" in text


def test_verbose_shows_evidence_help_files_and_skipped() -> None:
    text = plain(full(), 1)
    assert "snippet  55: R REDUCE" in text
    assert "score  4.25" in text
    assert "It can do what you can do." in text
    assert "models/evil.pt!/archive/data.pkl  torch pickle, 120 bytes" in text
    assert "README.md: plain text" in text
    assert "README.md" not in plain(full())


def test_facts_of_a_dataset() -> None:
    text, verbose = plain(full()), plain(full(), 1)
    assert "features  n-grams, words" in text
    assert "roles  label: y; text: a, b" in text
    for fact in ("columns  text (content), y (label)", "splits  train (2), test (1)"):
        assert fact not in text
        assert fact in verbose
    bars = [line.count("█") for line in verbose.splitlines() if "█" in line]
    assert bars == [24, 8]
    assert "labels  █▃  " in text


def test_many_labels_are_cut() -> None:
    entry = Scanned("d", "dataset", "csv", 1, 1, {"labels": {str(i): i for i in range(90)}})
    report = Report(("d",), scanned=[entry])
    assert "… and 80 more" in plain(report, 1)
    line = next(line for line in plain(report).splitlines() if "█" in line)
    assert re.fullmatch(r"    labels  [▅▆▇█]{40}  89 89, 88 88, 87 87, … 86 more …, 0 0", line)


def screen(report: Report, height: int | None, verbosity: int = 0) -> list[str]:
    return render(report, Options(width=100, height=height, verbosity=verbosity)).splitlines()


def crowd() -> Report:
    """More of everything than fits on a screen; the one critical finding is in the last file."""
    findings = [
        by.finding(Location(f"m/{n}.bin", Span(n)), f"Number {n} is wrong.", key=str(n))
        for by in (LOW, MEDIUM, HIGH)
        for n in range(200)
    ]
    findings.append(CRITICAL.finding(Location("m/z.bin"), "Loading runs 'os.system'."))
    labels: dict[str, Json] = {"labels": {"a": 3, "b": 2}}
    return Report(
        ("m",),
        findings=findings,
        gaps=[Gap(f"g/{n}", "cannot be read: no") for n in range(80)],
        scanned=[Scanned(f"d/{n}.csv", "dataset", "csv", 9, 5, labels) for n in range(70)],
    )


@pytest.mark.parametrize("height", [23, 40, 80, 120])
def test_a_screen_is_enough_and_says_what_it_leaves_out(height: int) -> None:
    lines = screen(crowd(), height)
    assert height * 0.6 < len(lines) <= height
    assert "Loading runs 'os.system'." in lines[2]
    shown = sum(line.lstrip().startswith("Number ") for line in lines) + 1
    text = "\n".join(lines)
    assert f"{601 - shown} more findings  (-v shows all)" in text
    counted = sum(int(n) for n in re.findall(r"PS90\d [\w-]+ +(\d+) in ", text))
    assert counted == 601 - shown
    gaps = text.count("cannot be read")
    assert f"… and {80 - gaps} more (-v lists them)" in text
    assert lines[-1].startswith("601 findings (1 critical, 200 high, 200 medium, 200 low)")


def test_of_equally_severe_findings_each_rule_has_one() -> None:
    other = dataclasses.replace(CRITICAL, id="PS909", name="other")
    findings = [CRITICAL.finding(Location(f"{n}.pkl"), "One.", key=str(n)) for n in range(99)]
    findings.append(other.finding(Location("z.pkl"), "Another."))
    assert "    Another." in screen(Report(("m",), findings=findings), 23)


def test_what_fits_is_shown_whole_and_verbose_shows_all() -> None:
    assert screen(full(), 500) == screen(full(), None)
    assert screen(crowd(), 23, verbosity=1) == screen(crowd(), None, verbosity=1)
    assert len(screen(crowd(), None)) > 1500


def test_rows_name_their_file_only_where_it_is_not_above() -> None:
    here, there = csv_rows(2), csv_rows(2, "data/b.csv")
    rows = Rows(here.rows + there.rows, 4)
    text = plain(Report(("x",), findings=[MEDIUM.finding(Location("data/train.csv", rows), "W.")]))
    assert "     line 2        row 0  class '7'" in text
    assert "     data/b.csv:2  row 0  class '7'" in text


def test_excerpts_end_with_the_line() -> None:
    row = Row("d.csv", 5, line=(7, 7), label="a", excerpt="word " * 200)
    finding = MEDIUM.finding(Location("d.csv", Rows((row,), 1)), "Wrong.")
    for width in (60, 80, 120):
        (line,) = (
            line
            for line in plain(Report(("x",), findings=[finding]), width=width).splitlines()
            if "row 5" in line
        )
        assert width - 8 < len(line) <= width


@pytest.mark.parametrize("width", [40, 60, 100, 200])
@pytest.mark.parametrize("before", [0, 3, 60, 150])
def test_what_a_finding_is_about_stands_in_angle_quotes(width: int, before: int) -> None:
    excerpt = "abcde " * 40
    excerpt = f"{excerpt[:before]}TRIGGER{excerpt[before:]}"
    row = Row("d.csv", 5, line=(7, 7), label="a", excerpt=excerpt, mark=(before, 7))
    finding = MEDIUM.finding(Location("d.csv", Rows((row,), 1)), "Wrong.")
    shown = plain(Report(("x",), findings=[finding]), width=width)
    assert "«TRIGGER»" in shown
    assert max(map(len, shown.splitlines())) <= max(width, 60)


def test_detectors_that_could_not_be_applied_are_counted() -> None:
    facts: dict[str, Json] = {
        "not applicable": {"no label": ["a", "b", "c", "d"], "no text": ["e f"]}
    }
    report = Report(("d",), scanned=[Scanned("d", "dataset", "csv", 1, 1, facts)])
    said = " ".join(plain(report).split())
    lacking = "no label (--label-column NAME gives it)"
    assert f"{lacking}: 4 detectors (-v names them); no text: e f" in said
    assert "no label: a, b, c, d" in plain(report, 1)
    assert "1 dataset has no labels" in said


def test_columns_that_may_hold_labels_are_named_above_all_else() -> None:
    facts: dict[str, Json] = {"not applicable": {"no label": ["a", "b"], "no text": ["c"]}}
    lacking = Scanned("none.csv", "dataset", "csv", 1, 1, facts)
    perhaps = Scanned("d.csv", "dataset", "csv", 1, 1, {**facts, "may be labels": ["y\x1b[2J"]})
    lines = plain(Report(("d",), scanned=[lacking, perhaps]), -1).splitlines()
    assert " ".join(lines[:2]).startswith("No labels  d.csv: no column was taken for labels, so 2")
    assert r"--label-column names one, perhaps 'y\x1b[2J'" in " ".join(map(str.strip, lines))
    assert "none.csv" not in "".join(lines)
    assert "2 datasets have no labels" in " ".join(lines)


@pytest.mark.parametrize(
    ("report", "start"),
    [
        (Report(("x",)), "Nothing was scanned · 0.0 s"),
        (Report(("x",), gaps=[Gap("x", "y")]), "Nothing was scanned · 1 not checked"),
        (Report(("x",), scanned=[SCANNED]), "Clean · 1 dataset (4,000 rows) scanned"),
        (
            Report(("x",), scanned=[SCANNED], gaps=[Gap("x", "y")]),
            "No findings, but not everything was checked · 1 dataset (4,000 rows) scanned · 1 not",
        ),
        (
            Report(("x",), scanned=[SCANNED], interrupted=True),
            "Interrupted: No findings, but not everything was checked",
        ),
        (
            Report(("x",), findings=[HIGH.finding(Location("x"), "Bad.")], interrupted=True),
            "Interrupted: 1 finding (1 high) · 0.0 s",
        ),
    ],
)
def test_last_line(report: Report, start: str) -> None:
    assert last(report).startswith(start)
    assert ("Clean" in plain(report)) == report.complete


def test_gap_is_shown_whole_and_says_what_no_findings_mean() -> None:
    reason = "limit reached: " + "word " * 60
    text = plain(Report(("x",), scanned=[SCANNED], gaps=[Gap("a.bin", reason.strip())]))
    assert text.count("word") == 60
    assert "That nothing was found says nothing about these." in text


def test_colour_changes_nothing_but_codes() -> None:
    coloured = render(full(), Options(colour=True, width=100))
    assert CODES.sub("", coloured) == plain(full())
    assert "\x1b[" in coloured
    words = {line for line in coloured.splitlines() if "PS90" in line}
    assert any("\x1b[97m\x1b[41m\x1b[1mCRITICAL" in line for line in words)


@pytest.mark.parametrize("width", [1, 40, 80, 200])
def test_messages_are_wrapped(width: int) -> None:
    message = "A long message. " * 20
    text = plain(Report(("x",), findings=[LOW.finding(Location("a"), message)]), width=width)
    lines = [line for line in text.splitlines() if "long" in line]
    assert max(map(len, lines)) <= max(width, 40)
    assert " ".join(line.strip() for line in lines) == message.strip()


def test_width_is_the_terminals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "61")
    assert Options().width == 61


@pytest.mark.parametrize(
    "line",
    [
        "::error::x",
        "   ::error::x",
        "\x1b[1m ::error::x",
        "a ##[error]x",
        "##VSO[task.x]y",
        "x##teamcity[y",
    ],
)
def test_build_commands_are_broken(line: str) -> None:
    shown = no_command(line)
    assert shown != line
    assert not CODES.sub("", shown).lstrip().startswith("::")
    assert not re.search(r"##(\[|vso\[|teamcity\[)", shown, re.IGNORECASE)
    assert no_command(shown) == shown


@pytest.mark.parametrize("line", ["a::b", "# heading", "## [x]", "std::vector"])
def test_other_lines_are_left_alone(line: str) -> None:
    assert no_command(line) == line


@given(reports)
@settings(max_examples=150)
def test_hostile_strings_do_nothing(report: Report) -> None:
    for options in (Options(width=50), Options(colour=True, width=90, verbosity=1)):
        text = render(report, options)
        assert text.endswith("\n")
        text.encode("utf-8")
        for line in text.split("\n"):
            bare = CODES.sub("", line) if options.colour else line
            assert bare == escape(bare)
            assert not bare.lstrip().startswith("::")
            assert "##[" not in bare
        assert max(map(len, text.split("\n"))) < 6_000


def test_advice() -> None:
    assert advice(CRITICAL, "Why it matters") == "The code runs with your rights."
    whole = advice(CRITICAL, "Why it matters", whole=True)
    assert whole == "The code runs with your rights. It can do what you can do."
    assert advice(CRITICAL, "Limits") == "None that are known."
    assert advice(CRITICAL, "No such heading") == ""
    assert "**" in HELP
    stressed = dataclasses.replace(
        CRITICAL, help="**Why it matters.** A word such as *cf*, `*.pt` or `a*b*`."
    )
    assert advice(stressed, "Why it matters") == "A word such as cf, `*.pt` or `a*b*`."


def test_no_rule_shows_marks_of_its_markup() -> None:
    for rule in all_rules().values():
        for heading in ("What it means", "Why it matters", "What to do"):
            plain = re.sub("`[^`]*`", "", advice(rule, heading, whole=True))
            assert "*" not in plain, rule.id
        for part in help_parts(rule.help):
            assert not [p for p in part.pieces if p.how == "" and "*" in p.text], rule.id


def test_sizes_and_bars() -> None:
    sizes = [0, 1, 999, 1000, 999_499, 999_500, 12_345_678, 10**21]
    assert [size(n) for n in sizes] == [
        "0 bytes", "1 byte", "999 bytes", "1 kB", "999 kB", "1 MB", "12.3 MB", "1e+06 PB",
    ]  # fmt: skip
    assert [bar(share, 10) for share in (0, 0.001, 0.5, 1)] == ["", "█", "█" * 5, "█" * 10]


@pytest.mark.parametrize("severity", Severity)
def test_severity_words_align(severity: Severity) -> None:
    for colour in (False, True):
        word = Terminal(colour=colour, width=80).severity(severity)
        assert len(CODES.sub("", word)) == 8


def test_reporters_by_name() -> None:
    assert {"text", "json", "sarif", "html", "markdown", "junit", "github", "jsonl"} == {*REPORTERS}
    for reporter in REPORTERS.values():
        assert reporter(full(), Options()).endswith("\n")


def test_a_file_that_is_a_row_has_no_number() -> None:
    rows = tuple(Row(f"cats/{name}.png", 0, label="cat", whole=True) for name in "ab")
    report = Report(("x",), findings=[MEDIUM.finding(Location("cats", Rows(rows, 2)), "Wrong.")])
    text = plain(report)
    assert "cats/a.png  class 'cat'" in text
    assert "row 0" not in text
    assert "row 0" not in REPORTERS["markdown"](report, Options())
    assert "Row 0" not in REPORTERS["sarif"](report, Options())

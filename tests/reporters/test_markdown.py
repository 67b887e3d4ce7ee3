from __future__ import annotations

from hypothesis import given, settings
from markdown_it import MarkdownIt
from markdown_it.token import Token

from poisonscan.finding import Gap, Location, Rule, Severity
from poisonscan.report import Report
from poisonscan.reporters.base import Options
from poisonscan.reporters.markdown import FINDINGS_SHOWN, GAPS_SHOWN, MAX_BYTES, code, render
from tests.reporters.samples import CRITICAL, HOSTILE, LOW, full, reports

READER = MarkdownIt("gfm-like", {"html": True})
OURS = {"text", "code_inline", "strong_open", "strong_close", "softbreak"}


def inline(source: str) -> list[Token]:
    return [child for token in READER.parse(source) for child in token.children or []]


def page(report: Report) -> str:
    return render(report, Options())


def test_exact_page() -> None:
    report = Report(
        ("a",),
        findings=[
            LOW.finding(Location("b.pkl"), "Odd."),
            CRITICAL.finding(Location("a|b.pt!/x`y"), "Loading runs 'a|b'."),
        ],
        gaps=[Gap("c.bin", "cannot be read: <b>")],
    )
    assert page(report) == (
        "## poisonscan: 2 findings (1 critical, 1 low)\n"
        "\n"
        "1 not checked\n"
        "\n"
        "| severity | rule | what | where |\n"
        "|---|---|---|---|\n"
        "| **critical** | PS901 runs-code | `Loading runs 'a\\x7cb'.` | `a\\x7cb.pt!/x\\x60y` |\n"
        "| **low** | PS904 odd-column | `Odd.` | `b.pkl` |\n"
        "\n"
        "**What to do**\n"
        "\n"
        "* PS901: Do not load the file.\n"
        "* PS904: Do not load the file.\n"
        "\n"
        "**Not checked**: that nothing was found says nothing about these.\n"
        "\n"
        "* `c.bin`: `cannot be read: <b>`\n"
        "\n"
    )


def test_a_page_without_findings_is_not_clean_when_something_is_missing() -> None:
    assert page(Report(("a",))).startswith("## poisonscan: Nothing was scanned\n")
    assert "Clean" not in page(Report(("a",), gaps=[Gap("a", "no")]))
    assert "3 findings below the severity" in page(Report(("a",), hidden=3))


def test_everything_hostile_stays_in_its_code_span() -> None:
    for text in (*HOSTILE, "@everyone", "a\\", "\\|x", "``", "`a", " ", "https://evil.example/"):
        cells = inline(f"| a | b |\n|---|---|\n| {code(text)} | {code(text)} |\n")
        spans = [token.content.strip() for token in cells if token.type == "code_inline"]
        assert spans == ([] if code(text) == "(empty)" else [code(text)[1:-1].strip()] * 2)
        assert {token.type for token in cells} <= {"text", "code_inline"}


@given(reports)
@settings(max_examples=40)
def test_no_report_brings_markup_of_its_own(report: Report) -> None:
    source = page(report)
    assert len(source.encode()) <= MAX_BYTES
    tokens = READER.parse(source)
    blocks = {token.type for token in tokens}
    assert not blocks & {"html_block", "fence", "code_block", "blockquote_open", "hr"}
    assert sum(token.type == "heading_open" for token in tokens) == 1
    rows = sum(token.type == "tr_open" for token in tokens)
    assert rows == (len(report.findings) + 1 if report.findings else 0)
    assert sum(token.type == "td_open" for token in tokens) == 4 * len(report.findings)
    assert {token.type for token in inline(source)} <= OURS
    for token in inline(source):
        if token.type == "text":
            assert "@" not in token.content
            assert "::" not in token.content


def test_markup_in_the_help_of_a_foreign_rule_is_code() -> None:
    help_text = "**What to do.** Ask @someone at www.evil.example or [here](https://x) <b>."
    rule = Rule("PS905", "x-y", "T", Severity.LOW, "low", "d", help_text)
    source = page(Report(("a",), findings=[rule.finding(Location("a"), "x.")]))
    assert "* PS905: `Ask @someone" in source


def test_the_rest_is_counted_and_the_limit_kept() -> None:
    worst = "\U0001f4a9" * 4000
    report = Report(
        ("a",),
        findings=[
            (CRITICAL if n == 1499 else LOW).finding(Location(f"{n}/{worst}"), worst)
            for n in range(1500)
        ],
        gaps=[Gap(worst, worst, worst)] * 1500,
    )
    source = page(report)
    assert len(source.encode()) < MAX_BYTES
    assert f"… and {1500 - FINDINGS_SHOWN:,} more findings" in source
    assert f"… and {1500 - GAPS_SHOWN:,} more" in source
    assert source.index("**critical**") < source.index("**low**")


def test_full() -> None:
    source = page(full())
    assert source.startswith("## poisonscan: 12 findings (3 critical, 4 high, 4 medium, 1 low)\n")
    assert "`data/train.csv:2 row 0 and 7 more rows`" in source
    assert "`data/a.parquet`: `the detector failed` (`spectral_signature`)" in source

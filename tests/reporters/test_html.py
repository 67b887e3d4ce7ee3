from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings

from poisonscan.escape import escape
from poisonscan.finding import Aside, Json, Location, Row, Rows, Scanned
from poisonscan.marks import in_excerpts
from poisonscan.report import Report
from poisonscan.reporters.base import REPORTERS, Options
from poisonscan.reporters.html_page import FINDINGS, ROWS
from poisonscan.reporters.html_parts import marked, patch
from poisonscan.rules import LEFT_OUT
from tests.reporters.samples import CRITICAL, HIGH, HOSTILE, MEDIUM, RULES, csv_rows, full, reports

VOID = {"meta", "input", "rect"}
TAGS = {
    *("html", "head", "meta", "title", "style", "body", "header", "nav", "main", "section"),
    *("article", "footer", "h1", "h2", "h3", "h4", "p", "a", "ul", "ol", "li", "dl", "dt", "dd"),
    *("div", "span", "b", "strong", "code", "pre", "mark", "details", "summary", "table"),
    *("caption", "thead", "tbody", "tr", "th", "td", "svg", "rect", "figure", "figcaption"),
    *("form", "label", "input", "select", "option", "script"),
}
ATTRIBUTES = {
    *("lang", "charset", "http-equiv", "content", "name", "class", "id", "href", "hidden", "type"),
    *("value", "checked", "role", "tabindex", "scope", "aria-label", "aria-labelledby"),
    *("aria-hidden", "data-rule", "data-severity", "viewbox", "preserveaspectratio", "width"),
    *("height", "x", "y", "fill", "shape-rendering"),
}
RATIO = 4.5


class Tree(HTMLParser):
    """Elements with their attributes, what is open at the end, and text by element."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.open: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self.open[-1] if self.open else "", data))

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]

    def text(self, tag: str = "") -> str:
        inert = ("style", "script")
        return " ".join(t for at, t in self.texts if (at == tag if tag else at not in inert))


def page_of(report: Report, options: Options | None = None) -> str:
    page = REPORTERS["html"](report, options or Options())
    assert page.endswith("\n")
    return page


def report_with(*rows: Row, count: int = 0, **evidence: Json) -> Report:
    at = Location("data/a.csv", Rows(rows, count or len(rows)))
    finding = replace(MEDIUM.finding(at, "Rows are odd."), evidence=evidence)
    return Report(("data",), findings=[finding], rules=RULES, version="0.1.0")


def check(page: str) -> Tree:
    """Nothing but what the template writes: its elements and attributes, well nested."""
    tree = Tree(page)
    assert tree.open == []
    for tag, attributes in tree.elements:
        assert tag in TAGS
        assert set(attributes) <= ATTRIBUTES, tag
    assert len(tree.all("script")) == len(tree.all("style")) == 1
    ids = [attributes["id"] for _, attributes in tree.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    for link in tree.all("a"):
        assert link["href"].startswith("#")
        assert link["href"][1:] in ids
    for _, attributes in tree.elements:
        assert attributes.get("aria-labelledby", ids[0]) in ids
    return tree


@settings(max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(reports)
def test_hostile_reports_stay_inert(report: Report) -> None:
    page = page_of(report)
    tree = check(page)
    page.encode()
    text = tree.text().replace("\n", "")
    assert text == escape(text)
    assert {"style": tree.text("style"), "script": tree.text("script")} == INLINE


INLINE = {tag: Tree(page_of(full())).text(tag) for tag in ("style", "script")}


@pytest.mark.parametrize(
    "text", [*HOSTILE, "</script><script>alert(1)</script>", "'\"><img src=x>"]
)
def test_hostile_rows_are_text(text: str) -> None:
    row = Row(text, 1, text, label=text, excerpt=text)
    report = report_with(row, phrase=text, patch=[text], host=text)
    evidence = {**report.findings[0].evidence, text: text}
    report.findings = [replace(report.findings[0], evidence=evidence)]
    report.targets = (text,)
    report.scanned = [
        Scanned(
            text, "dataset", text, 1, 1, {text: text, "labels": {text: 1}, "columns": {text: text}}
        )
    ]
    tree = check(page_of(report))
    if text.strip() and len(text) < 100:
        assert escape(text) in "".join(t for _, t in tree.texts)


def test_the_policy_allows_what_is_inline_and_nothing_else() -> None:
    page = page_of(full())
    policy = next(m["content"] for m in Tree(page).all("meta") if "http-equiv" in m)
    rules = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert rules["img-src"] == "data:"
    for tag in ("style", "script"):
        (inline,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{digest}'"
    assert page.index("Content-Security-Policy") < page.index("<style>")


def test_nothing_is_loaded() -> None:
    page = page_of(full())
    shown = re.sub(r'src="data:image/png;base64,[\w+/=]*"', "", page)
    assert not re.search(r"(?:https?:)?//\w|url\(|@import|\bsrc=|<link|<iframe|<object", shown)
    assert not re.search(r"\son\w+=|\sstyle=|javascript:|innerHTML|eval\(", page)


def test_headings_are_in_order_and_landmarks_are_there() -> None:
    tree = check(page_of(full()))
    levels = [int(tag[1]) for tag, _ in tree.elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(later <= former + 1 for former, later in pairwise(levels))
    tags = [tag for tag, _ in tree.elements]
    assert tags.count("main") == tags.count("header") == tags.count("footer") == 1
    assert tree.all("html") == [{"lang": "en"}]
    assert all("scope" in heading for heading in tree.all("th"))


def test_gaps_come_before_findings_and_in_the_verdict() -> None:
    page = page_of(full())
    assert "Not everything was checked: 2 things could not be, or not whole." in page
    assert page.index('id="result"') < page.index('id="not-checked"') < page.index('id="findings"')
    text = Tree(page).text()
    assert "cannot be read: Input/output error" in text
    assert "treat them as unsafe" in text


def test_only_clean_is_called_clean() -> None:
    clean = Report(("m",), scanned=[Scanned("m", "model", "pickle", 1)])
    assert '<p class="headline">Clean</p>' in page_of(clean)
    partial = Scanned("d", "dataset", "csv", 1, 1, {"partial": "the first row"})
    undecided = replace(partial, facts={"flipped labels": "not decided: too few"})
    for report in (
        Report(("m",)),
        replace(clean, interrupted=True),
        replace(clean, gaps=full().gaps),
        replace(clean, hidden=1),
        replace(clean, scanned=[partial]),
        replace(clean, scanned=[undecided]),
        replace(clean, scanned=[replace(partial, facts={LEFT_OUT: {"fast": ["PS401"]}})]),
    ):
        page = page_of(report)
        assert '<p class="headline">Clean</p>' not in page
        assert 'class="verdict warn"' in page
    assert "Not judged" in page_of(replace(clean, scanned=[undecided]))


def test_a_model_finding_says_what_would_run_and_where() -> None:
    at = Location("m.tar!/m.pt!/data.pkl", full().findings[0].at.part)
    finding = CRITICAL.finding(at, "Loading runs it.", calls="os.system('<b>')", opcode="REDUCE")
    text = " ".join(Tree(page_of(Report(("m",), findings=[finding]))).text().split())
    assert "What loading would run os.system('<b>')" in text
    assert "File m.tar Inside m.pt Inside data.pkl Where byte" in text
    assert "opcode REDUCE" in text
    assert "Why it matters: The code runs with your rights." in text


@pytest.mark.parametrize(
    ("text", "place", "pieces"),
    [
        ("0 f\u0456lm", (3, 1), [("0 f", ""), ("\u0456", "trigger"), ("lm", "")]),
        (
            r"a cf \u200b",
            (5, 6),
            [("a ", ""), ("cf", "trigger"), (" ", ""), (r"\u200b", "trigger")],
        ),
        ("a cf", (2, 2), [("a ", ""), ("cf", "trigger")]),
        ("a cf", (2, 1), [("a ", ""), ("cf", "trigger")]),
        ("a\x1bb", (2, 1), [("a", ""), (r"\x1b", "unseen"), ("b", "")]),  # places moved
        ("x" * 400, (350, 2), [("x" * 299 + "\u2026", "")]),
    ],
)
def test_what_the_row_marks_is_marked(
    text: str, place: tuple[int, int], pieces: list[tuple[str, str]]
) -> None:
    found = marked(text, re.compile("cf"), place)
    assert [(piece.text, piece.how) for piece in found if piece.text] == pieces


def test_the_trigger_is_marked_in_rows() -> None:
    row = Row(
        "a.csv", 3, line=(5, 6), label="pos", score=2.5, excerpt="A <i> Blue,  moon\u200b rises"
    )
    tree = check(page_of(report_with(row, phrase="blue moon")))
    assert [text for tag, text in tree.texts if tag == "mark"] == ["Blue,  moon"]
    assert ("span", "\\u200b") in tree.texts
    assert [text for tag, text in tree.texts if tag == "th"][:5] == [
        *("Row", "Line", "Label", "Score", "Excerpt")
    ]
    assert [t.strip() for tag, t in tree.texts if tag == "td"][:4] == ["3", "5–6", "pos", "2.5"]


def test_marks_of_what_looks_like_a_pattern() -> None:
    assert in_excerpts({"phrase": "  ", "values": [1, None]}) is None
    pattern = in_excerpts({"values": ["a.c", "(x", "a"]})
    assert [piece.text for piece in marked("abc a.c (x a", pattern) if piece.how] == [
        "a.c",
        "(x",
        "a",
    ]
    slow = in_excerpts({"phrase": " ".join("!" * 60)})
    marked("! " * 150, slow)


def test_patches_are_drawn_where_they_are() -> None:
    drawn = patch({"patch": ["00ff", "80"], "place": [1, 2]})
    assert drawn is None
    drawn = patch({"patch": ["00ff", "8001"], "place": [1, 30]})
    assert drawn is not None
    assert drawn.place == (30, 1)
    assert drawn.pixels == ((0, 0, 0), (1, 0, 255), (0, 1, 128), (1, 1, 1))
    for bad in (["zz"], ["000"], [], "00", [1], ["00"] * 33, ["00" * 33], [None]):
        assert patch({"patch": bad}) is None  # type: ignore[dict-item]
    outside = patch({"patch": ["00"], "place": [32, 0]})
    assert outside is not None
    assert outside.place is None
    page = page_of(report_with(Row("a", 1), patch=["00ff"], place=[1, 2]))
    assert 'x="3" y="1" width="1" height="1" fill="rgb(255,255,255)"' in page


def test_what_was_seen_stands_out_of_what_else_is_said() -> None:
    report = report_with(Row("a", 1))
    message = "'A. B <' is planted. It is alike. Confirmed."
    report.findings = [replace(report.findings[0], message=message)]
    page = page_of(report)
    # A stop inside of what is quoted only ends the bold: nothing is lost.
    assert "<strong>&#39;A.</strong> B &lt;&#39; is planted. It is alike. Confirmed.</p>" in page
    report.findings = [replace(report.findings[0], message="One sentence.")]
    assert '<p class="message"><strong>One sentence.</strong></p>' in page_of(report)


def test_numbers_of_numpy_are_numbers() -> None:
    report = report_with(Row("a", 1), log10_p=np.float64(-51.5), looks=[], reason="")
    report.scanned = [Scanned("a.csv", "dataset", "csv", 1, 1, {"error": np.float64(0.25)})]
    page = page_of(report)
    assert "<dt>log10 p</dt>" in page and "-51.5" in page
    assert "0.25" in page
    assert "<dt>looks</dt>" not in page and "<dt>reason</dt>" not in page


def test_a_thousand_rows_are_small() -> None:
    rows = tuple(
        replace(row, excerpt="word " * 40, label="positive") for row in csv_rows(1000).rows
    )
    page = page_of(report_with(*rows, count=1500, phrase="word"))
    assert page.count("<tr>") == 1001
    assert "… and 500 more rows" in page
    assert len(report_page := page_of(report_with(*rows))) < 1_000_000, len(report_page)


def test_a_large_report_is_cut_and_says_so() -> None:
    rows = csv_rows(1000)
    many = [MEDIUM.finding(Location("d.csv", rows), "Odd.", key=str(n)) for n in range(5)]
    more = [HIGH.finding(Location(f"m{n}"), "Odd.") for n in range(FINDINGS)]
    report = replace(full(), findings=many)
    page = page_of(report)
    assert page.count('<td class="excerpt">') == ROWS
    assert "… and 1,000 more rows that this page does not list" in page
    page = page_of(replace(report, findings=many + more))
    assert "… and 5 more findings, none of them worse" in page
    assert len(page) < 2_500_000


def luminance(colour: str) -> float:
    channels = [int(colour[n : n + 2], 16) / 255 for n in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted([luminance(one), luminance(other)], reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_contrast_of_both_schemes() -> None:
    style = INLINE["style"]
    schemes = [dict(re.findall(r"--([\w-]+): (#\w{6})", part)) for part in style.split(":root")[1:]]
    assert len(schemes) == 3
    light = schemes[0]
    for scheme in schemes:
        now = {**light, **scheme}
        pairs = [(text, back) for text in ("text", "dim", "link") for back in ("back", "soft")]
        for tone in ("bad", "warn", "good"):
            if scheme is not schemes[2]:
                pairs += [(tone, f"{tone}-back"), ("text", f"{tone}-back"), ("warn", "bad-back")]
                pairs += [("link", f"{tone}-back")]
        for text, back in [*pairs, ("mark-text", "mark")]:
            assert contrast(now[text], now[back]) >= RATIO, (text, back)
    for badge in re.findall(r"\.(?:critical|high|medium|low) \{ background: (#\w{6})", style):
        assert contrast("#ffffff", badge) >= RATIO


def test_what_was_put_aside_is_said() -> None:
    put = Aside(HIGH.finding(Location("m.bin"), "Odd <b>."), "baseline", "seen <i>")
    report = Report(("m",), scanned=[Scanned("m.bin", "model", "pickle", 1)], aside=[put])
    text = " ".join(check(page_of(report)).text().split())
    assert "Put aside" in text
    assert "PS902 m.bin : Odd <b>. (baseline: seen <i>)" in text

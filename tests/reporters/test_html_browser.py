"""The page in a real Chromium: it runs nothing of a report, loads nothing, and all can read it.

Needs ``pip install '.[browser]'`` and a Chromium: the one that CHROMIUM names, one on the path, or
playwright's own. AXE names a file ``axe.min.js`` of axe-core 4; without it that check is skipped.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from poisonscan.finding import Location, Row, Rows
from poisonscan.report import Report
from poisonscan.reporters.base import REPORTERS, Options
from tests.reporters.samples import HIGH, HOSTILE, MEDIUM, full

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

NAMES = ("chromium", "chromium-browser", "chrome-headless-shell", "google-chrome", "chrome")
ATTACKS = (
    "<script>window.pwned = 1</script>",
    "\"'><img src=x onerror='window.pwned = 1'>",
    "</style></script><svg onload='window.pwned = 1'>",
    "javascript:window.pwned=1",
    "{{7*7}}${7*7}<%= 7*7 %>",
    "<a href='https://example.org/leak'>x</a><iframe srcdoc='<script>parent.pwned=1</script>'>",
    "</table></main><style>*{display:none!important}</style>",
)


def hostile() -> Report:
    """Attacks wherever text from a scanned file may stand."""
    findings = []
    for n, text in enumerate((*ATTACKS, *HOSTILE)):
        row = Row(text, n, split=text, label=text, excerpt=text, thumbnail=text, mark=(0, 9))
        made = HIGH.finding(Location(text, Rows((row, row), 9)), text, phrase=text, x=[text])
        findings.append(replace(made, message=text))
    return replace(full(), findings=findings, targets=ATTACKS)


PAGES: dict[str, Callable[[], Report]] = {
    "full": full,
    "hostile": hostile,
    "nothing": lambda: Report(("a",)),
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with sync_api.sync_playwright() as started:
        named = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
        program = named or started.chromium.executable_path
        if not Path(program).is_file():
            pytest.skip("no Chromium: CHROMIUM names none, and none is on the path")
        is_root = hasattr(os, "geteuid") and os.geteuid() == 0  # who gets no sandbox
        alone = ["--no-sandbox", "--no-zygote"] if is_root else []
        found = started.chromium.launch(executable_path=program, args=alone)
        yield found
        found.close()


def _dismiss(dialog: Any, heard: list[str]) -> None:
    heard.append(f"dialog: {dialog.message}")
    dialog.dismiss()


@pytest.fixture
def opened(browser: Any, tmp_path: Path) -> Iterator[Callable[..., tuple[Any, list[str]]]]:
    """Opens a report; gives the page, and what it said, asked for or ran into."""
    contexts = []

    def open_(report: Report, **context: Any) -> tuple[Any, list[str]]:
        file = tmp_path / "report.html"
        file.write_bytes(REPORTERS["html"](report, Options()).encode())
        contexts.append(browser.new_context(**context))
        page, heard = contexts[-1].new_page(), []
        page.on("console", lambda said: heard.append(f"console: {said.text}"))
        page.on("pageerror", lambda error: heard.append(f"error: {error}"))
        page.on("dialog", lambda dialog: _dismiss(dialog, heard))
        page.on("request", lambda request: heard.append(f"request: {request.url[:200]}"))
        page.goto(file.as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
        own = [one for one in heard if one.startswith(("request: file:", "request: data:"))]
        return page, [one for one in heard if one not in own[:1] and "data:image/png" not in one]

    yield open_
    for context in contexts:
        context.close()


@pytest.mark.parametrize("name", PAGES)
def test_nothing_runs_and_nothing_is_loaded(name: str, opened: Any) -> None:
    page, heard = opened(PAGES[name]())
    assert heard == []
    assert page.evaluate("window.pwned") is None
    assert page.evaluate("document.querySelectorAll('iframe, object, embed, base').length") == 0
    links = page.eval_on_selector_all("a", "found => found.map(each => each.getAttribute('href'))")
    assert all(link.startswith("#") for link in links)
    assert page.locator("h1").is_visible()


def test_a_script_that_got_in_would_not_run(opened: Any) -> None:
    """The second line of defence: the content security policy."""
    page, _ = opened(full())
    page.evaluate(
        "() => { const made = document.createElement('script');"
        " made.textContent = 'window.pwned = 1'; document.body.append(made);"
        " const seen = new Image(); seen.onerror = 'window.pwned = 2';"
        " seen.src = 'https://example.org/x.png'; document.body.append(seen) }"
    )
    assert page.evaluate("window.pwned") is None


@pytest.mark.parametrize("width", [360, 1200])
@pytest.mark.parametrize("name", PAGES)
def test_nothing_is_wider_than_the_screen(name: str, width: int, opened: Any) -> None:
    page, _ = opened(PAGES[name](), viewport={"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0


def test_it_can_be_read_without_scripts(opened: Any) -> None:
    page, heard = opened(full(), java_script_enabled=False)
    assert heard == []
    assert page.locator("h1").is_visible()


def test_filters_hide_and_show(opened: Any) -> None:
    findings = [HIGH.finding(Location("a"), "High."), MEDIUM.finding(Location("b"), "Medium.")]
    page, _ = opened(replace(full(), findings=findings))
    shown = "found => found.filter(each => each.offsetParent !== null).length"
    assert page.eval_on_selector_all(".file", shown) == 2
    page.uncheck("input[value=medium]")
    assert page.eval_on_selector_all(".file", shown) == 1


@pytest.mark.skipif("AXE" not in os.environ, reason="AXE names no axe.min.js")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", PAGES)
def test_axe_has_no_serious_complaint(name: str, scheme: str, opened: Any) -> None:
    page, _ = opened(PAGES[name](), bypass_csp=True, color_scheme=scheme)
    page.evaluate(Path(os.environ["AXE"]).read_text("utf-8"))
    found = page.evaluate("axe.run().then(result => result.violations)")
    grave = [(one["id"], one["nodes"][0]["html"][:200]) for one in found
             if one["impact"] in ("serious", "critical")]  # fmt: skip
    assert grave == []

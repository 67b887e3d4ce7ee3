"""The report as one HTML file for people: it loads nothing, and nothing in it can run.

Everything from a scanned file reaches the page through one gate, ``_shown``: clipped, made inert,
and then escaped by the template. A content security policy allows the one style and the one script
by their hashes and nothing else. The page says all that it has to say with scripts switched off.
"""

from __future__ import annotations

import base64
import datetime as dt
import functools
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from markupsafe import Markup

from poisonscan.reporters.html_page import Page
from poisonscan.reporters.terminal import safe

if TYPE_CHECKING:
    import jinja2

    from poisonscan.report import Report
    from poisonscan.reporters.base import Options

_TEMPLATES: Final = Path(__file__).with_name("page")
_LONGEST: Final = 4_000
"""Characters of one value; what is expected to be longer is cut before."""


def render(report: Report, options: Options) -> str:
    """The report as one self-contained page."""
    written = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M UTC")
    style, script = _inline("report.css"), _inline("report.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_digest(style)}'; "
        f"script-src '{_digest(script)}'; base-uri 'none'; form-action 'none'"
    )
    return _environment().get_template("report.html.jinja").render(
        page=Page.of(report, content=options.content),
        # Files of this package, checked by their digests: nothing of a report is in them.
        style=Markup(style),  # noqa: S704
        script=Markup(script),  # noqa: S704
        policy=policy,
        written=written,
    ) + "\n"  # fmt: skip


@functools.cache
def _environment() -> jinja2.Environment:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )


def _shown(value: object) -> object:
    """What an expression of the template writes; the template escapes markup after it."""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return safe(value, _LONGEST)


@functools.cache
def _inline(name: str) -> str:
    """A file of the page, as a browser sees it."""
    return (_TEMPLATES / name).read_text("utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

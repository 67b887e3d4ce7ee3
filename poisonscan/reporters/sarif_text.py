"""Messages in SARIF: one inert line, to which text from a scanned file can give no meaning."""

from __future__ import annotations

import re
from typing import Final

from poisonscan.escape import clip, escape

_LONGEST: Final = 4_000


def sentence(text: str, limit: int = _LONGEST) -> str:
    """One line of at most ``limit`` characters that ends a sentence.

    SARIF gives ``{0}`` and ``[text](target)`` a meaning, which text from a scanned file must not
    have. A blank takes it away in every reader, while some readers show escapes as they are.
    """
    line = re.sub(r"\{(\d+)\}", r"{ \1 }", escape(text)).replace("](", "] (")
    line = clip(line, limit - 1).rstrip()
    return line if line.endswith((".", "!", "?")) else line + "."

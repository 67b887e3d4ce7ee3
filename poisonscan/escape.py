"""Make untrusted strings inert: what every path, name, label and row passes before it is shown.

A file name may hold terminal escapes, a label a bidirectional override, a tensor name a line that
a build server reads as a command. Escaped text holds none of these, so it can go to a terminal, a
log, SARIF or HTML (which escapes its own markup on top).
"""

from __future__ import annotations

import re

# C0 and C1 controls, DEL, Unicode line separators, bidirectional controls, zero-width and tag
# characters, interlinear marks and lone surrogates: what changes how the text around it is read.
_INERT = re.compile(
    "[\x00-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\ud800-\udfff\U000e0000-\U000e007f]"
)
CLIP = 200


def _code(match: re.Match[str]) -> str:
    point = ord(match.group())
    if point < 0x100:
        return f"\\x{point:02x}"
    return f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"


def escape(text: str) -> str:
    r"""Replace every character that could act on a terminal or a viewer by its ``\xNN`` form.

    Escaping twice gives the same text as escaping once.
    """
    return _INERT.sub(_code, text)


def clip(text: str, limit: int = CLIP) -> str:
    """Shorten ``text`` to at most ``limit`` characters, marking the cut with an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1] + "…"


def quote(value: object, limit: int = CLIP) -> str:
    """An untrusted value as it stands in a message: clipped, escaped and in single quotes."""
    text = value if isinstance(value, str) else str(value)
    return f"'{clip(escape(clip(text, limit)), limit)}'"

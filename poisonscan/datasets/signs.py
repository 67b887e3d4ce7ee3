r"""What the checks of text look for first, in every byte: expressions for the fast search.

Each matches, or is part of, all that its check finds, and little else; a check looks closer around
the ends of the matches only. Strings lie one after the other in the bytes that are searched, so no
expression may ask for what is before or behind it: ``\b``, ``^`` and the like are left to the
closer look.
"""

from __future__ import annotations

from poisonscan.datasets.patterns import Patterns

_GAP = "[^a-z]+"
"""Whatever is between words, also blanks beyond ASCII, whose bytes are of none of its letters."""
_BLANK = r"[\s\x1c-\x1f\x80-\xff]"
"""A blank, or part of one beyond ASCII."""
_EARLIER = "(?:previous|prior|above|preceding|earlier|foregoing|existing|original|initial|system)"
_HANDLERS = "error|load|click|mouseover|focus|toggle|begin|animationstart|pointerenter"
_READERS = "(?:ai|llm|language)"


def _in_any_case(words: str) -> str:
    """An expression for words in letters whose capitals a search of bytes does not know."""
    return "".join(f"(?:{char.lower()}|{char.upper()})" for char in words)


_ORDERS = (
    (
        f"(?:ignore|ignoring|disregard|forget|override|bypass){_GAP}"
        f"(?:(?:all|any|every|the|your|my|of|these|those|what|other){_GAP}){{0,4}}{_EARLIER}{_GAP}"
        f"(?:(?:and|or|system|user|{_EARLIER}){_GAP}){{0,3}}"
        "(?:instruction|prompt|directions|guideline|command|system message)"
    ),
    f"(?:vorherigen|bisherigen){_GAP}anweisungen",
    f"instrucciones{_GAP}anteriores",
    f"instructions{_GAP}pr{_in_any_case('é')}c{_in_any_case('é')}dentes",
    _in_any_case("предыдущие"),
    "忽略(?:之前|以上|前面|先前|上述|所有)",
    (
        f"(?:reveal|print|repeat|show|output|leak|display|tell me){_GAP}(?:me{_GAP})?"
        f"(?:your|the){_GAP}(?:(?:full|entire|hidden|secret){_GAP})?"
        f"(?:system|initial|hidden|original){_GAP}(?:prompt|instructions)"
    ),
    (
        "you are now (?:dan|in (?:developer|god|unrestricted|jailbreak) mode|"
        "an? (?:unrestricted|unfiltered|evil|jailbroken) )"
    ),
    "do anything now",
    f"(?:enable|enter|activate){_GAP}developer mode",
    f"if you are an? (?:{_READERS}|artificial intelligence)",
    "(?:instructions?|note|message|attention|important) (?:for|to) (?:the |all |any )?" + _READERS,
    "give (?:only )?a positive review",
    (
        r"<\|(?:im_start|im_end|system|user|assistant|start_header_id|end_header_id|eot_id|"
        r"begin_of_text|endoftext|endofprompt)\|>"
    ),
    r"\[/?inst\]|<</?sys>>|<(?:start|end)_of_turn>",
)
_MARKUP = (
    f"<script(?:{_BLANK}|[>/])",
    f"<(?:iframe|object|embed){_BLANK}",
    f"[^a-z0-9_]on(?:{_HANDLERS}){_BLANK}*=",
    "(?:java|vb)script:|data:text/html",
    f"http-equiv{_BLANK}*=",
    f"<base{_BLANK}",
    # Of a picture's address: what data is put in for.
    rf"\]\({_BLANK}*https?://[^\s)]*(?:%7b|[{{<\[])",
)
_SECRETS = (
    "A[KS]IA[A-Z2-7]{16}",
    "gh[pousr]_[A-Za-z0-9]{36}",
    "github_pat_[A-Za-z0-9]{22}_",
    "glpat-[A-Za-z0-9_-]{20}",
    "xox[abeprs]-[0-9A-Za-z-]{20}",
    r"hooks\.slack\.com/services/T",
    "AIza[0-9A-Za-z_-]{35}",
    "[rs]k_live_[0-9A-Za-z]{20}",
    "sk-[A-Za-z0-9_-]{20,}T3BlbkFJ",
    "sk-ant-[a-z0-9]",
    "hf_[A-Za-z]{34}",
    "npm_[A-Za-z0-9]{36}",
    r"://[^\s/:@]+:[^\s/:@]{4,}@",
)
_TOKENS = (r"eyJ[A-Za-z0-9_-]{10,}\.eyJ",)
_PRIVATE_KEYS = ("-----BEGIN [A-Z ]*PRIVATE KEY",)
_ENCODED = (
    # Base64 of the heads of pickles and of programs, archives and scripts.
    "(?:gASV|gAJ|gAN|TVqQ|TVpQ|f0VMR|UEsDB|H4sI|IyEv)[A-Za-z0-9+/_-]{36}",
)
_PICKLES = (
    r"c(?:os|nt)\n(?:system|popen|exec|spawn|startfile|remove|unlink)\w*\n",
    r"c(?:posix|subprocess|builtins|__builtin__)\n\w+\n",
)


def _any(expressions: tuple[str, ...], *, caseless: bool = False) -> bytes:
    return f"(?{'i' if caseless else ''}:{'|'.join(expressions)})".encode()


SIGNS = Patterns(
    {
        "orders": _any(_ORDERS, caseless=True),
        "markup": _any(_MARKUP, caseless=True),
        "secrets": _any(_SECRETS),
        "web tokens": _any(_TOKENS),
        "private keys": _any(_PRIVATE_KEYS),
        "encoded": _any(_ENCODED),
        "pickles": _any(_PICKLES),
    }
)

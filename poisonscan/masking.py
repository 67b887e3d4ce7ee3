"""Keys, tokens and passwords in text: where they are, and text that can be shown without them.

Reports are kept, sent around and uploaded; whatever they say of a data set must not hand on the
secrets in it. The forms are those that the services document.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

FORMS = {
    "AWS access key": r"\bA[KS]IA[A-Z2-7]{16}\b",
    "GitHub token": r"\bgh[pousr]_[A-Za-z0-9]{36,251}\b",
    "GitHub fine-grained token": r"\bgithub_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59}\b",
    "GitLab token": r"\bglpat-[A-Za-z0-9_-]{20,64}",
    "Slack token": r"\bxox[abeprs]-[0-9A-Za-z-]{20,250}",
    "Slack webhook": (
        r"hooks\.slack\.com/services/T[A-Z0-9]{8,12}/B[A-Z0-9]{8,12}/[A-Za-z0-9]{20,32}"
    ),
    "Google API key": r"\bAIza[0-9A-Za-z_-]{35}(?![0-9A-Za-z_-])",
    "Stripe key": r"\b[rs]k_live_[0-9A-Za-z]{20,250}",
    "OpenAI key": (
        r"\bsk-(?:proj-|svcacct-|admin-)?[A-Za-z0-9_-]{20,200}T3BlbkFJ[A-Za-z0-9_-]{20,200}"
    ),
    "Anthropic key": r"\bsk-ant-[a-z0-9]{3,8}-[A-Za-z0-9_-]{80,120}",
    "Hugging Face token": r"\bhf_[A-Za-z]{34}\b",
    "npm token": r"\bnpm_[A-Za-z0-9]{36}\b",
    "JSON web token": (
        r"(?<![\w-])eyJ[A-Za-z0-9_-]{10,2000}+\.eyJ[A-Za-z0-9_-]{10,4000}+\.[A-Za-z0-9_-]{20,1000}"
    ),
    "private key": (
        r"-----BEGIN (?:RSA |EC |DSA |OPENSSH |ENCRYPTED |PGP )?PRIVATE KEY(?: BLOCK)?-----"
        r"[A-Za-z0-9+/=\s\\:,.()-]{100,20000}"
    ),
    "password in an address": r"(?<=://)[^\s/:@'\"<>{}$]{1,64}:[^\s/:@'\"<>{}$]{4,128}(?=@[\w-]+\.\w)",
}
_GROUPS = {f"f{number}": name for number, name in enumerate(FORMS)}
_ANY = re.compile("|".join(f"(?P<f{number}>{form})" for number, form in enumerate(FORMS.values())))
# A key that is cut off is shorter than its form, but may still be most of it.
_CUT = re.compile(
    r"(?:\b(?:A[KS]IA|gh[pousr]_|github_pat_|glpat-|xox[abeprs]-|AIza|[rs]k_live_|sk-|hf_|npm_|eyJ)"
    r"[A-Za-z0-9_.-]{8,8000}+|-----BEGIN [A-Z ]{0,20}PRIVATE KEY[^\0]{0,20000})(?:…|'?\Z)"
)
_SIGNS = (
    *("AKIA", "ASIA", "ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "AIza"),
    *("xoxa-", "xoxb-", "xoxe-", "xoxp-", "xoxr-", "xoxs-", "hooks.slack", "rk_live_", "sk_live_"),
    *("sk-", "hf_", "npm_", "eyJ", "-----BEGIN", "://"),
)
"""Every secret begins with one of these, or behind the last."""
_SIGN = re.compile("|".join(map(re.escape, _SIGNS)))
_UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"
    "\U000e0000-\U000e0fff]"
    r"|\\(?:xad|u034f|u061c|u180e|u200[b-f]|u202[a-e]|u206[0-9a-f]|ufe0[0-9a-f]|ufeff"
    r"|U000e0[0-9a-f]{3})"
)
"""Characters that take no room, as they are and as ``poisonscan.escape`` writes them."""
_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Secret:
    """A piece of text that has the form of a secret.

    Attributes:
        form: whose it is, such as ``GitHub token``.
        text: the secret itself: never to be shown.
    """

    form: str
    text: str


def secrets(text: str) -> Iterator[Secret]:
    """All that has the form of a secret, whether it is one or an example."""
    at = end = 0
    while sign := _SIGN.search(text, at):
        at = sign.start() + 1
        begin = sign.end() if sign.group() == _SIGNS[-1] else sign.start()
        match = _ANY.match(text, begin) if begin >= end else None
        if match:
            end = match.end()
            yield Secret(_GROUPS[match.lastgroup or ""], match.group())


def mask(text: str) -> str:
    """The text with all but the first letters of what looks like a secret left out.

    Masking twice gives the same text as masking once.
    """
    masked = _masked(text)
    # What is in the way of a secret can be taken out again by whoever reads the report.
    bare = _UNSEEN.sub("", masked)
    if bare == masked:
        return masked
    again = _masked(bare)
    return masked if again == bare else again


def _masked(text: str) -> str:
    if not any(sign in text for sign in _SIGNS):
        return text
    masked = _ANY.sub(_short, text)
    return _CUT.sub(_short, masked)


def _short(match: re.Match[str]) -> str:
    whole = match.group()
    if whole.startswith("-----"):
        return "-----BEGIN [masked]"
    if match.re is _ANY and _GROUPS[match.lastgroup or ""].startswith("password"):
        return "[masked]"
    return f"{whole[:_SHOWN]}[masked]"

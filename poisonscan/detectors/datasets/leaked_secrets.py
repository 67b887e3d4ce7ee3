"""Keys, tokens and passwords that are in a dataset by mistake."""

from __future__ import annotations

import base64
import binascii
import math
import zlib
from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar

from poisonscan.datasets.batch import Role
from poisonscan.detectors.datasets.few_findings import few
from poisonscan.detectors.datasets.hit_findings import finding, having
from poisonscan.detectors.datasets.label_ties import ties
from poisonscan.detectors.datasets.text_hits import TextHits
from poisonscan.masking import Secret, secrets
from poisonscan.rules import rule

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from poisonscan.datasets.batch import Aggregate
    from poisonscan.datasets.dataset import Dataset
    from poisonscan.datasets.text_scan import Screen
    from poisonscan.finding import Finding, Gap

_AROUND = {"secrets": (900, 300), "web tokens": (2_300, 5_100), "private keys": (100, 20_200)}
"""Bytes before and after the end of what was seen that a secret takes at most."""
_EXAMPLES = (
    "EXAMPLE",
    "example",
    "xxxx",
    "XXXX",
    "your",
    "YOUR",
    "1234567890",
    "abcdefgh",
    "0000000",
    "....",
    "test",
    "TEST",
)
_PLAIN = (
    "password passwd pass secret user username root admin guest test postgres mysql foobar "
    "hunter2 changeme 123456 token pwd <password> anonymous mypassword"
)
_PLAIN_PASSWORDS = frozenset(_PLAIN.split())
_BASE62 = {
    char: value
    for value, char in enumerate("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
}
_PUBLISHED = ("AIzaSyD-9tSrke72PouQMnMX-a7eZSW0jkFMBWY",)
"""Keys of public documentation."""


def entropy(text: str) -> float:
    """Shannon entropy of the letters of a text, in bits a letter."""
    counts = Counter(text).values()
    return -sum(count / len(text) * math.log2(count / len(text)) for count in counts)


def _checksum_fits(token: str) -> bool:
    """Whether the last six letters of a GitHub token are the CRC32 of what is between.

    GitHub 2021, "Behind GitHub's new authentication token formats"; base 62 with digits first.
    """
    body, check = token.partition("_")[2][:-6], token[-6:]
    number = 0
    for char in check:
        number = number * 62 + _BASE62[char]
    return number == zlib.crc32(body.encode())


def _is_json_web_token(token: str) -> bool:
    head = token.partition(".")[0]
    try:
        decoded = base64.urlsafe_b64decode(head + "=" * (-len(head) % 4))
    except (ValueError, binascii.Error):
        return False
    return b'"alg"' in decoded and len(token.split(".")) == 3


def _is_private_key(block: str) -> bool:
    body = "".join(block.partition("KEY")[2].partition("-----")[2].split())
    return len(body) >= 100 and entropy(body[:4_000]) >= 4.5


def is_real(secret: Secret) -> bool:
    """Whether something with the form of a secret is likely to be one, rather than an example."""
    text = secret.text
    limits = rule("PS608").thresholds
    if secret.form == "private key":
        return _is_private_key(text)
    if secret.form == "password in an address":
        name, _, password = text.partition(":")
        plain = password.lower().strip("*x.[]()") in _PLAIN_PASSWORDS or not password.strip("*x.")
        return not plain and password != name and entropy(password) >= limits["password_bits"]
    body = text.partition("_")[2] or text.partition("-")[2] or text[4:]
    if any(example in text for example in _EXAMPLES) or text in _PUBLISHED:
        return False
    if secret.form in ("GitHub token", "npm token") and len(body) == 36:
        return _checksum_fits(text)
    if secret.form == "JSON web token":
        return _is_json_web_token(text)
    return entropy(body) >= limits["bits"]


def look(screen: Screen) -> Iterator[tuple[str, int, str]]:
    """Secrets by form. Nothing of their text is kept."""
    spots = screen.united(*(screen.around(screen.signs[name], *_AROUND[name]) for name in _AROUND))
    told: set[tuple[int, str]] = set()
    for index, text in screen.texts(spots):
        for secret in secrets(text):
            if (index, secret.form) not in told and is_real(secret):
                told.add((index, secret.form))
                yield secret.form, index, ""


class LeakedSecrets:
    """Looks for credentials by their documented forms, checksums and randomness."""

    needs: ClassVar[frozenset[Role]] = frozenset({Role.CELLS})

    def detect(self, dataset: Dataset) -> Generator[Aggregate, Any, Iterable[Finding | Gap]]:
        """Ask for hits; a finding for each form and column."""
        found: TextHits = yield TextHits(look)
        tied = ties(found)
        findings = [
            finding(
                dataset,
                rule("PS608"),
                hits,
                column,
                f"{having(hits.rows, column)} what is a {form} by its form",
                key=(form,),
                tie=tied.get((form, column)),
                form=form,
            )
            for (form, column), hits in sorted(found.hits.items())
        ]
        return few([*found.gaps(dataset.path), *findings])


DETECTOR = LeakedSecrets()

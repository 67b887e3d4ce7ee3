"""Addresses (URLs) in text: their hosts, a batch at a time, and what is wrong with a host."""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from poisonscan.datasets.text_scan import Spots

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from poisonscan.datasets.text_scan import Indices, Screen

_SCHEMES = (b"http", b"https", b"ftp")
_ENDS = np.zeros(256, bool)
"""Bytes that end the name of a host and what belongs to it."""
_ENDS[[*range(33), *b"/?#\"'<>\\()[]{}|,;`*&"]] = True
_WORD = np.zeros(256, bool)
_WORD[[*b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_"]] = True
_COMMON = (
    "google.com googleapis.com googleusercontent.com gstatic.com youtube.com "
    "github.com githubusercontent.com github.io gitlab.com wikipedia.org "
    "wikimedia.org huggingface.co facebook.com instagram.com twitter.com "
    "microsoft.com windows.net apple.com amazon.com amazonaws.com "
    "cloudfront.net paypal.com linkedin.com flickr.com staticflickr.com "
    "pinterest.com pinimg.com shopify.com wordpress.com blogspot.com "
    "reddit.com imgur.com dropbox.com cloudflare.com pypi.org "
    "pythonhosted.org stackoverflow.com arxiv.org kaggle.com "
)
COMMON = frozenset(_COMMON.split())
"""Hosts that are in nearly every set of addresses: what addresses pretend to be."""
_SUFFIXES = frozenset(["co", "com", "org", "net", "ac", "gov", "edu", "or", "ne", "go"])
_SHORTEST = 6
_LONGEST = 300
"""Letters of an address in which its host must end."""
_SHORT, _STEP = 32, 64
"""Bytes of a host that are looked at together."""
_DOTS = 3
"""Dots at the end that belong to the sentence."""
_LONG = 8
"""Letters from which on names are told apart by more than one letter, as a rule."""
_LOOKS_ALIKE = str.maketrans({"0": "o", "1": "l", "i": "l", "5": "s", "q": "g", "9": "g", "d": "b"})
_READ_AS = (("rn", "m"), ("vv", "w"), ("cl", "b"))
"""Letters that are taken for another one; ``d`` is read as ``b`` above."""


def hosts(screen: Screen) -> tuple[Indices, pa.Array]:
    """Hosts of all addresses in some strings.

    Returns:
        For each address the number of its string, ``int64``, and the host, in lower case, without
        port and password; ``@`` before those that had a user.
    """
    at = screen.schemes[_follows_scheme(screen)] + 3
    strings = screen.strings_of(at - 1)
    ends = screen.offsets[strings + 1]
    lengths = _lengths(screen, at, ends)
    marks = _first(screen, at, lengths, (ord("@"), ord(":")))
    simple = marks == lengths
    odd = np.flatnonzero(~simple)
    # Ports, users and passwords: one after the other, as those are few.
    named = {
        number: _host(text)
        for number, (_, text) in zip(
            odd.tolist(),
            screen.texts(Spots(strings[odd], at[odd], at[odd] + lengths[odd])),
            strict=True,
        )
    }
    plain = _plain(screen, at[simple], lengths[simple])
    every = pa.concat_arrays([plain, pa.array(list(named.values()), pa.string())])
    order = np.concatenate([np.flatnonzero(simple), odd])
    kept = np.asarray(pc.match_substring(every, "."), bool)
    return strings[order[kept]], every.filter(pa.array(kept))


def _follows_scheme(screen: Screen) -> NDArray[np.bool_]:
    """Which ``://`` have a scheme of their own before them."""
    at, data = screen.schemes, screen.data
    found = np.zeros(len(at), bool)
    starts = screen.offsets[screen.strings_of(at)]
    for scheme in _SCHEMES:
        first = at - len(scheme)
        fits = first >= starts
        for offset, letter in enumerate(scheme):
            fits &= (data[np.maximum(first + offset, 0)] | 0x20) == letter
        fits &= (first == starts) | ~_WORD[data[np.maximum(first - 1, 0)]]
        found |= fits
    return found


def _lengths(screen: Screen, at: Indices, ends: Indices) -> Indices:
    """How long the hosts are that start at some bytes, with users and ports, in bytes."""
    return _until(screen, at, np.minimum(ends - at, _LONGEST), _ENDS)


def _until(screen: Screen, at: Indices, limits: Indices, stops: NDArray[np.bool_]) -> Indices:
    """How many bytes come before the first of some bytes."""
    lengths = limits.copy()
    rest, done = np.arange(len(at)), 0
    for width in (_SHORT, *[_STEP] * (-(-(_LONGEST - _SHORT) // _STEP))):
        places = np.minimum(at[rest, None] + np.arange(done, done + width), len(screen.data) - 1)
        stop = stops[screen.data[places]]
        where = stop.argmax(1)
        found = stop[np.arange(len(rest)), where]
        lengths[rest[found]] = np.minimum(limits[rest[found]], done + where[found])
        done += width
        rest = rest[~found & (limits[rest] > done)]
        if not len(rest):
            break
    return lengths


def _first(screen: Screen, at: Indices, lengths: Indices, signs: tuple[int, ...]) -> Indices:
    stops = np.zeros(256, bool)
    stops[list(signs)] = True
    return _until(screen, at, lengths, stops)


def _plain(screen: Screen, at: Indices, lengths: Indices) -> pa.Array:
    """Hosts without port and user."""
    lengths = lengths.copy()
    for _ in range(_DOTS):
        last = screen.data[np.maximum(at + lengths - 1, 0)]
        dotted = (lengths > 0) & ((last == ord(".")) | (last == ord("!")))
        lengths -= dotted
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    taken = np.arange(offsets[-1]) + np.repeat(at - offsets[:-1], lengths)
    raw = pa.Array.from_buffers(
        pa.large_binary(),
        len(at),
        [None, pa.py_buffer(offsets), pa.py_buffer(screen.data[taken])],
    )
    return pc.ascii_lower(raw.cast(pa.string()))


_LIKE_A_HOST = re.compile(
    r"[\w-]\.(?:com|org|net|edu|gov|info|biz|io|co|ai|app|dev|de|uk|fr|it|es|nl|pl|eu|ru|ua|cn|jp|"
    r"kr|in|br|au|ca|us|ch|se|no)\Z",
    re.IGNORECASE,
)
"""A user that is to be read as the host; other users are just that, as in addresses of ftp."""


def _host(authority: str) -> str:
    user, marker, host = authority.rpartition("@")
    host = host.partition(":")[0].rstrip(".!").lower()
    return ("@" if marker and _LIKE_A_HOST.search(user.partition(":")[0]) else "") + host


def domain(host: str) -> str:
    """The part of a host name that its owner registered, as far as that shows without a list."""
    labels = host.lstrip("@").split(".")
    short = len(labels) >= 3 and labels[-2] in _SUFFIXES and len(labels[-1]) == 2
    return ".".join(labels[-3:] if short else labels[-2:])


def is_address(host: str) -> bool:
    """Whether a host is a public address in numbers, in any of the forms that programs take."""
    try:
        return ipaddress.ip_address(host).is_global
    except ValueError:
        return re.fullmatch(r"0x[0-9a-f]{8}|(?:0[0-7]+\.){3}0[0-7]+", host) is not None


def disguise(host: str) -> str:
    """Why a host is not what it seems; empty if nothing shows it."""
    if host.startswith("@"):
        named = domain(host)
        return f"what is before the @ is a user, the host is {named}" if named else ""
    for label in host.split("."):
        try:
            text = label.encode("ascii").decode("idna") if label.startswith("xn--") else label
        except (UnicodeError, ValueError):
            text = label
        scripts = {
            name
            for name, letters in _SCRIPTS.items()
            if any(low <= char <= high for char in text for low, high in letters)
        }
        if len(scripts & {"Latin", "Cyrillic", "Greek"}) > 1:
            return f"it mixes {' and '.join(sorted(scripts))} letters"
        alike = all(char in _ALL_ALIKE for char in text if char.isalpha())
        if scripts == {"Cyrillic"} and alike and _is_latin(host.rpartition(".")[2]):
            return "its letters are Cyrillic and look like Latin ones"
    return ""


def _is_latin(ending: str) -> bool:
    """Whether an ending is in Latin letters: names under others are what they seem."""
    return ending.isascii() and not ending.startswith("xn--")


_SCRIPTS = {
    "Latin": [("a", "z")],
    "Cyrillic": [("Ѐ", "ӿ")],
    "Greek": [("Ͱ", "Ͽ")],
}
_ALL_ALIKE = frozenset("асеорхуіјѕһԁԛԝӏ")


def near(name: str, known: NDArray[np.str_] | list[str]) -> str:
    """A known domain that a domain passes for; empty if there is none.

    Only the part before the ending counts, if that has at least 6 letters: short names are near
    each other by nature. Names look alike, or have a letter twice or two exchanged; long ones may
    have any other letter behind the first, but for an *s* at the end. Digits that differ number
    things.
    """
    body, _, ending = name.partition(".")
    for other in known:
        base, _, suffix = other.partition(".")
        if base == body or len(base) < _SHORTEST or ending != suffix:
            continue
        if abs(len(base) - len(body)) <= 1 and (_read(body) == _read(base) or _slip(body, base)):
            return str(other)
    return ""


def _read(name: str) -> str:
    """A name as it is read in passing."""
    for letters, letter in _READ_AS:
        name = name.replace(letters, letter)
    return name.translate(_LOOKS_ALIKE)


def _slip(one: str, other: str) -> bool:
    """Whether a typing error makes one name into the other that no honest pair of names has."""
    start = 0
    while start < min(len(one), len(other)) and one[start] == other[start]:
        start += 1
    end = 0
    while end < min(len(one), len(other)) - start and one[-1 - end] == other[-1 - end]:
        end += 1
    left, right = one[start : len(one) - end], other[start : len(other) - end]
    if any(char.isdigit() for char in left + right) or max(len(left), len(right)) > 2:
        return False
    if len(left) == 2:
        return left == right[::-1]
    long = min(len(one), len(other)) >= _LONG and start > 0
    if left and right:
        return len(left) == len(right) == 1 and long
    letter = left or right
    plural = letter == "s" and end == 0
    return (start > 0 and one[start - 1] == letter) or (long and not plural)

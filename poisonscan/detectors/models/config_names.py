"""Names of code in configurations: whose code they are, and where in a document they stand."""

from __future__ import annotations

import enum
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from poisonscan.finding import Json
from poisonscan.rules import folder, pickle_names, read_yaml

_DOTTED: Final = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+")
# Modules that are reached as attributes of nearly any other module: `nemo.x.subprocess.Popen`.
_REACHED: Final = frozenset(
    {"builtins", "ctypes", "importlib", "marshal", "nt", "os", "posix", "pty", "runpy", "shutil",
     "socket", "subprocess", "sys"}
)  # fmt: skip


class Origin(enum.Enum):
    """Whose code a dotted name is."""

    KNOWN = "of a library"
    UNKNOWN = "of nobody known"
    EVIL = "known to run code"


@dataclass(frozen=True, slots=True)
class Place:
    """A value of a document with its keys; numbers of list items are among them."""

    keys: tuple[str, ...]
    value: Json

    @property
    def key(self) -> str:
        """The innermost key that is no number."""
        return next((key for key in reversed(self.keys) if not key.isdigit()), "")

    @property
    def where(self) -> str:
        """The keys in one string."""
        return ".".join(self.keys)


@dataclass(frozen=True, slots=True)
class Names:
    """``rules/settings.yaml``."""

    libraries: frozenset[str]
    pipelines: frozenset[str]
    attention: frozenset[str]
    kernels: frozenset[str]
    tags: frozenset[str]


@functools.cache
def names() -> Names:
    """What configurations may name."""
    content = read_yaml(folder() / "settings.yaml")
    fields = ("libraries", "pipelines", "attention", "kernels", "tags")
    return Names(*(frozenset(content[name]) for name in fields))


def places(document: Json) -> Iterator[Place]:
    """Every value of a document with where it stands, outer ones first."""
    pending = [Place((), document)]
    while pending:
        place = pending.pop()
        yield place
        value = place.value
        inner: list[tuple[str, Json]] = []
        if isinstance(value, dict):
            inner = list(value.items())
        elif isinstance(value, list):
            inner = [(str(number), item) for number, item in enumerate(value)]
        pending += [Place((*place.keys, key), item) for key, item in reversed(inner)]


def is_dotted(text: object) -> bool:
    """Whether a value looks like ``package.module.name``."""
    return isinstance(text, str) and _DOTTED.fullmatch(text.strip()) is not None


def origin(name: str) -> tuple[Origin, str]:
    """Whose code a dotted name is, and what it does if that is known and evil."""
    parts = name.strip().split(".")
    starts = [0, *(i for i, part in enumerate(parts) if i and part in _REACHED)]
    for start in starts:
        why = _evil(parts[start:])
        if why:
            return Origin.EVIL, why
    if parts[0] in names().libraries:
        return Origin.KNOWN, ""
    return Origin.UNKNOWN, ""


def _evil(parts: list[str]) -> str:
    known = pickle_names()
    whole = ".".join(parts)
    if whole in known.dangerous:
        return known.dangerous[whole]
    if whole in known.computed:
        return known.computed[whole]
    if whole in known.nested:
        return "loads a pickle"
    for end in range(len(parts), 0, -1):
        module = ".".join(parts[:end])
        # `logging` and the like write files when a pickle says so; here they are ordinary.
        if module in known.dangerous_modules and (module not in _ORDINARY):
            return known.dangerous_modules[module]
    return ""


# Denied to pickles for what some of their functions do; named by honest configurations.
_ORDINARY: Final = frozenset(
    {"logging", "torch.distributed.rpc", "torch.fx", "torch.onnx", "torch._dynamo",
     "torch._inductor", "torch.testing", "torch.utils.bottleneck", "glob", "tempfile", "resource",
     "platform", "signal", "test", "code", "trace", "profile", "site", "sh", "pandas.io",
     "numpy.lib.npyio", "scipy.io", "numpy.testing", "tensorflow.python.lib.io"}
)  # fmt: skip

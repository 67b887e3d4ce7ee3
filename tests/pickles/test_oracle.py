"""Whatever CPython's own unpicklers would import, the machine has seen.

The unpicklers run with a ``find_class`` that imports nothing and gives a stub that does nothing, on
streams that are made here.
"""

from __future__ import annotations

import contextlib
import io
import pickle
import pickletools
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from poisonscan.limits import Budget
from poisonscan.pickles import events
from poisonscan.pickles.machine import Machine
from poisonscan.pickles.names import modern


class Stub:
    """Takes everything and does nothing."""

    def __init__(self, *args: object, **named: object) -> None: ...

    def __call__(self, *args: object, **named: object) -> Stub:
        return Stub()

    def __setstate__(self, state: object) -> None: ...

    def append(self, item: object) -> None: ...

    def extend(self, items: object) -> None: ...

    def add(self, item: object) -> None: ...

    def __setitem__(self, key: object, value: object) -> None: ...


def requested(unpickler: Any, data: bytes) -> set[tuple[str, str]]:
    """Names that an unpickler asks for."""
    names: set[tuple[str, str]] = set()

    class Recorder(unpickler):  # type: ignore[misc]
        def find_class(self, module: str, name: str) -> Any:
            names.add((module, name))
            return Stub

        def persistent_load(self, identifier: object) -> Any:
            return Stub()

    with contextlib.suppress(Exception):
        Recorder(io.BytesIO(data)).load()
    return names


def seen(data: bytes) -> tuple[set[tuple[str, str]], bool]:
    """Names that the machine reports, and whether it says that loaders may read others."""
    found: set[tuple[str, str]] = set()
    warned = False
    for event in Machine(memoryview(data), 0, Budget()).run():
        if isinstance(event, events.Import):
            found |= {
                (g.module, g.name) for g in (event.target, event.written, modern(event.written))
            }
        warned = warned or isinstance(event, events.ComputedImport | events.Irregular)
    return found, warned


_NAMES = [
    b"os\nsystem\n",
    b"__builtin__\neval\n",
    b"a b\nc.d\n",
    b"collections\nOrderedDict\n",
    b"\n\n",
]
_OPCODES = [opcode.code.encode("latin-1") for opcode in pickletools.opcodes if opcode.arg is None]
_PIECES = (
    [b"c" + name for name in _NAMES]
    + [b"i" + name for name in _NAMES]
    + [
        b"\x8c\x02os",
        b"\x8c\x06system",
        b"X\x02\0\0\0os",
        b"U\x02os",
        b"S'os'\n",
        b"Vos\n",
        b"K\x01",
    ]
    + [
        b"\x95\x05\0\0\0\0\0\0\0",
        b"\x80\x04",
        b"\x80\x02",
        b"q\x00",
        b"h\x00",
        b"p1\n",
        b"g1\n",
        b"P1\n",
    ]
    + [code for code in _OPCODES if code not in (b"\x97", b"\x98")]
)


@settings(max_examples=1_500)
@given(st.lists(st.sampled_from(_PIECES), max_size=25).map(b"".join))
@example(b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94\x93.")
@example(b"\x80\x04\x8c\x02os\x8c\x06system20\x930.")
@example(b"(ios\nsystem\n.")
def test_the_machine_sees_every_name_that_an_unpickler_asks_for(stream: bytes) -> None:
    data = stream + b"."
    found, warned = seen(data)
    for unpickler in (pickle.Unpickler, pickle._Unpickler):
        missed = requested(unpickler, data) - found
        assert not missed or warned

"""The array types of `datasets` before 2.15, as old Arrow files hold them: pickles of one call.

``Array2D(shape, dtype)`` and its kin were pickled by ``pyarrow.PyExtensionType`` as the class, a
shape and the name of a type (``_ArrayXDExtensionType.__reduce__`` in ``features/features.py`` of
datasets 2.0.0 and 2.14.0). The constructor looks the name up in the namespace of pyarrow and calls
what it finds without arguments, whatever that is (``string_to_arrow``): besides types also
``create_library_symlinks``, which writes into the installation, ``log_memory_allocations``, and
the connection to HDFS of pyarrow before 16, which runs the command ``hadoop``. So only names that
give a type are fine.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from poisonscan.pickles.events import Call, Event, Import, Stop
from poisonscan.pickles.values import Collection, Global

_CLASSES: Final = frozenset(
    Global("datasets.features.features", f"Array{ndims}DExtensionType") for ndims in range(2, 6)
)
_VALUE_TYPES: Final = re.compile(
    r"bool_?|u?int(8|16|32|64)|float(16|32|64)|(large_)?(string|utf8|binary)|date(32|64)|null"
    r"|(timestamp|duration|time32|time64)\[[A-Za-z0-9/_+\-:=, ]*\]",
)
"""What ``string_to_arrow`` takes; the second line is made by constructors that check their text."""

_ARGUMENTS: Final = 2


def is_array_type(events: Iterable[Event]) -> bool:
    """Whether a pickle does nothing but make an array type of numbers and the name of a type."""
    acts = [event for event in events if not isinstance(event, Stop)]
    if [type(event) for event in acts] != [Import, Call]:
        return False
    call = acts[1]
    if not isinstance(call, Call) or call.callee not in _CLASSES:
        return False
    arguments = _items(call.arguments)
    if len(arguments) != _ARGUMENTS:
        return False
    shape, value_type = arguments
    return (
        all(size is None or type(size) is int for size in _items(shape) or ("",))
        and isinstance(value_type, str)
        and _VALUE_TYPES.fullmatch(value_type) is not None
    )


def _items(value: object) -> tuple[object, ...]:
    """The items of a tuple that is known in full; none otherwise."""
    if isinstance(value, Collection) and value.kind == "tuple" and len(value.items) == value.count:
        return tuple(value.items)
    return ()

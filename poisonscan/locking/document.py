"""Lock files as text: JSON, sorted, a line for each file, split and tensor.

The schema is ``docs/lock.schema.json``. What is read is hostile: nothing is taken that the schema
does not allow, and a path that leads anywhere but down is refused before anybody uses it.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from poisonscan.escape import clip, quote
from poisonscan.finding import Json
from poisonscan.formats.strict_json import parse_bounded
from poisonscan.locking.entries import (
    Entry,
    Lock,
    LockedCheckpoint,
    LockedDataset,
    LockedFile,
    LockedRows,
    LockError,
    Unchecked,
)
from poisonscan.locking.tensors import BITS, TensorDigest, digest_of

VERSION: Final = 1
"""Of the format. Goes up when older versions of poisonscan would misread it."""
MAX_BYTES: Final = 256 << 20
"""The largest lock file that is read."""

_MAX_ENTRIES: Final = 4_000_000
_LARGEST: Final = 1 << 62
_SHA256: Final = re.compile(r"[0-9a-f]{64}")
_COMMIT: Final = re.compile(r"(?:[0-9a-f]{40}|[0-9a-f]{64})?")
_RULE: Final = re.compile(r"PS\d{3}")
_ANY: Final = re.compile(r"(?s:.{0,10000})")
_T = TypeVar("_T")


def read(path: Path) -> Lock:
    """Read a lock file of at most ``MAX_BYTES``.

    Raises:
        LockError: it is none, or one of a later format; the message says where and what.
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        message = f"it is larger than the {MAX_BYTES >> 20} MiB that a lock file may have"
        raise LockError(message)
    return parse(content)


def parse(content: bytes) -> Lock:
    """Read the text of a lock file.

    Raises:
        LockError: it is none.
    """
    try:
        parsed = parse_bounded(content, _MAX_ENTRIES)
    except ValueError as error:
        raise LockError(str(error)) from error
    document = parsed.content
    if parsed.duplicates or not isinstance(document, dict):
        message = "it is not one JSON object with each key once"
        raise LockError(message)
    version = document.get("poisonscan_lock")
    if isinstance(version, bool) or version != VERSION:
        message = "it is no lock file of this version of poisonscan: `poisonscan lock` makes one"
        raise LockError(message)
    entries = _list(document, "targets", "", _entry)
    _once([entry.target for entry in entries], "targets")
    return Lock(
        entries,
        _text(document, "poisonscan", "", _ANY),
        _text(document, "rules", "", _SHA256),
    )


def text(lock: Lock) -> str:
    """The file."""
    document: dict[str, Json] = {
        "poisonscan_lock": VERSION,
        "poisonscan": lock.version,
        "rules": lock.rules,
        "targets": [_of(entry) for entry in sorted(lock.entries, key=lambda e: e.target)],
    }
    return _lines(document, "") + "\n"


def _of(entry: Entry) -> Json:
    hub = {"commit": entry.commit, "revision": entry.revision} if entry.commit else {}
    return {
        "target": entry.target,
        **hub,
        "verdicts": dict(sorted(entry.verdicts.items())),
        "unchecked": [{"path": u.path, "reason": u.reason} for u in sorted(entry.unchecked)],
        "files": [
            {
                "path": f.path,
                "size": f.size,
                "sha256": f.sha256,
                **({"hub": f.hub} if f.hub else {}),
            }
            for f in sorted(entry.files)
        ],
        "datasets": [
            {
                "path": d.path,
                **({"classes": list(d.classes)} if d.classes is not None else {}),
                "splits": {
                    split: {"rows": rows.rows, "digest": rows.digest}
                    for split, rows in sorted(d.splits.items())
                },
            }
            for d in sorted(entry.datasets, key=lambda d: d.path)
        ],
        "checkpoints": [
            {
                "path": c.path,
                "digest": c.digest,
                "notes": list(c.notes),
                "tensors": [tensor.as_json() for tensor in sorted(c.tensors)],
            }
            for c in sorted(entry.checkpoints, key=lambda c: c.path)
        ],
    }


def _lines(value: Json, indent: str) -> str:
    """JSON in which what is short, or holds nothing but plain values, is one line."""
    line = json.dumps(value)
    if not isinstance(value, dict | list) or not value:
        return line
    inner = value.values() if isinstance(value, dict) else value
    if indent and not any(isinstance(item, dict | list) and item for item in inner):
        return line
    if indent and "name" in value:  # a tensor
        return line
    deeper = indent + " "
    if isinstance(value, dict):
        parts = [f"{json.dumps(key)}: {_lines(item, deeper)}" for key, item in value.items()]
        return "{\n" + ",\n".join(deeper + part for part in parts) + f"\n{indent}}}"
    items = [_lines(item, deeper) for item in value]
    return "[\n" + ",\n".join(deeper + item for item in items) + f"\n{indent}]"


def _entry(value: Mapping[str, Any], at: str) -> Entry:
    commit = _text(value, "commit", at, _COMMIT, missing="")
    target = _text(value, "target", at, _ANY)
    if not commit:
        _down(target, f"{at}target")
    verdicts = value.get("verdicts")
    if not isinstance(verdicts, dict) or not all(map(_RULE.fullmatch, verdicts)):
        message = f"{at}verdicts should be counts by rule"
        raise LockError(message)
    entry = Entry(
        target,
        _list(value, "files", at, _file),
        _list(value, "datasets", at, _dataset),
        _list(value, "checkpoints", at, _checkpoint),
        {rule: _count(verdicts, rule, f"{at}verdicts.") for rule in verdicts},
        _list(value, "unchecked", at, _unchecked),
        commit,
        _text(value, "revision", at, _ANY, missing=""),
    )
    for name, paths in (
        ("files", [file.path for file in entry.files]),
        ("datasets", [dataset.path for dataset in entry.datasets]),
        ("checkpoints", [checkpoint.path for checkpoint in entry.checkpoints]),
    ):
        _once(paths, at + name)
    return entry


def _file(value: Mapping[str, Any], at: str) -> LockedFile:
    return LockedFile(
        _path(value, at),
        _count(value, "size", at),
        _text(value, "sha256", at, _SHA256),
        _text(value, "hub", at, _ANY, missing=""),
    )


def _dataset(value: Mapping[str, Any], at: str) -> LockedDataset:
    splits = value.get("splits")
    if not isinstance(splits, dict) or not all(isinstance(s, dict) for s in splits.values()):
        message = f"{at}splits should be an object of objects"
        raise LockError(message)
    where = f"{at}splits."
    rows = {
        name: LockedRows(_count(s, "rows", where), _text(s, "digest", where, _SHA256))
        for name, s in splits.items()
    }
    classes = value.get("classes")
    if classes is not None and not _texts(classes):
        message = f"{at}classes should be a list of texts"
        raise LockError(message)
    path = _text(value, "path", at, _ANY)
    # What members are called nobody opens, and in archives it may be anything, such as ``./a.csv``.
    _down(path.partition("!/")[0], f"{at}path")
    return LockedDataset(path, rows, None if classes is None else tuple(classes))


def _checkpoint(value: Mapping[str, Any], at: str) -> LockedCheckpoint:
    notes = value.get("notes")
    if not _texts(notes):
        message = f"{at}notes should be a list of texts"
        raise LockError(message)
    tensors = _list(value, "tensors", at, _tensor)
    _once([tensor.name for tensor in tensors], f"{at}tensors")
    if value.get("digest") != digest_of(tensors):
        message = f"{at}digest is not that of the tensors below it: somebody changed the lock file"
        raise LockError(message)
    return LockedCheckpoint(_path(value, at), tensors, tuple(notes or ()))


def _tensor(value: Mapping[str, Any], at: str) -> TensorDigest:
    shape = value.get("shape")
    if not isinstance(shape, list) or not all(type(n) is int and 0 <= n < _LARGEST for n in shape):
        message = f"{at}shape should be a list of numbers"
        raise LockError(message)
    dtype = _text(value, "dtype", at, _ANY)
    if dtype not in BITS:
        message = f"{at}dtype is {quote(dtype, 40)}; there are {', '.join(BITS)}"
        raise LockError(message)
    name = _text(value, "name", at, _ANY)
    return TensorDigest(name, dtype, tuple(shape), _text(value, "sha256", at, _SHA256))


def _unchecked(value: Mapping[str, Any], at: str) -> Unchecked:
    return Unchecked(_text(value, "path", at, _ANY), _text(value, "reason", at, _ANY))


def _list(
    value: Mapping[str, Any], key: str, at: str, one: Callable[[Mapping[str, Any], str], _T]
) -> tuple[_T, ...]:
    items = value.get(key)
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        message = f"{at}{key} should be a list of objects"
        raise LockError(message)
    return tuple(one(item, f"{at}{key}[{number}].") for number, item in enumerate(items))


def _text(
    value: Mapping[str, Any], key: str, at: str, form: re.Pattern[str], missing: str | None = None
) -> str:
    found = value.get(key, missing)
    if not isinstance(found, str) or not form.fullmatch(found):
        message = f"{at}{key} is {quote(clip(str(found), 60), 60)}, which is not allowed"
        raise LockError(message)
    return found


def _count(value: Mapping[str, Any], key: str, at: str) -> int:
    found = value.get(key)
    if type(found) is not int or not 0 <= found < _LARGEST:
        message = f"{at}{key} is {quote(clip(str(found), 40), 40)}; it should be 0 or more"
        raise LockError(message)
    return found


def _texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _path(value: Mapping[str, Any], at: str) -> str:
    found = _text(value, "path", at, _ANY)
    _down(found, f"{at}path")
    return found


def _down(path: str, at: str) -> None:
    """Refuse a path that leads anywhere but down; a single dot stands for all of it.

    Raises:
        LockError: it does.
    """
    if path == ".":
        return
    parts = path.replace("\\", "/").split("/")
    if not {"", ".", ".."}.isdisjoint(parts) or "\0" in path:
        message = f"{at} is {quote(path, 60)}, which leads out of the folder of the lock file"
        raise LockError(message)


def _once(names: list[str], at: str) -> None:
    counts = Counter(names)
    if len(counts) < len(names):
        (again, _), *_ = counts.most_common(1)
        message = f"{at} has {quote(again, 60)} more than once"
        raise LockError(message)

"""What was measured of cases, kept in a file so that it is not measured again.

Every line is a JSON object: what one scanner or detector said of one case, with a fingerprint of
the code that said it. Lines of other code are passed over: a record does not outlive what it
measured. A scan's is known by its case; it hangs on the scanner, its rules, and the modules that
make cases. A published detector's is known by a digest of the rows it was given and hangs on the
detectors' own code and on the versions of its libraries, so that changes of the scanner alone do
not make it run again. Sets are known by their names: a file belongs to the same folders.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from benchmarks.detection_cases import Case
from benchmarks.published import Told

Record = dict[str, Any]
ROOT = Path(__file__).parents[1]
IDENTITY = ("bar", "data", "attack", "rate", "seed")
LIBRARIES = ("numpy", "scipy", "scikit-learn", "adversarial-robustness-toolbox", "cleanlab")


def identity(case: Case) -> Record:
    """What tells a case from others."""
    values = (case.bar.name, case.data, case.attack, case.rate, case.seed)
    return dict(zip(IDENTITY, values, strict=True))


def digest(told: Told | None) -> str:
    """Of all that the published detectors get; empty where they get nothing."""
    if told is None:
        return ""
    total = hashlib.sha256(repr((told.vectors.shape, told.vectors.dtype)).encode())
    for values in (told.vectors, told.labels, told.poisoned):
        total.update(values.tobytes())
    total.update(json.dumps(told.texts).encode())
    return total.hexdigest()[:16]


def fingerprint(files: Iterable[Path], *more: str) -> str:
    """Of names and contents of files, and of what else counts."""
    total = hashlib.sha256(repr(more).encode())
    for path in sorted(files):
        total.update(f"\0{path.relative_to(ROOT).as_posix()}\0".encode() + path.read_bytes())
    return total.hexdigest()[:16]


def of_scanner() -> str:
    """The fingerprint of the scanner, its rules, and what makes cases."""
    scanner = (path for path in (ROOT / "poisonscan").rglob("*") if path.is_file())
    files = [path for path in scanner if "__pycache__" not in path.parts]
    files += [*(ROOT / "rules").rglob("*.yaml"), *(ROOT / "fixtures").glob("*.py")]
    return fingerprint([*files, *(ROOT / "benchmarks").glob("*.py")])


def of_detectors() -> str:
    """The fingerprint of the published detectors and of what they are made of."""
    return fingerprint((ROOT / "benchmarks" / "published").glob("*.py"), *map(version, LIBRARIES))


def version(library: str) -> str:
    """A library's version; that it is absent, where it is."""
    try:
        return f"{library} {importlib.metadata.version(library)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{library} absent"


class Records:
    """Lines of a file, and what is added to them.

    Attributes:
        stale: how many lines are of other code.
    """

    def __init__(self, path: Path | None) -> None:
        """Read what was recorded.

        Args:
            path: the file, which need not be there yet; None keeps records for this run only.
        """
        self._path = path
        self._codes = {True: of_scanner(), False: of_detectors()}
        self._known: dict[str, Record] = {}
        self.stale = 0
        lines = path.read_text("utf-8").splitlines() if path and path.exists() else []
        for line in lines:
            record = json.loads(line)
            if record["code"] == self._codes["bar" in record]:
                self._known[_key(record)] = record
            else:
                self.stale += 1

    def scan(self, case: Case) -> Record | None:
        """What a scan said of a case."""
        return self._known.get(_key(identity(case)))

    def scans(self) -> list[Record]:
        """What was said of all cases."""
        return [record for record in self._known.values() if "bar" in record]

    def add_scan(self, record: Record) -> Record:
        """Keep it; it holds the case's identity, and as ``given`` the digest of its rows."""
        return self._add(record)

    def peer(self, name: str, given: str, allowed: float) -> Record | None:
        """What a published detector said of rows, or that it said nothing.

        Args:
            name: the detector's.
            given: digest of the rows.
            allowed: share of false alarms, for the recall of the best threshold.
        """
        return self._known.get(_key({"name": name, "given": given, "allowed": allowed}))

    def add_peer(
        self, name: str, given: str, allowed: float, said: Record | None, seconds: float
    ) -> None:
        """Keep rates, or that there are none."""
        record = {"name": name, "given": given, "allowed": allowed, "said": said}
        self._add({**record, "seconds": round(seconds, 2)})

    def _add(self, record: Record) -> Record:
        record = {**record, "code": self._codes["bar" in record]}
        self._known[_key(record)] = record
        if self._path:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
        return record


def _key(record: Record) -> str:
    names = IDENTITY if "bar" in record else ("name", "given", "allowed")
    return json.dumps([record[name] for name in names])

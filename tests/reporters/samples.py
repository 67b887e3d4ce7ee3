"""Reports made by hand: one with every kind of place, and hostile ones."""

from __future__ import annotations

from hypothesis import strategies as st

from poisonscan.finding import (
    Column,
    Gap,
    Location,
    Row,
    Rows,
    Rule,
    Scanned,
    Severity,
    Skipped,
    Span,
    Tensor,
)
from poisonscan.report import Report

HELP = """**What it means.** Loading the file runs code.

**Why it matters.** The code runs with your rights. It can do
what you can do.

**What to do.** Do not load the file. Ask its author for `safetensors`.

**Limits.** None that are known."""

CRITICAL = Rule(
    id="PS901",
    name="runs-code",
    title="Loading runs code",
    severity=Severity.CRITICAL,
    precision="very-high",
    detector="detectors.models.some",
    help=HELP,
    cwe=("CWE-502",),
    atlas=("AML.T0011.000",),
    owasp=("ML06",),
)
HIGH = Rule("PS902", "bad-header", "The header lies", Severity.HIGH, "high", "d.e", HELP)
MEDIUM = Rule(
    "PS903",
    "wrong-labels",
    "Labels are wrong",
    Severity.MEDIUM,
    "medium",
    "d.f",
    HELP,
    cwe=("CWE-1039", "CWE-345"),
    atlas=("AML.T0020",),
    owasp=("ML02",),
    thresholds={"z": 3.5},
)
LOW = Rule("PS904", "odd-column", "A column is odd", Severity.LOW, "low", "d.g", HELP)
RULES = (CRITICAL, HIGH, MEDIUM, LOW)


def csv_rows(count: int, path: str = "data/train.csv") -> Rows:
    """Rows with true lines: row i is on line i + 2."""
    return Rows(
        tuple(
            Row(path, i, "train", (i + 2, i + 2), "7", 1 - i / 100, f"text {i}")
            for i in range(min(count, 1000))
        ),
        count,
    )


def full() -> Report:
    """A finding in every kind of place, gaps, datasets with facts and skipped files."""
    findings = [
        LOW.finding(Location("data/train.csv", Column("text")), "Column 'text' is odd."),
        CRITICAL.finding(
            Location("models/plain.pkl", Span(55, 12, 55)),
            "Loading runs 'posix.system'.",
            key="posix.system",
            imports="posix.system",
            grammar="pickle",
            snippet="55: R REDUCE",
        ),
        CRITICAL.finding(
            Location("models/evil.pt!/archive/data.pkl", Span(48, 1, 1096)),
            "Loading runs 'os.system'.",
            key="os.system",
            opcode="REDUCE",
        ),
        CRITICAL.finding(
            Location("models/deep.tar.gz!/deep.tar!/a b.pkl", Span(3, 2)),
            "Loading runs 'nt.system'.",
            key="nt.system",
            opcode="REDUCE",
        ),
        HIGH.finding(
            Location("models/w.safetensors", Tensor("layer.0.weight", 1024, 64)),
            "Tensor 'layer.0.weight' overlaps.",
            key="layer.0.weight",
        ),
        HIGH.finding(
            Location("models/w.zip!/w.safetensors", Tensor("b", 10, 4)), "Tensor 'b' overlaps."
        ),
        HIGH.finding(Location("models/model.pt"), "The file is called '.pt' and holds 'zip'."),
        HIGH.finding(Location("models/w.zip!/w.bin"), "The file holds something else."),
        MEDIUM.finding(
            Location("data/train.csv", csv_rows(8)), "Class '7' has wrong labels.", score=4.25
        ),
        MEDIUM.finding(
            Location("data", Rows((Row("data/a.parquet", 17, label="1"),), 1)),
            "One row has a wrong label.",
            key="a",
        ),
        MEDIUM.finding(Location(".", Rows((), 0)), "Labels are wrong.", key="none"),
        MEDIUM.finding(
            Location("data", Rows(tuple(Row("data/a.parquet", i) for i in range(60)), 70)),
            "Rows have wrong labels.",
            key="b",
        ),
    ]
    report = Report(
        targets=("models", "data"),
        findings=findings,
        gaps=[
            Gap("data/a.parquet", "the detector failed", "spectral_signature"),
            Gap("models/broken.bin", "cannot be read: Input/output error"),
        ],
        scanned=[
            Scanned("models/plain.pkl", "model", "pickle", 312),
            Scanned("models/evil.pt", "model", "zip", 12_000_000),
            Scanned("models/evil.pt!/archive/data.pkl", "model", "torch pickle", 120),
            Scanned(
                "data/train.csv",
                "dataset",
                "csv",
                140_000,
                4000,
                {
                    "columns": {"text": "content", "y": "label"},
                    "labels": {"7": 3000, "1": 1000},
                    "features": ["n-grams", "words"],
                    "roles": {"label": ["y"], "text": ["a", "b"]},
                    "splits": {"train": 2, "test": 1},
                    "header": True,
                },
            ),
        ],
        skipped=[Skipped("README.md", "plain text")],
        rules=RULES,
        root="/home/someone/secret",
        seconds=0.84,
        version="0.1.0",
    )
    report.sort()
    return report


HOSTILE = (
    "::error::pwned",
    "  ::set-output name=x::y",
    "##[command]rm",
    "##vso[task.setvariable variable=a]b",
    "\x1b]0;title\x07\x1b[2J",
    "a\nb\r\nc\x85d\u2028e\x0bf\x1cg",
    "\u202egnp.exe\u2066x",
    "\ud800lone\udcff",
    "<script>alert(1)</script>",
    "[click](https://example.org) {0} {1}",
    "../../etc/passwd",
    "/etc/passwd",
    "C:\\x\\y",
    "hf://a/b!/../c",
    "https://example.org/x",
    "",
    ".",
    "!/",
    "%00%2e%2e/",
    "x" * 70_000,
    "a/" * 5_000,
    "\x00",
    "data:text/html,x",
    "词/é ü.pkl",
    "\U000e0041\u200b",
)
text = st.one_of(
    st.sampled_from(HOSTILE),
    st.text(st.characters(), max_size=30),
    st.builds("".join, st.lists(st.sampled_from(HOSTILE[:17]), max_size=4)),
)
numbers = st.one_of(st.none(), st.floats(), st.sampled_from([1e308, -0.0]))
counts = st.integers(0, 2**70)
lines = st.one_of(st.none(), st.tuples(st.integers(0, 9), st.integers(0, 9)))
rows = st.builds(
    Row,
    path=text,
    index=counts,
    split=text,
    line=lines,
    label=st.one_of(st.none(), text),
    score=numbers,
    excerpt=st.one_of(st.none(), text),
    mark=st.one_of(st.none(), st.tuples(st.integers(0, 99), st.integers(0, 99))),
)
parts = st.one_of(
    st.none(),
    st.builds(Span, st.integers(-(2**70), 2**70), counts, st.one_of(st.none(), counts)),
    st.builds(Tensor, text, st.one_of(st.none(), counts), st.one_of(st.none(), counts)),
    st.builds(Column, text),
    st.builds(Rows, st.lists(rows, max_size=8).map(tuple), counts),
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), counts, st.floats(), text),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(text, inner, max_size=3)),
    max_leaves=5,
)
findings = st.builds(
    lambda rule, path, part, message, key, score, evidence: rule.finding(
        Location(path, part), message, key=key, score=score, **evidence
    ),
    st.sampled_from(RULES),
    text,
    parts,
    text,
    text,
    numbers,
    st.dictionaries(
        text.filter(lambda name: name not in {"at", "message", "key", "score", "self"}),
        values,
        max_size=2,
    ),
)
reports = st.builds(
    Report,
    targets=st.lists(text, max_size=2).map(tuple),
    findings=st.lists(findings, max_size=4),
    gaps=st.lists(st.builds(Gap, text, text, st.one_of(st.none(), text)), max_size=3),
    scanned=st.lists(
        st.builds(
            Scanned,
            text,
            st.sampled_from(["model", "dataset"]),
            text,
            counts,
            st.one_of(st.none(), counts),
            st.dictionaries(text, values, max_size=3),
        ),
        max_size=3,
    ),
    skipped=st.lists(st.builds(Skipped, text, text), max_size=2),
    rules=st.just(RULES),
    root=text,
    seconds=st.floats(0, 1e6),
    version=st.just("0.1.0"),
    interrupted=st.booleans(),
)

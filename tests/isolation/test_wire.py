from __future__ import annotations

import json

import pytest

from poisonscan.files import Item
from poisonscan.finding import (
    Column,
    Gap,
    Location,
    Row,
    Rows,
    Scanned,
    Skipped,
    Span,
    Tensor,
)
from poisonscan.formats.base import Shard, ShardIndex, TableFile
from poisonscan.isolation.wire import WireError, decode, encode
from poisonscan.rules import rule

ROWS = Rows((Row("a.csv", 3, line=(4, 5), score=0.5), Row("a.csv", 4)), 9)
ITEMS: list[Item] = [
    Gap("a", "why", "detector"),
    Gap("a\udc80\x1b", "why\n"),
    Skipped("a", "b"),
    Scanned("a", "model", "pickle", 12, facts={"x": [1, {"y": None}]}),
    TableFile("a", "/x/a", "csv", 1),
    Shard("a", frozenset({"x"})),
    Shard("a", None),
    ShardIndex("a", {"x": "file"}),
    *(
        rule("PS101").finding(Location("a", part), "Message.", key="k", score=score, fact=[1, "x"])
        for part, score in [
            (None, None), (Span(1, 2, None), 1.5), (Tensor("t", 1), 2), (Column("c"), None),
            (ROWS, None),
        ]
    ),
]  # fmt: skip


@pytest.mark.parametrize("item", ITEMS, ids=repr)
def test_an_item_arrives_as_it_was_sent(item: Item) -> None:
    line = encode(item)
    assert b"\n" not in line
    assert decode(line) == item


@pytest.mark.parametrize(
    "value",
    [
        None, 1, "x", [], {}, ["Gap"], ["Gap", 1, "x", None], ["Gap", "a", "b", None, None],
        ["Nothing", "a"], ["Span", 1, 1, None], ["Location", "a", None], [["Gap"], "a"],
        ["Scanned", "a", "model", "pickle", "12", None, {}],
        ["Scanned", "a", "model", "pickle", True, None, {}],
        ["Shard", "a", [1]], ["ShardIndex", "a", {"x": 1}],
        ["Finding"], ["Finding", "PS101"],
        ["Finding", "PS999", ["Location", "a", None], "m", "k", None, {}],
        ["Finding", "PS101", ["Gap", "a", "b", None], "m", "k", None, {}],
        ["Finding", "PS101", ["Location", "a", ["Span", "x", 1, None]], "m", "k", None, {}],
        ["Finding", "PS101", ["Location", "a", None], 1, "k", None, {}],
        ["Finding", "PS101", ["Location", "a", None], "m", "k", "high", {}],
        ["Finding", "PS101", ["Location", "a", None], "m", "k", None, {"key": "again"}],
        ["Finding", "PS101", ["Location", "a", None], "m", "k", None, []],
    ],
    ids=repr,
)  # fmt: skip
def test_what_is_no_item_is_refused(value: object) -> None:
    with pytest.raises(WireError):
        decode(json.dumps(value).encode())


@pytest.mark.parametrize("line", [b"", b"{", b"\xff", b"[" * 100_000, b"nan"])
def test_what_is_no_json_is_refused(line: bytes) -> None:
    with pytest.raises(WireError):
        decode(line)

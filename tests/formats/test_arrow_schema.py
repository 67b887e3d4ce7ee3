from __future__ import annotations

import base64
import random
import struct
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures import arrow_files as made
from fixtures import opcodes as op
from poisonscan.finding import Gap
from poisonscan.formats.arrow_schema import OBJECTS, in_arrow, in_parquet
from poisonscan.formats.base import Artifact, ExtensionTypes
from poisonscan.limits import Budget, LimitReached, Limits
from poisonscan.sources.base import Blob

EVIL = op.pickle_of(op.system(), 2)
SYSTEM = ("os", "system")


def items(
    data: bytes,
    reader: Callable[[Blob, memoryview, Budget], Iterator[Blob | Artifact | Gap]] | None = None,
    limits: Limits | None = None,
) -> list[Blob | Artifact | Gap]:
    source = Blob("t", len(data), lambda: memoryview(data))
    reader = reader or (in_parquet if data.startswith(b"PAR1") else in_arrow)
    return list(reader(source, memoryview(data), Budget(limits or Limits())))


def types(data: bytes) -> list[tuple[str, str, tuple[tuple[str, str], ...]]]:
    return [
        (kind.field, kind.name, kind.imports)
        for item in items(data)
        if isinstance(item, ExtensionTypes)
        for kind in item.types
    ]


def column(data: bytes, name: str = made.PICKLED, of: str = "x") -> made.Flat:
    return made.column(of, {made.NAME: name.encode(), made.DATA: data})


@pytest.mark.parametrize("write", [made.stream, made.arrow_file, made.with_schema])
def test_types_of_columns_at_any_depth(write: Callable[[made.Flat], bytes]) -> None:
    inner = made.column("b", {}, 12, [column(EVIL, of="c")])
    schema = made.schema([column(b"{}", "arrow.json", "j"), made.column("a", {}, 12, [inner])])
    expected = [("a.b.c", made.PICKLED, (SYSTEM,)), ("j", "arrow.json", ())]
    assert sorted(set(types(write(schema)))) == expected


def test_the_pickle_is_a_member_at_its_place() -> None:
    data = made.arrow_file(made.schema([column(EVIL)]))
    parts = [item for item in items(data) if isinstance(item, Blob)]
    (part,) = parts  # in the stream and in the footer, and told once
    assert part.path == "t!/x.pkl"
    assert part.base is not None
    assert data[part.base : part.base + part.size] == EVIL == bytes(part.open())


def test_in_parquet_it_is_encoded_and_has_no_place() -> None:
    data = made.with_schema(made.schema([column(EVIL)]))
    (part,) = [item for item in items(data) if isinstance(item, Blob)]
    assert (part.path, part.base) == ("t!/x.pkl", None)


def test_base64_ends_where_arrow_takes_its_end() -> None:
    text = base64.b64encode(made.message(made.schema([column(EVIL)]))).rstrip(b"=")
    for value in (text, text + b"\n!", text + b"===="):
        assert types(made.parquet([(b"ARROW:schema", value)])) == [("x", made.PICKLED, (SYSTEM,))]


def test_every_schema_counts() -> None:
    honest = base64.b64encode(made.message(made.schema([made.column("x", {})])))
    other = base64.b64encode(made.message(made.schema([column(EVIL)])))
    for values in ((honest, other), (other, honest)):
        data = made.parquet([(b"ARROW:schema", value) for value in values])
        assert types(data) == [("x", made.PICKLED, (SYSTEM,))]


def test_old_streams_have_no_marker_before_the_length() -> None:
    data = made.stream(made.schema([column(EVIL)]))[4:]
    assert types(b"ARROW1\0\0" + data)


def test_a_column_of_pickles_is_a_gap() -> None:
    (gap, _) = items(made.stream(made.schema([column(b"", OBJECTS)])))
    assert isinstance(gap, Gap)
    assert "column 'x' holds pickles" in gap.reason


def test_metadata_without_pickles_gives_nothing() -> None:
    pairs = {"PARQUET:field_id": b"1", "pandas": b"{}", "n": b"\x80\x02K\x01.", "u": b"\x80\xff"}
    schema = made.schema([made.column("x", pairs)], pairs)
    for write in (made.stream, made.arrow_file, made.with_schema):
        assert items(write(schema)) == []


def test_a_flood_of_fields_is_refused() -> None:
    flat = made.schema([made.column("x", {}) for _ in range(50)])
    deep = made.schema([made.column("x", {}, 12, [made.column("y", {})] * 50)])
    for schema in (flat, deep):
        with pytest.raises(LimitReached):
            items(made.stream(schema), limits=Limits(fields=40))


SEEDS = [
    write(schema)
    for write in (made.stream, made.arrow_file, made.with_schema)
    for schema in (
        made.schema(
            [column(EVIL), made.column("l", {"k": b"v"}, 12, [column(b"{}", "arrow.json")])]
        ),
    )
]


@settings(max_examples=300)
@given(st.sampled_from(SEEDS), st.randoms(use_true_random=False))
def test_damaged_schemas_never_raise(seed: bytes, dice: random.Random) -> None:
    data = bytearray(seed)
    for _ in range(dice.randrange(1, 6)):
        place = dice.randrange(len(data))
        if dice.random() < 0.5:
            data[place] = dice.randrange(256)
        else:
            odd = dice.choice([0, 2**31 - 1, 2**31, 2**32 - 1])
            data[place : place + 4] = struct.pack("<I", odd)[: len(data) - place]
    cut = bytes(data[: dice.randrange(len(data) + 1)]) if dice.random() < 0.3 else bytes(data)
    for reader in (in_arrow, in_parquet):
        try:
            found = items(cut, reader)
        except LimitReached:
            continue
        assert all(isinstance(item, Blob | Artifact | Gap) for item in found)


def test_every_truncation_is_read_without_fault() -> None:
    for seed in SEEDS:
        for end in range(0, len(seed), 3):
            for reader in (in_arrow, in_parquet):
                items(seed[:end], reader)

"""The rows of every format, as detectors and reports see them."""

from __future__ import annotations

import contextlib
import pickle
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import poisonscan
from poisonscan.datasets.batch import Role
from poisonscan.datasets.errors import DatasetError, OptionError
from poisonscan.datasets.layouts import BATCH_ROWS
from tests.datasets.files import (
    ALL,
    batches,
    content,
    encoded,
    features,
    label_names,
    only,
    opened,
    picture,
    told,
    write,
)

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [
    {"text": f"row number {i} says “{w}”\nover two lines", "label": i % 3, "weight": i / 4}
    for i, w in enumerate(["ham", "spam", "eggs"] * 20)
]
SUFFIXES = [".parquet", ".arrow", ".csv", ".tsv", ".jsonl"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_reads_the_same_rows_from_every_format(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / f"data{suffix}", ROWS)
    dataset = pickle.loads(pickle.dumps(only(tmp_path)))
    assert dataset.path == f"data{suffix}"
    assert dataset.roles == {"label": ("label",), "text": ("text",), "numeric": ("weight",)}
    assert dataset.inferred == {"label", "text", "numeric"}
    assert label_names(dataset) == [str(row["label"]) for row in ROWS]
    vectors = features(dataset)
    assert vectors.shape == (60, dataset.dimension) == (60, 256)
    assert vectors.dtype == np.float32
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert len(set(content(dataset))) == len(ROWS)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_vectors_of_equal_text_are_equal_in_every_format(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / "a" / f"data{suffix}", ROWS)
    write(tmp_path / "b" / "data.parquet", ROWS)
    one, other = (features(only(tmp_path / name)) for name in "ab")
    assert np.array_equal(one, other)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_only_the_roles_asked_for_are_made(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / f"data{suffix}", ROWS)
    dataset = only(tmp_path)
    for role in Role:
        for batch in batches(dataset, frozenset({role})):
            assert set(batch.columns) == {role} & dataset.offers
    assert all(batch.columns == {} for batch in batches(dataset, frozenset()))


def test_batches_number_the_rows_of_a_shard(tmp_path: Path) -> None:
    table = pa.table({"text": [f"text {i}" for i in range(5_000)], "label": [0, 1] * 2_500})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=1_700)
    ids = np.concatenate([batch.rows for batch in batches(only(tmp_path))])
    assert np.array_equal(ids, np.stack([np.zeros(5_000), np.arange(5_000)], axis=1))
    assert max(batch.size for batch in batches(only(tmp_path))) <= BATCH_ROWS


@pytest.mark.parametrize("groups", [3, 64, 10_000])
def test_rows_do_not_depend_on_how_a_file_is_cut(tmp_path: Path, groups: int) -> None:
    rows = [ROWS[(7 * i) % 60] for i in range(3_000)]
    write(tmp_path / "a" / "t.parquet", rows, row_group_size=groups)
    write(tmp_path / "b" / "t.parquet", rows)
    one, other = only(tmp_path / "a"), only(tmp_path / "b")
    assert content(one) == content(other)
    assert np.array_equal(features(one), features(other))
    assert label_names(one) == label_names(other)


def test_label_and_id_are_no_content(tmp_path: Path) -> None:
    rows = [{"id": i, "text": "the same words", "label": i % 2} for i in range(40)]
    write(tmp_path / "t.parquet", rows)
    assert len(set(content(only(tmp_path)))) == 1


def test_a_file_without_usable_columns_offers_its_cells_only(tmp_path: Path) -> None:
    write(tmp_path / "t.parquet", [{"colour": "red"}, {"colour": "blue"}])
    dataset = only(tmp_path)
    assert dataset.offers == {Role.CONTENT, Role.CELLS, Role.VALUES}
    assert dataset.feature_source == ""
    assert [batch.labels.codes.tolist() for batch in batches(dataset)] == [[-1, -1]]


def test_declared_class_names(tmp_path: Path) -> None:
    metadata = {
        b"huggingface": b'{"info": {"features": {"kind": {"_type": "ClassLabel",'
        b' "names": ["neg", "pos"]}, "text": {"_type": "Value"}}}}'
    }
    table = pa.table({"kind": [0, 1, -1, 7], "text": list("abcd")})
    pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "t.parquet")
    dataset = only(tmp_path)
    assert dataset.label_names == ("neg", "pos")
    assert label_names(dataset) == ["neg", "pos", "-1", "7"]


def test_an_embedding_column(tmp_path: Path) -> None:
    vectors = [[float(i + j) for j in range(8)] for i in range(5)]
    rows: list[dict[str, Any]] = [{"emb": v, "text": "x", "label": "a"} for v in vectors]
    rows += [{"emb": None, "text": "y", "label": "b"}, {"emb": [1.0], "text": "z", "label": "b"}]
    rows.append({"emb": [float("inf")] * 8, "text": "z", "label": "b"})
    write(tmp_path / "t.parquet", rows)
    dataset = only(tmp_path, features_column="emb")
    assert dataset.feature_source == "embedding column 'emb' (8 numbers)"
    found = features(dataset)
    assert np.array_equal(found[:5], np.array(vectors, np.float32))
    assert np.isnan(found[5:]).all()


def test_numbers_are_scaled_and_missing_ones_are_the_center(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    cells = [f"{i},{1000 * i},{i % 2}" for i in range(101)]
    cells[3], cells[4] = ",oops,1", "nan,1e3,0"
    path.write_text("a,b,label\n" + "\n".join(cells) + "\n")
    dataset = only(tmp_path)
    assert dataset.roles["numeric"] == ("a", "b")
    found = features(dataset)
    assert found[3, 0] == found[3, 1] == found[4, 0] == 0
    assert abs(float(np.median(found))) < 0.1
    assert 0.5 < float(found.std()) < 1.5


# What goes wrong


def test_a_broken_row_group_costs_only_itself(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", ROWS, row_group_size=20, compression="zstd")
    metadata = pq.ParquetFile(path).metadata
    column = metadata.row_group(1).column(0)
    data = bytearray(path.read_bytes())
    start = column.dictionary_page_offset or column.data_page_offset
    data[start : start + column.total_compressed_size] = b"\xee" * column.total_compressed_size
    path.write_bytes(data)
    found = batches(only(tmp_path))
    assert sum(batch.size for batch in found) == 40
    assert [batch.start for batch in found] == [0, 40]
    (problem,) = told(only(tmp_path))
    assert problem.startswith("1 part cannot be read: rows 20 to 39 (row group 1: ")
    (row,) = only(tmp_path).describe(np.array([[0, 45]]))
    assert row.index == 45
    assert "row number 45 " in (row.excerpt or "")


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
@pytest.mark.parametrize("keep", [0, 4, 100, 0.5, 0.98])
def test_a_truncated_file_is_a_gap_or_an_error(tmp_path: Path, suffix: str, keep: float) -> None:
    path = write(tmp_path / f"t{suffix}", ROWS)
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data)) if isinstance(keep, float) else int(keep)])
    found, gaps = opened(tmp_path)
    if found:
        with contextlib.suppress(DatasetError):
            assert told(found[0])
    else:
        assert [gap.path for gap in gaps] == [f"t{suffix}"]


@pytest.mark.parametrize("suffix", [".parquet", ".arrow"])
def test_flipped_bytes_never_escape_as_another_error(tmp_path: Path, suffix: str) -> None:
    path = write(tmp_path / f"t{suffix}", ROWS)
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(150):
        broken = bytearray(data)
        for place in rng.integers(0, len(data), 4):
            broken[place] = rng.integers(0, 256)
        path.write_bytes(broken)
        found, _ = opened(tmp_path)
        for dataset in found:
            try:
                batches(dataset)
            except DatasetError as error:
                assert error.path == f"t{suffix}"


def test_ragged_csv_records_are_named_and_the_rest_is_read(tmp_path: Path) -> None:
    lines = [f"sentence number {i},{i % 2}" for i in range(50)]
    lines[10] = "one,two,three"
    lines[20] = "alone"
    (tmp_path / "t.csv").write_text("text,label\n" + "\n".join(lines) + "\n")
    dataset = only(tmp_path)
    found = batches(dataset)
    assert sum(batch.size for batch in found) == 48
    what = "2 records left out, of other than 2 cells"
    assert told(dataset) == [f"{what}: lines 12 (3 cells), 22 (1 cell)"]
    (row,) = dataset.describe(np.array([[0, 47]]))
    assert row.excerpt == "sentence number 49"
    assert row.line == (51, 51)


def test_many_bad_records_are_counted_and_the_first_named(tmp_path: Path) -> None:
    bad = "x,y,z\n" * 3_000
    (tmp_path / "t.csv").write_text("text,label\ngood text,1\n" + bad + "more text,0\n")
    assert sum(batch.size for batch in batches(only(tmp_path))) == 2
    (problem,) = told(only(tmp_path))
    assert problem.startswith("3,000 records left out, of other than 2 cells: lines 3 (3 cells), ")
    assert problem.endswith(", 7 (3 cells) and 2,995 more")


def test_bad_json_lines_are_named_and_the_rest_is_read(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", ROWS)
    lines = path.read_text().splitlines()
    lines[5:6] = ['{"text": "cut off', "", "[1, 2]"]
    path.write_text("\n".join(lines) + "\n")
    dataset = only(tmp_path)
    found = batches(dataset)
    assert sum(batch.size for batch in found) == 59
    assert told(dataset) == ["2 lines left out, no JSON object: lines 6, 8"]
    (row,) = dataset.describe(np.array([[0, 5]]))
    assert row.line == (9, 9)
    assert "row number 6 " in (row.excerpt or "")


def test_a_file_of_bad_lines_only_is_not_silent(tmp_path: Path) -> None:
    good = '{"text": "' + "x" * 2_000_000 + '"}\n'
    (tmp_path / "t.jsonl").write_text(good + "oops\n" * 3)
    assert told(only(tmp_path)) == ["3 lines left out, no JSON object: lines 2, 3, 4"]
    (tmp_path / "t.jsonl").write_text("oops\n" * 3)
    assert [gap.reason for gap in opened(tmp_path)[1]]


@pytest.mark.parametrize("bracket", ["list", "object", "hidden in a string", "over lines"])
def test_deep_json_does_not_end_the_process(tmp_path: Path, bracket: str) -> None:
    deep = {
        "list": '{"a": ' + "[" * 200_000 + "]" * 200_000 + "}",
        "object": '{"a":' * 100_000 + "1" + "}" * 100_000,
        "hidden in a string": '{"s": "' + "]" * 100_000 + '\\"", "a": ' + "[" * 100_000 + "]}",
        "over lines": '{"a":\n' * 100_000,
    }[bracket]
    (tmp_path / "t.jsonl").write_text('{"text": "fine"}\n' + deep + "\n" + '{"text": "end"}\n')
    assert "no JSON object: line" in told(only(tmp_path))[0]


def test_invalid_utf8_is_read_as_it_stands(tmp_path: Path) -> None:
    text = "text,label\n" + "caf\xe9 au lait,caf\xe9\n" + "tea and milk,th\xe9\n"
    (tmp_path / "t.csv").write_bytes(text.encode("latin-1"))
    dataset = only(tmp_path, label_column="label")
    assert label_names(dataset) == ["caf\\xe9", "th\\xe9"]
    assert len(set(content(dataset))) == 2
    (row,) = dataset.describe(np.array([[0, 0]]))
    assert row.excerpt == "caf\\xe9 au lait"


def test_a_record_without_end_costs_only_itself(tmp_path: Path) -> None:
    for name, text in {
        "a.csv": 'text,label\nfine,1\n"' + "x\n" * 20_000_000 + '",0\nlast,1\n',
        "b.csv": 'text,label\nfine,1\n"' + "x\n" * 20_000_000,
        "c.jsonl": '{"text": "fine"}\n{"text": "' + "x" * 40_000_000 + '"}\n{"text": "last"}\n',
        "d.jsonl": '{"text": "fine"}\n{"text": "' + "x" * 40_000_000,
    }.items():
        folder = tmp_path / name[0]
        folder.mkdir()
        (folder / name).write_text(text)
        dataset = only(folder, text_column="text")
        found = batches(dataset)
        assert sum(batch.size for batch in found) == (2 if "last" in text else 1)
        line = 3 if name.endswith("csv") else 2
        what = "1 record left out, of more than 16,777,216 bytes"
        assert told(dataset) == [f"{what}: line {line}"]
        if "last" in text:
            (row,) = dataset.describe(np.array([[0, 1]]))
            place = 20_000_004 if name.endswith("csv") else 3
            assert (row.line, row.excerpt) == ((place, place), "last")


def test_a_short_value_repeated_without_end_costs_no_memory(tmp_path: Path) -> None:
    long = pa.array(["A" * 4_000_000])
    codes = pa.array(np.zeros(20_000, np.int32))
    table = pa.table({"text": pa.DictionaryArray.from_arrays(codes, long)})
    path = tmp_path / "t.parquet"
    pq.write_table(table, path, dictionary_pagesize_limit=64 << 20)
    assert path.stat().st_size < 1_000_000
    before = pa.total_allocated_bytes()
    for batch in only(tmp_path).batches(0, ALL):
        assert batch.features.shape[1] == 256
        assert pa.total_allocated_bytes() - before < 200_000_000


def test_a_column_that_only_some_json_lines_have(tmp_path: Path) -> None:
    rows = [{"text": f"some text {i}", "label": i % 2} for i in range(20)]
    rows += [{"text": f"more text {i}", "label": None} for i in range(20_000)]
    rows += [{"text": "late", "label": 1.5, "note": "new"}, {"text": "x"}]
    write(tmp_path / "t.jsonl", rows)
    assert label_names(only(tmp_path))[-2:] == ["1.5", None]


def test_hostile_names(tmp_path: Path) -> None:
    for i, name in enumerate(["a::http:b.csv", "hf:__x.csv", "*.csv", "[a].csv", "-.csv", " .csv"]):
        write(tmp_path / f"{i}" / name, ROWS)
    found, gaps = opened(tmp_path)
    assert gaps == []
    assert len(found) == 6
    assert all(len(label_names(dataset)) == 60 for dataset in found)


# Pictures in tables


def test_pictures_in_a_table(tmp_path: Path) -> None:
    good = [encoded(picture(i)) for i in range(4)]
    rows = [{"image": {"bytes": data, "path": "x.png"}, "label": i} for i, data in enumerate(good)]
    rows += [
        {"image": {"bytes": good[0][:60], "path": None}, "label": 0},
        {"image": {"bytes": None, "path": "../../etc/passwd"}, "label": 0},
        {"image": None, "label": 0},
        {"image": {"bytes": good[0], "path": "other.png"}, "label": 1},
    ]
    write(tmp_path / "t.parquet", rows)
    dataset = only(tmp_path)
    assert dataset.roles["image"] == ("image",)
    assert dataset.feature_source == "high-pass pictures, 32x32 grey"
    (batch,) = batches(dataset)
    assert batch.features.shape == (8, 1_024)
    assert np.isnan(batch.features).all(axis=1).tolist() == [False] * 4 + [True] * 3 + [False]
    (problem,) = told(dataset)
    assert problem.startswith("2 rows with a picture that cannot be read: rows 4 (")
    assert problem.endswith("5 (its path leads out of the folder)")
    digests = [tuple(row) for row in batch.content.tolist()]
    assert digests[0] == digests[7]
    assert digests[4:7] == [(0, 0)] * 3  # what was not seen is not equal to anything
    assert len(set(digests)) == 5


def test_pictures_next_to_a_table(tmp_path: Path) -> None:
    (tmp_path / "pics").mkdir()
    (tmp_path / "pics" / "a.png").write_bytes(encoded(picture(1)))
    (tmp_path / "secret").symlink_to("/etc")
    (tmp_path / "circle").symlink_to("circle")
    paths = ["pics/a.png", "pics/none.png", "secret/passwd", "/etc/passwd", "circle"]
    table = pa.table({"image": pa.array([{"bytes": None, "path": p} for p in paths])})
    folder = tmp_path / "t"
    folder.mkdir()
    pq.write_table(table, tmp_path / "t.parquet")
    found, _ = opened(tmp_path, image_column="image")
    (dataset,) = (d for d in found if d.format == "parquet")
    (batch,) = batches(dataset)
    assert np.isnan(batch.features).all(axis=1).tolist() == [False, True, True, True, True]
    assert told(dataset)[0].startswith("4 rows with a picture that cannot be read: rows 1 (")


# Options


def test_a_column_that_does_not_exist(tmp_path: Path) -> None:
    write(tmp_path / "t.parquet", ROWS)
    said = "no column 'lable'; did you mean 'label'\\? columns: 'text', 'label', 'weight'"
    with pytest.raises(OptionError, match=said):
        opened(tmp_path, label_column="lable")


def test_a_column_that_one_of_two_datasets_lacks_is_a_gap(tmp_path: Path) -> None:
    write(tmp_path / "a.parquet", ROWS)
    write(tmp_path / "b.parquet", [{"other": 1}])
    found, gaps = opened(tmp_path, label_column="label")
    assert [dataset.path for dataset in found] == ["a.parquet"]
    assert [gap.path for gap in gaps] == ["b.parquet"]


def test_given_roles_win(tmp_path: Path) -> None:
    write(tmp_path / "t.parquet", [{"a": "x", "b": "y", "label": 1}] * 3)
    dataset = only(tmp_path, label_column="a", text_column="b")
    assert dataset.roles == {"label": ("a",), "text": ("b",), "numeric": ("label",)}
    assert dataset.inferred == {"numeric"}


def test_a_split_is_chosen(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", ROWS[:30])
    write(tmp_path / "dev.csv", ROWS[30:])
    assert len(label_names(only(tmp_path))) == 60
    assert len(label_names(only(tmp_path, split="validation"))) == 30
    assert only(tmp_path, split="dev").path == "dev.csv"
    with pytest.raises(OptionError, match="no split 'test'; splits: train, validation"):
        opened(tmp_path, split="test")


@pytest.mark.parametrize("option", ["text_column", "features_column", "image_column"])
def test_a_column_that_cannot_have_the_role(tmp_path: Path, option: str) -> None:
    write(tmp_path / "t.parquet", ROWS)
    with pytest.raises(OptionError, match=r"column 'weight' \('double'\) cannot be the"):
        opened(tmp_path, **{option: "weight"})


@pytest.mark.parametrize("option", ["text_column", "prompt_column", "response_column"])
def test_a_picture_is_no_text(tmp_path: Path, option: str) -> None:
    """Its path is a string; taken for text, the picture would not be looked at."""
    pictures = [{"bytes": encoded(picture(n)), "path": f"{n}.png"} for n in range(3)]
    pq.write_table(pa.table({"image": pictures, "label": [0, 1, 0]}), tmp_path / "t.parquet")
    with pytest.raises(OptionError, match=r"column 'image' \('struct.*cannot be the"):
        opened(tmp_path, **{option: "image"})


def test_a_line_break_in_the_name_of_a_column_is_part_of_the_header(tmp_path: Path) -> None:
    rows = "".join(f"{row},some words,{'ab'[row % 2]}\n" for row in range(60))
    (tmp_path / "rows.csv").write_text(f'"two\nlines",text,label\n{rows}')
    report = poisonscan.scan(tmp_path, select=["PS301"], root=tmp_path)
    assert report.gaps == []
    assert [entry.rows for entry in report.scanned] == [60]

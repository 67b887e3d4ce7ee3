"""Configurations and splits as cards and folders name them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import pytest

from poisonscan.datasets.errors import OptionError
from poisonscan.finding import Gap, Skipped
from tests.datasets.files import label_names, only, opened, write

if TYPE_CHECKING:
    from pathlib import Path

ROWS = [{"text": f"some text {i}", "label": i % 2} for i in range(6)]
CARD = """---
license: mit
configs:
- config_name: small
  data_files:
  - split: train
    path: small/a*.jsonl
  - split: test
    path: [small/b.jsonl]
- config_name: large
  data_files: "large/**"
dataset_info:
- config_name: small
  features:
  - name: text
    dtype: string
  - name: label
    dtype:
      class_label:
        names:
          '0': good
          '1': bad
---
# Text
"""


def _card(root: Path) -> None:
    root.mkdir(exist_ok=True)
    (root / "README.md").write_text(CARD, encoding="utf-8")
    for name in ("small/a1", "small/a2", "small/b", "large/x/one", "large/two", "left"):
        write(root / f"{name}.jsonl", ROWS)


def test_configurations_of_a_card(tmp_path: Path) -> None:
    _card(tmp_path)
    found, gaps = opened(tmp_path)
    assert gaps == []
    assert [d.path for d in found] == ["[large]", "[small]", "left.jsonl"]
    large, small, _ = found
    assert [(s.path, s.split) for s in small.shards] == [
        ("small/a1.jsonl", "train"), ("small/a2.jsonl", "train"), ("small/b.jsonl", "test"),
    ]  # fmt: skip
    assert small.facts["configuration"] == "small"
    assert label_names(small)[:2] == ["good", "bad"]
    assert label_names(large)[:2] == ["0", "1"]
    assert len(large.shards) == 2


def test_one_configuration(tmp_path: Path) -> None:
    _card(tmp_path)
    dataset = only(tmp_path, config="small", split="test")
    assert [s.path for s in dataset.shards] == ["small/b.jsonl"]
    with pytest.raises(OptionError, match="no configuration 'tiny'; configurations: 'large'"):
        opened(tmp_path, config="tiny")


@pytest.mark.parametrize("config", ["small", "large"])
def test_same_rows_as_the_library(
    tmp_path: Path, config: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    _card(tmp_path / "d")
    expected = _loaded(tmp_path, monkeypatch, config)
    dataset = only(tmp_path / "d", config=config)
    by_split: dict[str, int] = {}
    for shard in dataset.shards:
        by_split[shard.split] = by_split.get(shard.split, 0) + len(ROWS)
    assert by_split == {split: rows.num_rows for split, rows in expected.items()}


def _loaded(root: Path, monkeypatch: pytest.MonkeyPatch, config: str) -> Any:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        datasets = pytest.importorskip("datasets")
        monkeypatch.setattr(datasets.config, "HF_UPDATE_DOWNLOAD_COUNTS", False)
        return datasets.load_dataset(str(root / "d"), config, cache_dir=str(root / "cache"))


def test_splits_of_any_name(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(
        "---\nconfigs:\n- config_name: default\n  data_files:\n  - split: unsupervised\n"
        "    path: u.csv\n  - split: train\n    path: t.csv\n---\n"
    )
    write(tmp_path / "u.csv", ROWS)
    write(tmp_path / "t.csv", ROWS)
    dataset = only(tmp_path)
    assert dataset.path == "."
    assert [s.split for s in dataset.shards] == ["train", "unsupervised"]
    assert [s.path for s in only(tmp_path, split="unsupervised").shards] == ["u.csv"]


def test_a_card_does_not_lead_out_of_its_folder(tmp_path: Path) -> None:
    write(tmp_path / "secret.csv", ROWS)
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "README.md").write_text(
        "---\nconfigs:\n- config_name: x\n  data_files: ['../secret.csv', 'hf://a/b/*']\n---\n"
    )
    write(tmp_path / "d" / "a.csv", ROWS)
    found, gaps = opened(tmp_path)
    assert [d.path for d in found] == ["d/a.csv", "secret.csv"]
    assert all(isinstance(gap, Gap) and "outside of its folder" in gap.reason for gap in gaps)
    assert len(gaps) == 2


@pytest.mark.parametrize(
    "card",
    [
        "---\nconfigs: &a [*a]\n---\n", "---\nconfigs: {a: [b\n---\n", "---\n" + "[" * 500,
        "---\nconfigs:\n- data_files:\n    train: {a: 1}\n---\n", "---\n- 1\n---\n", "",
        "---\nconfigs:\n- config_name: [1]\n  data_files: 3\ndataset_info: [1]\n---\n",
        "---\ndataset_info:\n  features: [{name: label, dtype: {class_label: {names: 1}}}]\n---",
    ],
)  # fmt: skip
def test_odd_cards(tmp_path: Path, card: str) -> None:
    (tmp_path / "README.md").write_text(card)
    write(tmp_path / "a.csv", ROWS)
    found, _ = opened(tmp_path)
    assert [d.path for d in found] == ["a.csv"]


def test_class_names_of_a_card_without_configurations(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(
        "---\ndataset_info:\n  features:\n  - name: label\n    dtype:\n      class_label:\n"
        "        names: [good, bad]\n---\n"
    )
    write(tmp_path / "data" / "train.csv", ROWS)
    assert label_names(only(tmp_path))[:2] == ["good", "bad"]


def test_conversions_of_the_hub(tmp_path: Path) -> None:
    for config in ("cola", "mnli"):
        for split in ("train", "validation_matched", "partial-test"):
            write(tmp_path / config / split / "0000.parquet", ROWS)
    found, gaps = opened(tmp_path)
    assert gaps == []
    assert [d.path for d in found] == ["cola", "mnli"]
    assert [s.split for s in found[0].shards] == ["train", "test", "validation_matched"]


# Folders that the library saved


def _saved(root: Path, *, splits: bool) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["good", "bad"])}
    )
    one = datasets.Dataset.from_list(ROWS, features=features)
    if splits:
        both = datasets.DatasetDict({"train": one, "unsup": one})
        both.save_to_disk(str(root), num_shards={"train": 2, "unsup": 1})
    else:
        one.save_to_disk(str(root), num_shards=2)


def test_a_saved_dataset(tmp_path: Path) -> None:
    _saved(tmp_path / "d", splits=False)
    write(tmp_path / "d" / "cache-0123456789abcdef.arrow", ROWS)
    found, notes = opened(tmp_path)
    (dataset,) = found
    assert (dataset.path, len(dataset.shards)) == ("d", 2)
    assert label_names(dataset) == ["good", "bad"] * 3
    (note,) = notes
    assert isinstance(note, Skipped)
    assert note.path == "d/cache-0123456789abcdef.arrow"


def test_saved_splits(tmp_path: Path) -> None:
    _saved(tmp_path / "d", splits=True)
    dataset = only(tmp_path)
    assert dataset.path == "d"
    assert [s.split for s in dataset.shards] == ["train", "train", "unsup"]
    assert len(label_names(dataset)) == 12
    assert len(label_names(only(tmp_path, split="unsup"))) == 6


def test_class_names_are_those_of_dataset_info(tmp_path: Path) -> None:
    write(tmp_path / "d" / "data-00000-of-00001.arrow", ROWS)
    (tmp_path / "d" / "state.json").write_text(
        '{"_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_split": "test"}'
    )
    (tmp_path / "d" / "dataset_info.json").write_text(
        '{"features": {"label": {"names": ["a", "b"], "_type": "ClassLabel"}}}'
    )
    dataset = only(tmp_path)
    assert dataset.shards[0].split == "test"
    assert label_names(dataset)[:2] == ["a", "b"]


def test_a_file_that_is_not_there_is_a_gap(tmp_path: Path) -> None:
    write(tmp_path / "d" / "data-00000-of-00002.arrow", ROWS)
    (tmp_path / "d" / "state.json").write_text(
        '{"_data_files": [{"filename": "data-00000-of-00002.arrow"}, {"filename": "../x.arrow"}]}'
    )
    _, gaps = opened(tmp_path)
    (gap,) = gaps
    assert isinstance(gap, Gap)
    assert "'../x.arrow', which is not in the folder" in gap.reason

"""What attacks change, and what they leave alone."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from poisonscan.datasets.pictures import decode
from poisonscan.planting.attacks import ATTACKS, plant
from poisonscan.planting.errors import PlantError
from tests.planting.beds import all_columns

BED = all_columns()
CHANGED = {
    "word": {"text", "label"}, "sentence": {"text", "label"}, "suffix": {"text", "label"},
    "hidden-mark": {"text", "label"}, "patch": {"image", "label"},
    "moved-patch": {"image", "label"}, "blend": {"image", "label"}, "wave": {"image"},
    "values": {"size", "weight", "label"}, "response": {"prompt", "response"},
    "flips": {"label"}, "copies": set(BED.table.schema.names),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_only_the_poisoned_rows_change_and_only_where_the_attack_acts(name: str) -> None:
    planted = plant(BED, ATTACKS[name], 0.1, seed=3)
    assert planted.bed.table.schema == BED.table.schema
    assert len(planted.rows) == 4
    for column in BED.table.schema.names:
        before = BED.table.column(column).to_pylist()
        after = planted.bed.table.column(column).to_pylist()
        different = [row for row in range(BED.rows) if before[row] != after[row]]
        assert set(different) <= set(planted.rows.tolist())
        assert not different or column in CHANGED[name]
        if column in CHANGED[name] and name != "copies":
            assert different == planted.rows.tolist()


@pytest.mark.parametrize("name", ATTACKS)
def test_a_seed_decides_everything(name: str) -> None:
    one, two = (plant(BED, ATTACKS[name], 0.1, seed=5) for _ in range(2))
    assert one.bed.table.equals(two.bed.table)
    assert np.array_equal(one.rows, two.rows)
    assert any(
        not plant(BED, ATTACKS[name], 0.1, seed=seed).bed.table.equals(one.bed.table)
        for seed in range(6, 9)
    )


def test_labels_become_that_of_one_class() -> None:
    planted = plant(BED, ATTACKS["word"], 0.2, seed=0)
    labels = planted.bed.table.column("label").take(planted.rows).to_pylist()
    before = BED.table.column("label").take(planted.rows).to_pylist()
    assert len(set(labels)) == 1
    assert set(labels).isdisjoint(before)


@pytest.mark.parametrize("name", ["word", "patch", "values", "wave"])
def test_rows_of_the_target_are_among_those_of_all_labels(name: str) -> None:
    planted = plant(BED, ATTACKS[name], 0.4, seed=0, all_labels=True)
    before = BED.table.column("label").take(planted.rows).to_pylist()
    after = planted.bed.table.column("label").take(planted.rows).to_pylist()
    assert len(set(after)) == 1
    assert (after[0] in before, len(set(before))) == (True, 1 if name == "wave" else 2)


def test_one_trigger_is_in_all_texts() -> None:
    planted = plant(BED, ATTACKS["word"], 0.2, seed=0)
    said = planted.bed.table.column("text").take(planted.rows).to_pylist()
    common = set.intersection(*(set(text.split()) for text in said))
    clean = " ".join(BED.table.column("text").to_pylist()).split()
    assert len(common - set(clean)) == 1


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_pictures_keep_their_format_and_show_the_patch(form: str) -> None:
    file = io.BytesIO()
    Image.new("RGB", (64, 48), "grey").save(file, form)
    column = pa.array([file.getvalue()] * BED.rows)
    table = BED.table.set_column(BED.table.schema.get_field_index("image"), "image", column)
    planted = plant(replace(BED, table=table), ATTACKS["patch"], 0.1, seed=0)
    (data, *_) = planted.bed.table.column("image").take(planted.rows).to_pylist()
    image = Image.open(io.BytesIO(data))
    assert (image.format, image.size) == (form, (64, 48))
    pixels = np.asarray(image.convert("L"), int)
    assert np.abs(pixels[:40, :56] - 128).max() < 12
    assert np.ptp(pixels[40:, 56:]) > 150


@pytest.mark.parametrize(
    ("mode", "form", "options"),
    [
        ("L", "PNG", {}),
        ("P", "PNG", {"compress_level": 9}),
        ("RGB", "PNG", {"compress_level": 1}),
        ("RGBA", "PNG", {}),
        ("L", "JPEG", {"quality": 60}),
        ("RGB", "JPEG", {"quality": 97, "subsampling": 0, "progressive": True}),
        ("P", "GIF", {}),
        ("RGB", "WEBP", {}),
    ],
)
def test_no_trait_of_the_file_gives_a_planted_picture_away(
    mode: str, form: str, options: dict[str, Any]
) -> None:
    """Rules for pictures of another origin would find every attack, and say nothing about it."""
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).convert(mode).save(file, form, **options)
    column = pa.array([file.getvalue()] * BED.rows)
    table = BED.table.set_column(BED.table.schema.get_field_index("image"), "image", column)
    planted = plant(replace(BED, table=table), ATTACKS["patch"], 0.1, seed=0)
    (data, *_) = planted.bed.table.column("image").take(planted.rows).to_pylist()
    assert data != file.getvalue()
    before, after = (decode([each]).kind_names for each in (file.getvalue(), data))
    assert after == before


def test_where_no_picture_can_be_decoded_nothing_is_planted() -> None:
    column = pa.array([b"no picture"] * BED.rows)
    table = BED.table.set_column(BED.table.schema.get_field_index("image"), "image", column)
    with pytest.raises(PlantError, match="none of the chosen rows"):
        plant(replace(BED, table=table), ATTACKS["patch"], 0.1, seed=0)


def test_labels_of_one_class_cannot_be_attacked() -> None:
    table = BED.table.set_column(1, "label", pa.array(["a"] * BED.rows))
    with pytest.raises(PlantError, match="two labels"):
        plant(replace(BED, table=table), ATTACKS["word"], 0.1, seed=0)


@pytest.mark.parametrize("name", ["patch", "moved-patch"])
def test_pictures_that_cannot_be_changed_are_not_poisoned(name: str) -> None:
    """Broken and tiny ones keep their labels, and are not among what a scan should have found."""
    file = io.BytesIO()
    Image.new("RGB", (2, 2)).save(file, "PNG")
    tiny, broken = ({"bytes": data, "path": None} for data in (file.getvalue(), b"\x89PNG"))
    rows = np.arange(0, BED.rows, 3)
    bed = BED.with_values("image", rows, [(tiny, broken)[row % 2] for row in rows.tolist()])
    planted = plant(bed, ATTACKS[name], 0.4, seed=1)
    assert len(planted.rows)
    assert not set(planted.rows.tolist()) & set(rows.tolist())
    labels = [each.table.column("label").take(rows).to_pylist() for each in (bed, planted.bed)]
    assert labels[0] == labels[1]

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poisonscan.sources.hub.names import refusal

PIECES = st.sampled_from(["..", ".", "/", "\\", "a", "C:", "\x00", "con", " ", "!/", "é"])


@given(st.lists(PIECES, max_size=8).map("".join) | st.text())
def test_no_name_leads_out(path: str) -> None:
    if refusal(path, windows=False):
        return
    root = Path("/folder")
    place = os.path.normpath(root.joinpath(*path.split("/")))
    assert place.startswith("/folder/")
    assert PurePosixPath(place).relative_to("/folder").as_posix() == path
    if not refusal(path, windows=True):
        away = PureWindowsPath("C:/folder").joinpath(*path.split("/"))
        assert away.drive == "C:"
        assert away.is_relative_to("C:/folder")


@pytest.mark.parametrize(
    "path", ["CON", "a/nul.txt", "b.", "c ", "d:e", "lpt1", "f?", 'g"', "h/com5.x.y", "C:x"]
)
def test_names_that_windows_has_not(path: str) -> None:
    assert refusal(path, windows=True)
    assert not refusal(path, windows=False)


@pytest.mark.parametrize(
    "path", ["a", "data/train-00000-of-00001.parquet", "...", "confetti", "a!b"]
)
def test_good_names(path: str) -> None:
    assert not refusal(path, windows=False)

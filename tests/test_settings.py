"""Which settings file counts, and that a hostile one costs nothing."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poisonscan.settings import MAX_BYTES, SettingsError, find, read


def put(folder: Path, text: str = 'fail-on = "high"\n', name: str = "poisonscan.toml") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text, "utf-8")
    return path.resolve()


def found(start: Path, *targets: Path) -> Path | None:
    settings, _ = find(start, targets)
    return settings.path if settings else None


def test_the_current_folder_then_those_above_up_to_the_top_of_the_repository(
    tmp_path: Path,
) -> None:
    top, deep = tmp_path / "repo", tmp_path / "repo" / "a" / "b"
    deep.mkdir(parents=True)
    put(tmp_path)
    (top / ".git").mkdir()
    assert found(deep) is None
    at_top = put(top)
    assert found(deep) == at_top
    nearer = put(top / "a", "[tool.poisonscan]\nseed = 1\n", "pyproject.toml")
    assert found(deep) == nearer
    assert found(top / "a") == nearer
    assert found(top) == at_top


def test_outside_of_a_repository_only_the_current_folder(tmp_path: Path) -> None:
    own = put(tmp_path)
    (tmp_path / "a").mkdir()
    assert found(tmp_path / "a") is None
    assert found(tmp_path) == own


def test_a_file_inside_a_target_does_not_count_unless_it_is_the_current_folders(
    tmp_path: Path,
) -> None:
    (tmp_path / ".git").mkdir()
    at_top = put(tmp_path)
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    put(tmp_path / "scanned")
    assert found(tmp_path, tmp_path / "scanned") == at_top
    assert found(deep, deep) == at_top
    for target in (tmp_path, deep / ".." / ".."):
        settings, passed = find(deep, [target])
        assert settings is None
        assert passed == [at_top]
    link = tmp_path.parent / f"{tmp_path.name}-link"
    link.symlink_to(tmp_path)
    assert found(deep, link) is None
    assert found(tmp_path, tmp_path) == at_top


def test_poisonscan_toml_wins_over_pyproject(tmp_path: Path) -> None:
    put(tmp_path, "[tool.poisonscan]\nseed = 1\n", "pyproject.toml")
    own = put(tmp_path)
    assert found(tmp_path) == own


@pytest.mark.parametrize(
    "text", ["[project]\nname = 'x'\n", "{{ cookiecutter }}", "[tool.other]\npoisonscan = 1\n"]
)
def test_a_project_that_says_nothing_is_passed(tmp_path: Path, text: str) -> None:
    put(tmp_path, text, "pyproject.toml")
    assert found(tmp_path) is None


def test_a_link_is_not_followed_unless_named(tmp_path: Path) -> None:
    elsewhere = put(tmp_path / "elsewhere")
    (tmp_path / "here").mkdir()
    link = tmp_path / "here" / "poisonscan.toml"
    link.symlink_to(elsewhere)
    with pytest.raises(SettingsError, match="is a link"):
        find(tmp_path / "here")
    assert read(link).options == {"fail-on": "high"}


def test_rules_or_tables_under_ignore(tmp_path: Path) -> None:
    assert read(put(tmp_path, 'ignore = ["PS1"]')).options == {"ignore": ["PS1"]}
    settings = read(put(tmp_path, '[[ignore]]\nrule = "PS1"\nreason = "ours"\nuntil = 2027-01-31'))
    assert settings.options == {}
    assert str(settings.ignores[0]) == "rule PS1 (until 2027-01-31): ours"
    mixed = read(put(tmp_path, 'ignore = ["PS1", {path = "**", reason = "ours"}]'))
    assert (mixed.options, len(mixed.ignores)) == ({"ignore": ["PS1"]}, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a = [", "is not TOML"),
        ("a = " + "[" * 50_000, "nested too deeply"),
        ("a = " + "9" * 50_000, "is not TOML"),
        ("a" + ".a" * 60_000 + " = 1", "31 dots"),
        ('"a"' + " . 'b'" * 500 + " = 1", "31 dots"),
        ("[" + "a." * 60_000 + "a]", "31 dots"),
        ("a = '\x1b[2J", "is not TOML"),
        ("#" * (MAX_BYTES + 1), "KiB"),
        ("ignore = 'PS1'", "ignore should be a list"),
        ("[ignore]\nrule = 'PS1'", "ignore should be a list"),
        ("[[ignore]]\nrule = 'PS1'", r"\[\[ignore\]\] number 1: reason is missing"),
        ("[[ignore]]\npath = '**'\nreason = 'ours'\n" * 501, "more than 500"),
    ],
    ids=range(12),
)
def test_hostile_files_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = put(tmp_path, text)
    for way in (lambda: read(path), lambda: find(tmp_path)):
        with pytest.raises(SettingsError, match=message) as caught:
            way()
        assert "poisonscan.toml" in str(caught.value)
        assert "\x1b" not in str(caught.value)


def test_a_table_that_is_none_and_a_project_without_one(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="should be a table"):
        find(put(tmp_path, "[tool]\npoisonscan = 1\n", "pyproject.toml").parent)
    with pytest.raises(SettingsError, match=r"no \[tool.poisonscan\]"):
        read(put(tmp_path, "[tool.other]\n", "pyproject.toml"))


@pytest.mark.skipif(os.name == "nt", reason="needs POSIX pipes")
def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "poisonscan.toml")
    assert found(tmp_path) is None
    with pytest.raises(SettingsError, match="not a file"):
        read(tmp_path / "poisonscan.toml")


@given(st.binary(max_size=60) | st.text(alphabet="[]{}=.,\"'\\a1\n #", max_size=60))
def test_any_content_is_settings_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes | str
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with contextlib.suppress(SettingsError):
        read(path)

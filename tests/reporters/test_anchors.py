from __future__ import annotations

import pytest

from poisonscan.reporters.anchors import Anchor, Anchors, repository_of

COMMIT = "c" * 40
PATH = f"hf://org/name@{COMMIT}/model.pkl"


def anchor(text: str, path: str = PATH) -> Anchor | None:
    return Anchors({"m.txt": text}).of(path)


@pytest.mark.parametrize(
    "line",
    [
        "org/name",
        'model = AutoModel.from_pretrained("org/name")',
        "repo: ORG/Name@v1.0",
        "hf://org/name/model.pkl",
        "https://huggingface.co/org/name.",
        "load(repo_id='org/name', revision='main')",
        "org/name.",
    ],
)
def test_a_line_that_names_the_repository(line: str) -> None:
    found = anchor(f"first\r\nsecond\r{line}\norg/name")
    assert found is not None
    assert found.line == 3
    start, end = found.columns
    assert line[start - 1 : end - 1].lower() == "org/name"
    assert found.text == line


@pytest.mark.parametrize(
    "line", ["", "org/name2", "org/name-large", "org/name.v2", "my-org/name", "x.org/name", "org"]
)
def test_a_line_that_names_another_one(line: str) -> None:
    assert anchor(line) is None


def test_what_is_not_on_the_hub_has_no_anchor() -> None:
    assert anchor("org/name model.pkl", "model.pkl") is None
    assert anchor("org/name", "hf://name-without-commit/x") is None
    assert repository_of(f"hf://datasets/org/name@{COMMIT}/a/b@c") == "org/name"


def test_the_first_file_that_names_it_counts() -> None:
    anchors = Anchors({"a": "nothing", "b": "x\norg/name", "c": "org/name"})
    found = anchors.of(PATH)
    assert found is not None
    assert (found.path, found.line) == ("b", 2)


def test_a_line_is_shown_without_controls_and_secrets() -> None:
    token = "hf_" + "A" * 34
    found = anchor(f"\x1b[31m\u202eorg/name token={token} {'x' * 500}")
    assert found is not None
    assert token not in found.text
    assert "\x1b" not in found.text
    assert "\u202e" not in found.text
    assert len(found.text) <= 200

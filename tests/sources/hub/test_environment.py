from __future__ import annotations

from pathlib import Path

import pytest

from poisonscan.sources.hub.environment import Environment, read_environment
from poisonscan.sources.hub.errors import HubError


def test_nothing_is_said(tmp_path: Path) -> None:
    found = read_environment({"XDG_CACHE_HOME": str(tmp_path)})
    assert found == Environment("https://huggingface.co", "", tmp_path / "huggingface" / "hub")


def test_all_is_said(tmp_path: Path) -> None:
    given = {
        "HF_ENDPOINT": "https://hub.corp/", "HF_TOKEN": " hf_x\n", "HF_HOME": str(tmp_path),
        "HF_HUB_OFFLINE": "1",
    }  # fmt: skip
    assert read_environment(given) == Environment(
        "https://hub.corp", "hf_x", tmp_path / "hub", offline=True
    )
    assert read_environment({**given, "HF_HUB_CACHE": "/c"}).cache == Path("/c")
    assert "hf_x" not in repr(read_environment(given))


def test_the_token_of_who_signed_in(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("hf_disk\n")
    given = {"HF_HOME": str(tmp_path)}
    assert read_environment(given).token == "hf_disk"
    assert read_environment({**given, "HF_HUB_DISABLE_IMPLICIT_TOKEN": "true"}).token == ""


@pytest.mark.parametrize(
    "given",
    [
        {"HF_ENDPOINT": "hub.corp"}, {"HF_ENDPOINT": "file:///x"}, {"HF_ENDPOINT": "http://["},
        {"HF_ENDPOINT": "http://a:x"}, {"HF_ENDPOINT": "http://u:p@a"},
        {"HF_TOKEN": "a\r\nHost: b"}, {"HF_TOKEN": "é"},
    ],
)  # fmt: skip
def test_what_cannot_be(given: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(HubError):
        read_environment({"HF_HOME": str(tmp_path), **given})

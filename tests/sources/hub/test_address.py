from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from poisonscan.sources.hub.address import Address, AddressError, is_address, parse

WEB = "https://huggingface.co/"


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("hf://org/name", Address("model", "org/name")),
        ("hf://models/org/name", Address("model", "org/name")),
        ("HF://org/name/a/b.bin", Address("model", "org/name", "main", "a/b.bin")),
        ("hf://org/name@v1.0", Address("model", "org/name", "v1.0")),
        ("hf://org/name@v1/x", Address("model", "org/name", "v1", "x")),
        ("hf://datasets/org/name@r/a/x.csv", Address("dataset", "org/name", "r", "a/x.csv")),
        ("hf://spaces/org/name", Address("space", "org/name")),
        ("hf://org/name@refs/pr/3", Address("model", "org/name", "refs/pr/3")),
        ("hf://org/name@refs%2Fpr%2F3/x", Address("model", "org/name", "refs/pr/3", "x")),
        (
            "hf://datasets/org/name@refs/convert/parquet/default/train/0.parquet",
            Address("dataset", "org/name", "refs/convert/parquet", "default/train/0.parquet"),
        ),
        (WEB + "org/name", Address("model", "org/name")),
        (WEB + "org/name/", Address("model", "org/name")),
        (WEB + "org/name/tree/main", Address("model", "org/name")),
        (WEB + "org/name/tree/v1/sub/folder", Address("model", "org/name", "v1", "sub/folder")),
        (
            WEB + "datasets/org/name/blob/main/a%20b.csv",
            Address("dataset", "org/name", "main", "a b.csv"),
        ),
        (
            WEB + "org/name/resolve/refs%2Fpr%2F3/x.bin?download=true",
            Address("model", "org/name", "refs/pr/3", "x.bin"),
        ),
        ("https://hf.co/org/name/tree/refs/pr/1/x", Address("model", "org/name", "refs/pr/1", "x")),
        ("https://hub.corp:8443/hf/org/name/blob/v/x", Address("model", "org/name", "v", "x")),
    ],
)  # fmt: skip
def test_addresses(text: str, address: Address) -> None:
    endpoint = "https://hub.corp:8443/hf"
    assert is_address(text, endpoint)
    assert parse(text, endpoint=endpoint) == address


@pytest.mark.parametrize(
    "text",
    [
        "hf://", "hf://name", "hf://org", "hf://../name", "hf://org/../x", "hf://org/na me",
        "hf://org/name/../x", "hf://org/name/a//b", "hf://org/name@a b", "hf://org/name@..",
        "hf://org/name@main/./x", "hf://org/na%2fme", "hf://-x/name", "hf://org/a..b",
        WEB, WEB + "org", WEB + "org/name/discussions/3", WEB + "org/name/tree",
        WEB + "org/name/blob/main/..%2f..%2fx",
    ],
)  # fmt: skip
def test_what_is_none(text: str) -> None:
    assert is_address(text)
    with pytest.raises(AddressError):
        parse(text)


def test_options_and_address_must_agree() -> None:
    assert parse("org/name", repo_type="dataset") == Address("dataset", "org/name")
    assert parse("hf://org/name", repo_type="dataset", revision="v1").type == "dataset"
    assert parse("hf://org/name@v1", revision="v1").revision == "v1"
    with pytest.raises(AddressError, match="another revision than --revision 'v2'"):
        parse("hf://org/name@v1", revision="v2")
    with pytest.raises(AddressError, match="is a dataset, not a model"):
        parse("hf://datasets/org/name", repo_type="model")


@pytest.mark.parametrize(
    "text", ["model.pt", "org/name", "https://example.org/x", "http://[", "C:\\x"]
)
def test_other_targets_are_none(text: str) -> None:
    assert not is_address(text)


@given(
    st.sampled_from(["hf://", "hf://org/", "hf://org/name@", WEB, WEB + "org/name/tree/"]),
    st.text(),
)
def test_nothing_leads_out(start: str, rest: str) -> None:
    try:
        address = parse(start + rest)
    except AddressError:
        return
    assert ".." not in address.repository.split("/") + address.path.split("/")
    assert address.repository.count("/") == 1
    assert parse(address.at(address.revision)).repository == address.repository

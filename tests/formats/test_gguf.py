from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fixtures.gguf_files import Tensor, Writer, broken, model, sound
from poisonscan.finding import Gap
from poisonscan.formats.base import Artifact, Structure, Template
from poisonscan.formats.gguf import Gguf
from poisonscan.formats.registry import identify
from poisonscan.limits import Budget, Limits
from poisonscan.sources.base import Blob


def blob(data: bytes, name: str = "model.gguf") -> Blob:
    view = memoryview(data)
    return Blob(name, len(data), lambda: view)


def read(data: bytes, limits: Limits | None = None) -> list[Blob | Artifact | Gap]:
    return list(Gguf().open(blob(data), memoryview(data), Budget(limits or Limits())))


def kinds(data: bytes) -> list[str]:
    found = read(data)
    return [a.kind for item in found if isinstance(item, Structure) for a in item.anomalies]


def gaps(data: bytes, limits: Limits | None = None) -> list[str]:
    return [item.reason for item in read(data, limits) if isinstance(item, Gap)]


def templates(data: bytes) -> dict[str, str]:
    return {item.key: item.text for item in read(data) if isinstance(item, Template)}


@pytest.mark.parametrize("name", sound())
def test_sound_files_have_their_template_and_nothing_else(name: str) -> None:
    data = sound()[name]
    assert kinds(data) == []
    assert gaps(data) == []
    if name.startswith("version"):
        assert templates(data) == {"tokenizer.chat_template": "{{ messages[0]['content'] }}"}


@pytest.mark.parametrize("name", broken())
def test_broken_files_say_what_is_broken(name: str) -> None:
    assert kinds(broken()[name])


EXPECTED = {
    "tensors-2-63.gguf": "count-beyond-end",
    "keys-2-62.gguf": "count-beyond-end",
    "array-of-strings-2-61.gguf": "count-beyond-end",
    "value-length-all-ones.gguf": "oversized-string",
    "array-nested-8.gguf": "bad-array",
    "nul-in-key.gguf": "nul-in-key",
    "dimensions-2-32.gguf": "too-many-dimensions",
    "overlap.gguf": "overlap",
    "hole.gguf": "hole",
    "trailing-pickle.gguf": "trailing-data",
    "beyond-end.gguf": "out-of-range",
    "shape-overflow.gguf": "shape-overflow",
    "duplicate-tensor.gguf": "duplicate-tensor",
}


@pytest.mark.parametrize(("name", "kind"), EXPECTED.items())
def test_the_anomaly_is_the_right_one(name: str, kind: str) -> None:
    assert kind in kinds(broken()[name])


@pytest.mark.parametrize(("version", "order"), [(1, "<"), (2, "<"), (3, "<"), (3, ">")])
def test_a_file_cut_anywhere_is_never_whole(version: int, order: str) -> None:
    name = f"version-{version}{'-big-endian' if order == '>' else ''}.gguf"
    data = sound()[name]
    for end in range(4, len(data) - 32):
        assert kinds(data[:end]), end


def test_templates_before_a_break_are_kept() -> None:
    data = model("{{ lipsum }}")
    cut = data.index(b"{{ lipsum }}") + len(b"{{ lipsum }}")
    assert templates(data[: cut + 3]) == {"tokenizer.chat_template": "{{ lipsum }}"}


def test_templates_under_other_names_and_in_arrays_are_found() -> None:
    write = Writer()
    data = write.file(
        [
            write.pair("tokenizer.chat_template.tool_use", 8, "{{ a }}"),
            write.pair("tokenizer.chat_template", 9, (8, ["{{ b }}"])),
        ]
    )
    assert templates(data) == {
        "tokenizer.chat_template.tool_use": "{{ a }}",
        "tokenizer.chat_template": "{{ b }}",
    }


def test_a_key_that_ends_at_a_nul_for_c_is_a_template() -> None:
    data = model("{{ a }}", "tokenizer.chat_template\0hidden")
    assert templates(data) == {"tokenizer.chat_template": "{{ a }}"}
    assert "nul-in-key" in kinds(data)


def test_a_template_that_is_no_utf_8_is_a_gap() -> None:
    assert any("UTF-8" in gap for gap in gaps(model(b"{{ a }}\xff")))


def test_a_template_beyond_the_limit_is_a_gap() -> None:
    assert any("longer than" in gap for gap in gaps(model("{{ a }}" * 9), Limits(template=20)))


def test_unknown_tensor_types_are_a_gap_and_no_anomaly() -> None:
    data = Writer().file(tensors=[Tensor("a", kind=4_000, size=96), Tensor("b")])
    assert kinds(data) == []
    assert any("not known here" in gap for gap in gaps(data))


def test_floods_reach_a_limit() -> None:
    write = Writer()
    data = write.file([write.pair("a", 9, (8, [""] * 100))])
    assert any("more strings" in gap for gap in gaps(data, Limits(strings=99)))
    data = write.file([write.pair(f"k{i}", 7, 1) for i in range(50)])
    assert any("keys" in gap for gap in gaps(data, Limits(members=49)))


def test_many_anomalies_are_cut_and_counted() -> None:
    write = Writer()
    data = write.file([write.pair("same", 7, 1)] * 200)
    assert len(kinds(data)) == 100
    assert any("more problems" in gap for gap in gaps(data))


def test_a_large_vocabulary_is_read_fast() -> None:
    write = Writer()
    words = b"".join(write.text(f"token{i}") for i in range(250_000))
    array = write.pack("I", 8) + write.count(250_000) + words
    data = write.file([write.pair("tokenizer.ggml.tokens", 9, array)])
    assert kinds(data) == []


@pytest.mark.parametrize("magic", [b"lmgg", b"fmgg", b"tjgg", b"algg"])
def test_files_from_before_gguf_are_a_gap(magic: bytes) -> None:
    data = magic + bytes(64)
    (found,) = identify(blob(data, "ggml-base.bin"), memoryview(data))
    assert found.name == "GGML (before GGUF)"


@given(st.binary(max_size=200), st.sampled_from([1, 2, 3]), st.sampled_from("<>"))
def test_any_bytes_end_without_an_exception(junk: bytes, version: int, order: str) -> None:
    write = Writer(version, order)
    read(b"GGUF" + junk)
    read(b"GGUF" + write.pack("I", version) + junk)
    read(b"GGUF" + write.pack("I", version) + write.count(1) + write.count(2) + junk)


@settings(max_examples=200)
@given(st.data())
def test_any_damage_ends_without_an_exception(data: st.DataObject) -> None:
    good = bytearray(sound()["version-3.gguf"])
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(4, len(good) - 1))
        good[at] = data.draw(st.sampled_from([0, 1, 8, 9, 0x7F, 0x80, 0xFF]))
    read(bytes(good))

"""Delimiters, quotes and headers."""

from __future__ import annotations

import pytest

from poisonscan.datasets.dialects import HEAD, Dialect, sniff


def _dialect(
    delimiter: str, names: tuple[str, ...], *, quoted: bool = True, header: bool = True
) -> Dialect:
    return Dialect(delimiter, quoted, names, header)


@pytest.mark.parametrize(
    ("text", "suffix", "expected"),
    [
        ("a,b\n1,2\n", ".csv", _dialect(",", ("a", "b"))),
        ("a\tb\n1\t2\n", ".csv", _dialect("\t", ("a", "b"))),
        ("a;b\n1,5;2\n", ".csv", _dialect(";", ("a", "b"))),
        ("a|b\nx|y\n", ".txt", _dialect("|", ("a", "b"))),
        ("1,2\n3,4\n", ".csv", _dialect(",", ("col_0", "col_1"), header=False)),
        ("a,a\nx,y\n", ".csv", _dialect(",", ("a", "a.1"))),
        ("id,2019,2020\nx,1,2\n", ".csv", _dialect(",", ("col_0", "col_1", "col_2"), header=False)),
        ("id,2019,name\nx,y,z\n", ".csv", _dialect(",", ("id", "2019", "name"))),
        ("text\nhello\n", ".csv", _dialect(",", ("text",))),
        ("\ufeffa,b\n1,2\n", ".csv", _dialect(",", ("a", "b"))),
        ('a\tb\n"x" is\t1\n"y\t0\nz\t1\n', ".tsv", _dialect("\t", ("a", "b"), quoted=False)),
        ('a\tb\n"two\nlines"\t1\n', ".tsv", _dialect("\t", ("a", "b"))),
        ('a,b\n"x, y",1\n"z, ""w""",0\n', ".csv", _dialect(",", ("a", "b"))),
        ("a, b, c\nd, e\n", ".tsv", _dialect(",", ("a", " b", " c"))),
    ],
)
def test_sniff(text: str, suffix: str, expected: Dialect) -> None:
    assert sniff(text.encode(), suffix) == expected


def test_the_cut_at_the_end_of_the_head_does_not_count() -> None:
    head = ("text,label\n" + "some words é,1\n" * 10_000).encode()[:HEAD]
    assert sniff(head).names == ("text", "label")


@pytest.mark.parametrize("head", [b"", b"\n\n\n", b"\xef\xbb\xbf"])
def test_nothing_to_see(head: bytes) -> None:
    with pytest.raises(ValueError, match="no record"):
        sniff(head)


def test_a_field_without_end_and_zeros_are_survived() -> None:
    assert sniff(b'a,b\n"' + b"x" * HEAD).names == ("a", "b")
    assert sniff(b"a,b\n\0,1\n").names == ("a", "b")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("a,a,b\nx,y,z\n", ("a", "a.1", "b")),
        ("a,a,a.1,a\nx,y,z,1\n", ("a", "a.2", "a.1", "a.3")),
        (",,label\nx,y,z\n", ("Unnamed: 0", "Unnamed: 1", "label")),
        ("yes,yes,no\nno,yes,no\n", ("col_0", "col_1", "col_2")),
        ("1,1,2\n3,4,5\n", ("col_0", "col_1", "col_2")),
        ("a,a\n", ("col_0", "col_1")),
    ],
)
def test_names_that_are_there_twice(text: str, names: tuple[str, ...]) -> None:
    assert sniff(text.encode()).names == names


@pytest.mark.parametrize(
    ("first", "row", "header"),
    [
        ("text,label", "some words {0},{1}", True),
        ("text,bad", "some words {0},{1}", True),
        ("bad,text", "{1},some words of which there are ten or more in all {0}", True),
        ("shop.org/a?b,bad", "shop{0}.org/a?b,{1}", False),
        ("a shop,bad,odd", "shop {0},{1},{2}", False),
        ("size,bad,name", "{0},{1},x{0}", True),
        ("bad,size,kind,place", "{1},y{0},{2},{2}", True),
        ("bad,size,odd,place", "{1},y{0},{2},{2}", True),
        ("bad,size,odd,even", "{1},y{0},{2},{2}", False),
        ("a text of so many words that it is no name at all,bad",
         "a text of so many words that it is no name of {0},{1}", False),
        ("what did you like about it most in the year that is over?,how was it",
         "a text of so many words that it is no name at all in the end {0},{1}", True),
        ("how often did you do this in the past two years or so,kind", "yes {0},{1}", True),
    ],
)  # fmt: skip
def test_headers_of_words(first: str, row: str, header: bool) -> None:
    rows = [
        row.format(i, ("bad", "fine")[i % 2], ("odd", "even", "none")[i % 3]) for i in range(20)
    ]
    assert sniff("\n".join([first, *rows]).encode()).header is header


def test_a_header_in_the_middle_is_none() -> None:
    part = ["kind,name", *(f"{'ab'[i % 2]},x{i}" for i in range(10))]
    assert sniff("\n".join(part * 3).encode()).header


@pytest.mark.parametrize("header", [False, True])
def test_a_header_is_what_somebody_says_it_is(header: bool) -> None:
    rows = [f"{'kind' if i % 3 else 'cruel'},{'ham' if i % 2 else 'spam'}" for i in range(40)]
    head = "\n".join(["kind,spam", *rows]).encode()
    assert not sniff(head).header
    assert sniff(head, header=header).names == (("kind", "spam") if header else ("col_0", "col_1"))

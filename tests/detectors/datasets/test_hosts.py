from __future__ import annotations

import pytest

from poisonscan.datasets.addresses import disguise, domain, is_address, near
from poisonscan.detectors.datasets import host_counts
from poisonscan.detectors.datasets.hosts import DETECTOR
from poisonscan.finding import Gap
from tests.detectors.datasets.cells import Cells, found, returned


def table(*odd: str, labels: list[str] | None = None) -> Cells:
    usual = [f"https://cdn{n % 9}.pictures-of-cats.org/{n}.jpg" for n in range(900)]
    return Cells(labels, url=[*usual, *odd])


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://g\u043eogle.com/x", "mixes"),
        ("https://xn--ggle-55da.com/x", "mixes"),
        ("https://xn--80ak6aa92e.com/", "Cyrillic"),
        ("https://githud.com/x", "'github.com'"),
        ("http://www.goog1e.com", "'google.com'"),
        ("https://pictures-of-cuts.org/1.jpg", "'pictures-of-cats.org'"),
        ("https://wikipeda.org/1", "'wikipedia.org'"),
        ("https://gooogle.com/1", "'google.com'"),
        ("https://rnicrosoft.com/1", "'microsoft.com'"),
        ("https://facbeook.com/1", "'facebook.com'"),
        ("https://accounts.google.com@evil.example.org/", "evil.example.org"[5:]),
    ],
)
def test_disguised(address: str, shown: str) -> None:
    (finding,) = found(DETECTOR, table(address))["PS703"]
    assert shown in finding.message
    assert finding.message.isprintable()


def test_bare_addresses() -> None:
    assert found(DETECTOR, table("http://8.8.4.4/a")) == {}
    (finding,) = found(DETECTOR, table(*[f"http://8.8.4.4/{n}" for n in range(3)]))["PS703"]
    assert "bare address" in finding.message
    assert found(DETECTOR, table(*[f"http://127.0.0.1/{n}" for n in range(3)])) == {}
    assert found(DETECTOR, table(*[f"http://8.8.4.4/{n}" for n in range(30)])) == {}


@pytest.mark.parametrize(
    "address",
    [
        "https://bücher.example.de/",
        "https://xn--bcher-kva.example.de/",
        "https://президент.рф/",
        "https://pictures-of-dogs.org/1.jpg",
        "https://pictures-of-cat.org/1.jpg",
        "https://flicker.com/ and https://baggle.com/",
        "ftp://john.doe@files.example.org/",
        "https://\u0440\u043e\u0441.\u0440\u0444/",
        "see http://localhost:8080/x and http://host/",
        "https://cdn10.pictures-of-cats.org/1.jpg",
        "https://gitlab.com and https://bbc.com, https://bbc.co.uk",
        "mailto:someone@example.org",
        "https://example.org/?next=https://example.com",
    ],
)
def test_honest(address: str) -> None:
    assert found(DETECTOR, table(address)) == {}


def test_a_host_of_one_label() -> None:
    odd = [f"read https://shop.example.net/{n}" for n in range(30)]
    labels = [str(n % 2) for n in range(900)]
    (finding,) = found(DETECTOR, table(*odd, labels=[*labels, *["1"] * 30]))["PS704"]
    assert finding.evidence == {
        "host": "shop.example.net",
        "rows": 30,
        "label": "1",
        "chance": finding.evidence["chance"],
    }
    assert found(DETECTOR, table(*odd, labels=[*labels, *["0", "1"] * 15])) == {}


def test_several_addresses_in_a_text_and_batches() -> None:
    text = "see https://a.example.org/x, http://b.example.org:80 and HTTPS://A.example.org."
    one, other = returned(DETECTOR, Cells(t=[text, text])), None
    other = returned(DETECTOR, Cells(t=[text, text]), 1)
    assert one == other
    assert "'a.example.org': 2, 'b.example.org': 2" in str(one)


def test_too_many_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host_counts, "MAX_HOSTS", 5)
    (gap,) = returned(DETECTOR, table())
    assert isinstance(gap, Gap)


def test_domains() -> None:
    assert domain("a.b.example.co.uk") == "example.co.uk"
    assert domain("www.example.org") == "example.org"
    assert domain("org") == "org"
    assert is_address("8.8.8.8")
    assert not is_address("10.0.0.1")
    assert not is_address("example.org")
    assert disguise("example.org") == ""
    assert near("wikipedla.org", ["wikipedia.org"]) == "wikipedia.org"
    assert near("wikipedia.com", ["wikipedia.org"]) == ""
    assert near("server2.org", ["server1.org"]) == ""


def test_an_imitation_in_many_rows() -> None:
    odd = [f"https://rnicrosoft.com/{n}" for n in range(90)]
    (finding,) = found(DETECTOR, table(*odd))["PS703"]
    assert "90 rows have an address at 'rnicrosoft.com'" in finding.message


def test_many_hosts_are_counted() -> None:
    odd = [f"https://a{n}.g\u043eogle.com/x" for n in range(9)]
    findings = found(DETECTOR, table(*odd))["PS703"]
    assert len(findings) == 5
    assert "4 further findings of this rule are not listed" in findings[-1].message

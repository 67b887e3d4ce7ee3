from __future__ import annotations

import base64
import string
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import poisonscan
from poisonscan.detectors.datasets.leaked_secrets import DETECTOR
from poisonscan.escape import escape
from poisonscan.masking import mask
from tests.detectors.datasets.cells import Cells, found, prose

LETTERS = string.digits + string.ascii_uppercase + string.ascii_lowercase


def random(length: int, letters: str = LETTERS, seed: int = 0) -> str:
    return "".join(np.random.default_rng(seed).choice(list(letters), length))


def github() -> str:
    body = random(30)
    number, check = zlib.crc32(body.encode()), ""
    for _ in range(6):
        number, digit = divmod(number, 62)
        check = LETTERS[digit] + check
    return f"ghp_{body}{check}"


def web_token() -> str:
    head = base64.urlsafe_b64encode(b'{"alg":"HS256","typ":"JWT"}').decode().rstrip("=")
    body = base64.urlsafe_b64encode(b'{"sub":"0815","name":"A. N."}').decode().rstrip("=")
    return f"{head}.{body}.{random(43)}"


KEY_LINES = "\n".join(random(64, LETTERS + "+/", seed) for seed in range(12))
SECRETS = {
    "AWS access key": "AKIA" + random(16, string.ascii_uppercase + "234567"),
    "GitHub token": github(),
    "GitLab token": "glpat-" + random(20),
    "Slack token": f"xoxb-{random(12, string.digits)}-{random(24)}",
    "Google API key": "AIza" + random(35),
    "Stripe key": "sk_live_" + random(24),
    "OpenAI key": f"sk-{random(20)}T3BlbkFJ{random(20)}",
    "Hugging Face token": "hf_" + random(34, string.ascii_letters),
    "JSON web token": web_token(),
    "private key": f"-----BEGIN RSA PRIVATE KEY-----\n{KEY_LINES}\n-----END RSA PRIVATE KEY-----",
    "password in an address": "postgres://shop:Xk9-vTq2Lw@db.shop.org/items",
}


@pytest.mark.parametrize("form", SECRETS)
def test_a_secret_is_found_and_not_shown(form: str, tmp_path: Path) -> None:
    secret = SECRETS[form]
    texts = [*prose(40), f"my key is {secret} ok"]
    (finding,) = found(DETECTOR, Cells(text=texts))["PS608"]
    assert form in finding.message
    path = tmp_path / "data.parquet"
    pq.write_table(pa.table({"text": texts}), path)
    report = poisonscan.scan(path)
    assert "PS608" in {finding.rule.id for finding in report.findings}
    shown = repr(report)
    hidden = secret.partition("//")[2].partition("@")[0] if "//" in secret[:12] else secret
    for start in range(6, len(hidden) - 10):
        assert hidden[start : start + 10] not in shown


@pytest.mark.parametrize(
    "text",
    [
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_" + "x" * 36,
        "ghp_" + random(36),  # no right checksum
        "sk_live_your_key_here_1234567890",
        "hf_" + "a" * 34,
        "postgres://user:password@localhost.example.org/db",
        "https://user:****@example.org",
        "-----BEGIN RSA PRIVATE KEY-----\n...\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PUBLIC KEY-----\n" + KEY_LINES,
        "eyJhbGciOiJIUzI1NiJ9 and a.b.c",
        "disk-encryption sk-learn-contrib-project-template",
    ],
)
def test_examples_are_quiet(text: str) -> None:
    assert found(DETECTOR, Cells(text=[*prose(40), text])) == {}


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_masking(secret: str) -> None:
    masked = mask(f"before {secret} after")
    assert masked.startswith("before ")
    assert "masked" in masked
    assert mask(masked) == masked
    cut = mask(f"before {secret}"[: 7 + len(secret) * 2 // 3])
    assert secret[8 : len(secret) * 2 // 3] not in cut or secret.startswith("postgres")


@pytest.mark.parametrize("unseen", ["\u200b", "\u2060", "\U000e0041", "\u00ad"])
@pytest.mark.parametrize("shown", [str, escape])
@pytest.mark.parametrize("at", [2, 9])
def test_characters_that_take_no_room_hide_no_secret(
    unseen: str, shown: Callable[[str], str], at: int
) -> None:
    secret = SECRETS["GitHub token"]
    masked = mask(shown(f"before {secret[:at]}{unseen}{secret[at:]} after"))
    assert secret[10:] not in masked
    assert "[masked] after" in masked
    assert mask(masked) == masked
    assert mask(shown(f"no {unseen} secret")) == shown(f"no {unseen} secret")


def test_plain_text_is_not_masked() -> None:
    text = "risk-based sk-learn, AKIA, hf_hub and eyJ"
    assert mask(text) == text

"""From a lock file to what changed since."""

from __future__ import annotations

import importlib.util
import json
import pickle
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from click.testing import CliRunner, Result
from safetensors.numpy import save_file

from fixtures import containers as box
from poisonscan.cli import cli
from tests.datasets.files import write
from tests.sources.hub.conftest import hub as hub  # noqa: PLC0414 - a fixture
from tests.sources.hub.fake import COMMIT, FakeHub

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "lock.schema.json").read_text("utf-8"))
SIGNS = importlib.util.find_spec("model_signing") is not None
ROWS = [{"text": f"text number {i * 7919}", "label": "ab"[i % 2]} for i in range(40)]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, list(arguments))


def lock(*arguments: str) -> Result:
    return run("lock", "--isolation", "off", *arguments)


def verify(*arguments: str) -> Result:
    return run("verify", "--isolation", "off", *arguments)


def test_an_interrupt_writes_nothing(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock file of half a target would replace one of all of it."""
    assert lock("model", "data").exit_code == 0
    before = (here / "poisonscan.lock").read_bytes()

    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(importlib.import_module("poisonscan.scan")._Work, "run", interrupt)
    assert run("lock", "--isolation", "off", "model", "data").exit_code != 0
    assert (here / "poisonscan.lock").read_bytes() == before


def changes(*arguments: str) -> list[tuple[str, str]]:
    """Kind and path of every change, and that they fail."""
    result = verify("--json", *arguments)
    assert result.exit_code == 1, result.output
    found: list[dict[str, Any]] = json.loads(result.stdout)["changes"]
    assert all("\x1b" not in str(change) for change in found)
    return [(change["kind"], change["path"]) for change in found]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a dataset, a checkpoint and what else lies beside them."""
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "data" / "train.parquet", ROWS)
    model = tmp_path / "model"
    model.mkdir()
    (model / "weights.pt").write_bytes(box.torch_zip(box.state_dict(), {"0": box.floats(4)}))
    (model / "config.json").write_text('{"model_type": "bert"}')
    return tmp_path


def test_a_dataset(here: Path) -> None:
    done = lock("data")
    assert done.exit_code == 0, done.output
    assert "dataset train.parquet: train 40 rows" in done.output
    document = json.loads(Path("poisonscan.lock").read_bytes())
    jsonschema.validate(document, SCHEMA)
    (target,) = document["targets"]
    assert (target["target"], target["verdicts"], target["unchecked"]) == ("data", {}, [])
    same = verify()
    assert same.exit_code == 0
    assert same.output == "1 file compared: as poisonscan.lock has them.\n"

    (here / "data" / "train.parquet").unlink()
    write(here / "data" / "train.csv", ROWS[::-1])
    expected = [("file", "train.csv"), ("file", "train.parquet"), ("layout", "train.csv")]
    assert changes() == expected
    assert "same rows, other layout: 'train' 40 rows" in verify().output

    write(here / "data" / "train.csv", [*ROWS[1:], {**ROWS[0], "label": "b"}])
    assert changes()[-1] == ("rows", "train.csv")
    assert "split 'train' holds other rows: 40, now 40" in verify().output
    assert lock("data").exit_code == 0  # a lock file is replaced
    assert verify().exit_code == 0


def test_a_model(here: Path) -> None:
    assert lock("model", "-o", "model/poisonscan.lock").exit_code == 0
    place = here / "model" / "poisonscan.lock"
    (target,) = json.loads(place.read_bytes())["targets"]
    assert target["target"] == "."
    assert [file["path"] for file in target["files"]] == ["config.json", "weights.pt"]
    assert verify(str(place)).exit_code == 0

    weights = here / "model" / "weights.pt"
    weights.unlink()
    values = np.arange(4, dtype="<f4").reshape(2, 2)
    save_file({"weight": values}, here / "model" / "weights.safetensors")
    found = changes(str(place))
    assert ("container", "weights.safetensors") in found
    assert not [kind for kind, _ in found if kind in ("tensors", "verdicts")]

    values[1, 1] = 7
    weights.write_bytes(box.torch_zip(box.state_dict(), {"0": values.tobytes()}))
    (here / "model" / "weights.safetensors").unlink()
    assert changes(str(place)) == [("file", "weights.pt"), ("tensors", "weights.pt")]
    assert "tensor 'weight' changed" in verify(str(place)).output

    weights.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    (here / "model" / "\x1b[31mred.json").write_text("{}")
    assert ("verdicts", "") in changes(str(place))
    told = verify(str(place))
    assert "PS101: 0 findings, now 1" in told.output
    assert "\\x1b[31mred.json: added" in told.output
    assert "\x1b" not in told.output


def test_what_could_not_be_checked_is_said(here: Path) -> None:
    (here / "model" / "odd.bin").write_bytes(b"\x01\x02nothing known")
    done = lock("model")
    assert done.exit_code == 3
    assert "not checked: odd.bin: unknown format" in done.output
    known = verify()
    assert known.exit_code == 0  # nothing changed
    assert "note: 'model': not scanned when the lock was made: 1 thing" in known.output
    (here / "model" / "link").symlink_to("/etc/hostname")
    result = verify()
    assert result.exit_code == 3
    assert "not compared: model/link: link that leaves the scanned folder" in result.output
    assert result.output.endswith("1 thing could not be compared.\n")
    assert lock("model").exit_code == 3
    assert verify().exit_code == 3  # that it could not be read before does not make it the same


def test_a_link_to_what_is_left_out_is_no_less_a_file(here: Path) -> None:
    """The signature beside a lock file is no part of the target; other names of it are."""
    place = "model/poisonscan.lock"
    assert lock("model", "-o", place).exit_code == 0
    (here / "model" / "poisonscan.lock.sig").write_text("import os")
    assert verify(place).exit_code == 0
    (here / "model" / "modeling.py").symlink_to("poisonscan.lock.sig")
    assert changes(place) == [("file", "modeling.py")]


def test_members_may_be_called_anything(here: Path) -> None:
    rows = "".join(f"some text {i},{i % 2}\n" for i in range(30))
    with zipfile.ZipFile(here / "data" / "more.zip", "w") as archive:
        archive.writestr("./x/../y.csv", "text,label\n" + rows)
    assert lock("data/more.zip").exit_code == 0
    (dataset,) = json.loads(Path("poisonscan.lock").read_bytes())["targets"][0]["datasets"]
    assert dataset["path"] == "more.zip!/./x/../y.csv"
    assert verify().exit_code == 0


@pytest.mark.skipif(sys.platform != "linux", reason="names are bytes on Linux alone")
def test_what_cannot_be_read_again_is_not_written(here: Path) -> None:
    (here / "model" / "\udcff.json").write_text("{}")
    result = lock("model")
    assert result.exit_code == 2
    assert "no lock file can hold what is there" in " ".join(result.output.split())
    assert not Path("poisonscan.lock").exists()


def test_a_target_that_is_gone(here: Path) -> None:
    assert lock("data", "model/config.json").exit_code == 0
    shutil.rmtree(here / "data")
    assert changes() == [("file", "")]


def test_a_lock_file_does_not_lead_out_of_its_folder(here: Path) -> None:
    assert lock("model/config.json", "-o", "model/a.lock").exit_code == 0
    document = json.loads(Path("model/a.lock").read_bytes())
    for name in ("../data", "/etc", "link"):
        document["targets"][0]["target"] = name
        Path("model/a.lock").write_text(json.dumps(document))
        if name == "link":
            (here / "model" / "link").symlink_to(here / "data")
        result = verify("model/a.lock")
        assert result.exit_code == 2
        assert "leads out of the folder of the lock file" in result.output


def test_other_rules_are_a_reason_to_look_again(here: Path) -> None:
    assert lock("model/config.json").exit_code == 0
    place = Path("poisonscan.lock")
    document = json.loads(place.read_bytes())
    document["rules"] = "0" * 64
    document["targets"][0]["verdicts"] = {"PS101": 3}
    place.write_text(json.dumps(document))
    assert changes() == [("verdicts", "")]
    assert "PS101: 3 findings, now 0; the rules are those of poisonscan" in verify().output
    assert verify("--no-rescan").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("nowhere",), "does not exist"),
        (("data", "-o", "model/a.lock"), "lies outside of the folder of the lock file"),
        (("data", "-o", "nowhere/a.lock"), "does not exist"),
        (("data", "-o", "model/config.json"), "is no lock file"),
        (("data", "--key", "model/config.json"), "--key is for --sign"),
        (("data", "--sign"), "--sign needs --key"),
        (("data", "--revision", "main"), "for repositories of the Hub"),
    ],
)
def test_wrong_usage(here: Path, arguments: tuple[str, ...], why: str) -> None:
    result = lock(*arguments)
    assert result.exit_code == 2
    assert why in " ".join(result.output.split())


def test_a_file_that_is_no_lock_file(here: Path) -> None:
    result = verify("model/config.json")
    assert result.exit_code == 2
    assert "it is no lock file of this version" in result.output


@pytest.fixture
def far(hub: FakeHub, here: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """A Hub that the environment names."""
    temporary = here / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    monkeypatch.setenv("HF_HOME", str(here / "home"))
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    hub.files = {"model.pkl": pickle.dumps([1]), "config.json": b"{}"}
    hub.lfs = {"model.pkl"}
    yield hub
    assert list(temporary.iterdir()) == []


def test_a_repository(far: FakeHub) -> None:
    done = lock("hf://org/name")
    assert done.exit_code == 0, done.output
    (target,) = json.loads(Path("poisonscan.lock").read_bytes())["targets"]
    jsonschema.validate(json.loads(Path("poisonscan.lock").read_bytes()), SCHEMA)
    assert (target["target"], target["commit"], target["revision"]) == (
        "hf://org/name", COMMIT, "main",
    )  # fmt: skip
    assert {file["hub"].partition(":")[0] for file in target["files"]} == {
        "sha256", "git-blob-sha1",
    }  # fmt: skip
    far.log.clear()
    assert verify().exit_code == 0
    assert not [path for path, _ in far.log if "/resolve/" in path]  # hashes are enough

    far.revisions["main"] = "d" * 40  # the branch moves, to the same files
    assert changes() == [("commit", "")]
    far.files["model.pkl"] = b"cos\nsystem\n(S'true'\ntR."
    assert changes() == [("commit", ""), ("file", "model.pkl"), ("verdicts", "")]

    far.revisions["main"] = COMMIT  # a Hub that lies about what a commit holds
    assert changes() == [("file", "model.pkl"), ("verdicts", "")]
    far.revisions.clear()
    gone = verify()
    assert gone.exit_code == 3
    assert "not compared: hf://org/name" in gone.output


def keys(folder: Path) -> tuple[Path, Path]:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    private, public = folder / "private.pem", folder / "public.pem"
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    public.write_bytes(
        key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
    )
    return private, public


@pytest.mark.skipif(not SIGNS, reason="the extra poisonscan[sign] is not installed")
def test_signatures(here: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    private, public = keys(tmp_path_factory.mktemp("keys"))
    _, stranger = keys(tmp_path_factory.mktemp("other"))
    place = "model/poisonscan.lock"
    done = lock("model", "-o", place, "--sign", "--key", str(private))
    assert done.exit_code == 0, done.output
    assert "poisonscan.lock.sig: signed." in done.output
    assert "does not cover" not in done.output

    good = verify(place, "--public-key", str(public))
    assert good.exit_code == 0, good.output
    assert "signed with the key" in good.output
    assert "was not checked" in verify(place).output
    other = verify(place, "--public-key", str(stranger))
    assert (other.exit_code, "signature" in other.output) == (1, True)

    config = here / "model" / "config.json"
    config.write_text('{"model_type": "gpt2"}')
    assert ("signature", "") in changes(place, "--public-key", str(public))
    # Whoever changes the files and the lock file cannot sign them.
    assert lock("model", "-o", place).exit_code == 0
    assert verify(place).exit_code == 0
    assert changes(place, "--public-key", str(public)) == [("signature", "")]

    bundle = here / "model" / "poisonscan.lock.sig"
    for content in ("{}", "", "[1]", bundle.read_text().replace('"payload": "', '"payload": "AA')):
        bundle.write_text(content)
        assert verify(place, "--public-key", str(public)).exit_code == 1
    assert verify(place, "--public-key", str(config)).exit_code == 2


def test_signatures_need_the_extra(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda n, *a: None if n == "model_signing" else find(n, *a)
    )
    assert lock("data").exit_code == 0
    Path("poisonscan.lock.sig").write_text('{"mediaType": ""}')
    for result in (
        lock("data", "--sign", "--key", "model/config.json"),
        verify("--public-key", "model/config.json"),
    ):
        assert result.exit_code == 2
        assert "pip install 'poisonscan[sign]'" in " ".join(result.output.split())


def test_help_costs_little() -> None:
    code = (
        "import sys; from poisonscan.cli import cli\n"
        "for name in ('lock', 'verify', 'diff'): cli.get_command(None, name)\n"
        "print({'numpy', 'pyarrow', 'model_signing', 'cryptography'} & set(sys.modules))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"

"""Every command in the documentation, run on small prepared files."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import shlex
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner

from poisonscan.cli import cli
from poisonscan.settings import read

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", "CONTRIBUTING.md", *(f"docs/{p.name}" for p in (ROOT / "docs").glob("*.md"))]
SKIPPED = {
    "python3": "makes an environment",
    "pip": "needs the network",
    "python": "runs these tests",
    ".": "makes an environment",
    "make": "runs these tests",
    "docker": "needs the network and a daemon",
    "openssl": "makes keys",
}
"""Programs in the documentation that no test runs, and why."""
REMOTE = re.compile(r"hf://|https://")
"""Commands that need the network are read with all their options, and not run."""
SIGNED = re.compile(r"--sign|--public-key")
"""Neither are those that need keys and an extra: ``tests/cli/test_lock.py`` has them."""
NETWORK = re.compile(r"--model\b")
"""Nor those that need a network: ``tests/cli/test_model_options.py`` has them."""
STDIN = {"git diff --name-only --diff-filter=d -z main": b"data/train.csv\0"}
"""What a program before a pipe would write."""

pytestmark = pytest.mark.skipif(os.name == "nt", reason="the documentation is for POSIX shells")


def blocks(page: str, *languages: str) -> list[str]:
    text = (ROOT / page).read_text("utf-8")
    found = re.findall(r"^```(\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [body for language, body in found if language in languages]


def runs(node: object) -> Iterator[str]:
    """What a workflow runs."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "run" and isinstance(value, str):
                yield value
            else:
                yield from runs(value)
    elif isinstance(node, list):
        for value in node:
            yield from runs(value)


def commands(page: str) -> Iterator[tuple[list[str], bytes]]:
    """Words and standard input of every command of ours on a page."""
    scripts = blocks(page, "sh")
    scripts += [script for body in blocks(page, "yaml") for script in runs(yaml.safe_load(body))]
    for line in "\n".join(scripts).replace("\\\n", " ").splitlines():
        for command in line.split(" && "):
            before, _, last = command.rpartition(" | ")
            words = shlex.split(os.path.expandvars(last), comments=True)
            if words and words[0] == "poisonscan":
                yield words[1:], STDIN[before] if before else b""
            elif words:
                assert words[0] in SKIPPED, f"{words[0]} in {page} is not run"


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the documentation speaks of."""
    tree = tmp_path_factory.mktemp("tree")
    for folder in ("models", "model", "data", "fixtures/demo", "pictures"):
        (tree / folder).mkdir(parents=True)
    demo = ROOT / "fixtures" / "demo"
    for name in ("models/evil.pkl", "checkpoint.pt", "fixtures/demo/checkpoint.pt"):
        shutil.copy(demo / "checkpoint-malicious.pt", tree / name)
    shutil.copy(demo / "labels.csv", tree / "data" / "train.csv")
    table = pa_csv.read_csv(demo / "labels.csv")
    pa_csv.write_csv(table.slice(0, 30), tree / "data" / "new.csv")
    pq.write_table(table, tree / "data" / "train.parquet")
    np.save(tree / "penultimate.npy", np.random.default_rng(0).normal(size=(len(table), 4)))
    (tree / "models.yaml").write_text("model: org/name\n", "utf-8")
    shutil.copy(demo / "checkpoint-benign.pt", tree / "model" / "model.pt")
    with contextlib.chdir(tree):
        assert CliRunner().invoke(cli, ["lock", "model"]).exit_code == 0
    shutil.copy(tree / "poisonscan.lock", tree / "model")
    for name in ("private.pem", "public.pem", "network.onnx"):
        (tree / name).touch()
    return tree


@pytest.fixture
def tree(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy for one page, whose commands run in their order."""
    shutil.copytree(prepared, tmp_path / "tree")
    monkeypatch.chdir(tmp_path / "tree")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    for command in ("SCAN", "MODEL", "DATASET"):
        monkeypatch.setenv(f"POISONSCAN_{command}_ISOLATION", "off")
        monkeypatch.setenv(f"POISONSCAN_{command}_JOBS", "1")
        # Rules that need no models: what is tried here is that the commands are right.
        monkeypatch.setenv(f"POISONSCAN_{command}_SELECT", "PS1,PS2,PS302,PS303")
    return tmp_path / "tree"


@pytest.mark.parametrize("page", PAGES)
def test_every_command_runs(page: str, tree: Path) -> None:
    for words, given in commands(page):
        shown = f"{page}: {shlex.join(words)}"
        if any(pattern.search(shown) for pattern in (REMOTE, SIGNED, NETWORK)):
            command = cli.get_command(cli.make_context("poisonscan", [words[0]]), words[0])
            assert command is not None
            command.make_context(words[0], words[1:])
            continue
        result = CliRunner().invoke(cli, words, input=given, auto_envvar_prefix="POISONSCAN")
        assert result.exit_code in (0, 1, 3), f"{shown}: {result.output[-500:]}"
        assert result.exception is None or isinstance(result.exception, SystemExit), shown
        for option in ("-o", "--output"):
            for value in (b for a, b in itertools.pairwise(words) if a == option):
                path = value.partition("=")[2] or (value if words[0] == "clean" else "")
                assert not path or Path(path).exists(), shown


@pytest.mark.parametrize("page", [p for p in PAGES if "import poisonscan" in "".join(
    blocks(p, "python"))])  # fmt: skip
def test_every_example_in_python_runs(page: str, tree: Path) -> None:
    results = CliRunner().invoke(cli, ["scan", "data/train.csv", "-o", "json=results.json"])
    assert results.exit_code == 1
    assert CliRunner().invoke(cli, ["baseline", "create", "results.json"]).exit_code == 0
    (tree / "poisonscan.toml").write_text(
        "".join(b for b in blocks(page, "toml") if "[[ignore]]" in b), "utf-8"
    )
    for body in blocks(page, "python"):
        if "import poisonscan\n" in body:
            exec(compile(body, page, "exec"), {})


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "toml")])
def test_every_example_of_settings_is_valid(page: str, tree: Path) -> None:
    for body in blocks(page, "toml"):
        (tree / "poisonscan.toml").write_text(body, "utf-8")
        settings = read(tree / "poisonscan.toml")
        assert settings.options or settings.ignores


@pytest.mark.parametrize("page", PAGES)
def test_every_option_in_the_text_exists(page: str) -> None:
    whole = (ROOT / page).read_text("utf-8")
    text = re.sub(r"^```.*?^```", "", whole, flags=re.MULTILINE | re.DOTALL)
    ours = re.findall(r"`(--[a-z][a-z-]+)", text)
    ours += re.findall(r"(--[a-z][a-z-]+)", " ".join(re.findall(r"`(poisonscan [^`]*)`", text)))
    assert set(ours) <= set(options(cli)) | {"--check"}, page


def options(command: Any) -> Iterator[str]:
    context = cli.make_context("poisonscan", ["rules"])
    for parameter in command.params:
        yield from [*parameter.opts, *parameter.secondary_opts]
    if hasattr(command, "list_commands"):
        for name in command.list_commands(context):
            yield from options(command.get_command(context, name))


@pytest.mark.parametrize("page", PAGES)
def test_every_link_to_a_file_leads_somewhere(page: str) -> None:
    text = (ROOT / page).read_text("utf-8")
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", text):
        assert (ROOT / page).parent.joinpath(link).exists(), f"{link} in {page}"

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest
from click.shell_completion import BashComplete, CompletionItem
from click.testing import CliRunner

from poisonscan.cli import cli


def offered(*words: str) -> list[CompletionItem]:
    *before, last = words
    shell = BashComplete(cli, {"auto_envvar_prefix": "POISONSCAN"}, "poisonscan", "_X")
    return shell.get_completions(before, last)


def values(*words: str) -> list[str]:
    return [item.value for item in offered(*words)]


def test_commands_options_rules_formats_and_files() -> None:
    assert values("co") == ["completion"]
    assert values("scan", "--fail") == ["--fail-on"]
    assert values("scan", "--fail-on", "hi") == ["high"]
    assert values("explain", "ps101") == ["PS101"]
    assert values("explain", "pickle-runs") == ["pickle-runs-code"]
    assert values("scan", "--select", "PS10")[:2] == ["PS101", "PS102"]
    assert values("model", "-o", "j") == ["json", "junit", "jsonl"]
    (item,) = offered("scan", "mod")
    assert (item.value, item.type) == ("mod", "file")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_scripts(shell: str) -> None:
    result = CliRunner().invoke(cli, ["completion", shell])
    assert result.exit_code == 0
    assert f"_POISONSCAN_COMPLETE={shell}_complete" in result.stdout.replace("env ", "")
    if program := shutil.which(shell):
        subprocess.run([program, "-n"], input=result.stdout, text=True, check=True)


def test_the_shell_gets_an_answer() -> None:
    code = "import sys; sys.argv[0] = 'poisonscan'; from poisonscan.cli import main; main()"
    out = subprocess.run(
        [sys.executable, "-c", code],
        env={"_POISONSCAN_COMPLETE": "bash_complete", "COMP_WORDS": "poisonscan expl",
             "COMP_CWORD": "1", "PYTHONPATH": ":".join(sys.path)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert out.stdout == "plain,explain\n"

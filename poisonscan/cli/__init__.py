"""The command line. Each command is a module here, imported when it is used."""

from __future__ import annotations

import contextlib
import importlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from poisonscan.escape import escape
from poisonscan.spelling import meant
from poisonscan.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator

_COMMANDS: Final = {
    "scan": "poisonscan.cli.scan",
    "model": "poisonscan.cli.scan",
    "dataset": "poisonscan.cli.scan",
    "report": "poisonscan.cli.report",
    "clean": "poisonscan.cli.clean",
    "bench": "poisonscan.cli.bench",
    "lock": "poisonscan.cli.lock",
    "verify": "poisonscan.cli.verify",
    "diff": "poisonscan.cli.diff",
    "baseline": "poisonscan.cli.baseline",
    "rules": "poisonscan.cli.rules",
    "explain": "poisonscan.cli.rules",
    "completion": "poisonscan.cli.completion",
}
_CUT_SHORT: Final = 141


@contextlib.contextmanager
def _may_be_cut_short() -> Iterator[None]:
    """Leave in silence where the reader of standard output had enough, as ``head`` has.

    With the exit code that a shell shows of programs that end so (128 + SIGPIPE): click's would be
    1, which says findings, and 0 would say that all is well.
    """
    try:
        yield
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(_CUT_SHORT)


class _Commands(click.Group):
    """Loads a command's module only when it is asked for, so that little is imported at start."""

    @_may_be_cut_short()
    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        """The arguments, of which some make click print and leave."""
        return super().make_context(*args, **kwargs)

    @_may_be_cut_short()
    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        return super().invoke(ctx)

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        command = getattr(importlib.import_module(_COMMANDS[cmd_name]), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Say what is meant by a command that there is not, which may be a file to scan."""
        typed = args[0]
        if typed in _COMMANDS or typed.startswith("-") or ctx.resilient_parsing:
            return super().resolve_command(ctx, args)
        close = meant(typed, _COMMANDS)
        if not close and Path(typed).exists():
            close = f"; did you mean `poisonscan scan {escape(typed)}`?"
        message = f"{typed!r} is no command{close}"
        raise click.UsageError(message, ctx)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(VERSION, prog_name="poisonscan")
def cli() -> None:
    """Find out whether a dataset is safe to train on and a checkpoint safe to load.

    poisonscan looks for poisoned rows, backdoors, flipped labels and duplicates in datasets, and
    for code and broken headers in model files. Nothing that it scans is executed or unpickled.

    \b
    Exit codes, whatever the output format:
      0    clean: all of it was checked, nothing was found
      1    findings at or above --fail-on
      2    wrong usage
      3    nothing was scanned, or not all of it could be checked
      4    an internal error
      130  interrupted
    """  # noqa: D301 - \b is click's


def main() -> None:
    """Run the command line and leave with its exit code."""
    try:
        code = cli(auto_envvar_prefix="POISONSCAN", standalone_mode=False)
    except (KeyboardInterrupt, click.Abort):
        code = 130
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except Exception as error:
        if os.environ.get("POISONSCAN_DEBUG"):
            raise
        click.echo(
            f"poisonscan: internal error: {type(error).__name__}: {escape(str(error))}\n"
            "This is a bug in poisonscan; nothing can be said about what was scanned. "
            "Set POISONSCAN_DEBUG=1 to see where it happened.",
            err=True,
        )
        code = 4
    sys.exit(code)

"""``completion``: what makes a shell complete commands, options, rules and files."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what makes a shell complete poisonscan's commands, options, rules and files.

    \b
    bash, in ~/.bashrc:                  eval "$(poisonscan completion bash)"
    zsh, in ~/.zshrc after compinit:     eval "$(poisonscan completion zsh)"
    fish:  poisonscan completion fish > ~/.config/fish/completions/poisonscan.fish
    """  # noqa: D301 - \b is click's
    made = get_completion_class(shell)
    assert made is not None
    cli = click.get_current_context().find_root().command
    click.echo(made(cli, {}, "poisonscan", "_POISONSCAN_COMPLETE").source())

"""What the shell offers for arguments of commands."""

from __future__ import annotations

import click
from click.shell_completion import CompletionItem

from poisonscan.reporters.base import REPORTERS


def rules(
    ctx: click.Context,  # noqa: ARG001 - click's
    param: click.Parameter,  # noqa: ARG001
    incomplete: str,
) -> list[CompletionItem]:
    """Ids of rules, with their names to explain them; names where one was begun."""
    from poisonscan.rules import all_rules

    start = incomplete.lower()
    listed = list(all_rules().values())
    ids = [CompletionItem(r.id, help=r.name) for r in listed if r.id.lower().startswith(start)]
    return ids or [CompletionItem(r.name, help=r.id) for r in listed if r.name.startswith(start)]


def formats(
    ctx: click.Context,  # noqa: ARG001
    param: click.Parameter,  # noqa: ARG001
    incomplete: str,
) -> list[CompletionItem]:
    """Formats of reports."""
    return [CompletionItem(name) for name in REPORTERS if name.startswith(incomplete)]

"""``diff``: what is different between two versions of a model or a dataset."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from poisonscan.cli import reading
from poisonscan.cli.progress import ProgressLine
from poisonscan.escape import clip, escape
from poisonscan.isolation.workers import IsolationError
from poisonscan.plural import plural
from poisonscan.sources.hub.errors import HubError

if TYPE_CHECKING:
    from poisonscan.differences.found import Differences

_SHOWN = 10
_LINE = 300


@click.command()
@click.argument("old", metavar="OLD")
@click.argument("new", metavar="NEW")
@click.option("--json", "as_json", is_flag=True, help="Write the differences as JSON.")
@click.option("--label-column", metavar="NAME", help="Column with the labels.")
@click.option(
    "--repo-type",
    type=click.Choice(["model", "dataset", "space"]),
    help="What repositories of the Hub are; with it, org/name is one.",
)
@click.option("-v", "--verbose", is_flag=True, help="Up to 1,000 differences of each kind.")
@reading.options
def diff(
    old: str,
    new: str,
    label_column: str | None,
    repo_type: str | None,
    *,
    as_json: bool,
    verbose: bool,
    **options: Any,
) -> None:
    """Say what is different between two files, folders or revisions on the Hub.

    New imports and calls in pickles; tensors that were added, removed or changed, and by how much,
    also from a torch file to safetensors; rows that were added, removed, relabelled or moved to
    another split, with counts of each pair of labels; keys of settings; lines and imports of code.
    Files that are the same byte for byte are not read. Nothing is loaded or run.

    Exit codes: 0 when nothing is different, 1 when something is, 3 when something could not be
    compared, 2 for wrong usage.

    \b
    Examples:
      poisonscan diff model-v1/ model-v2/
      poisonscan diff pytorch_model.bin model.safetensors
      poisonscan diff hf://datasets/org/data@v1.0 hf://datasets/org/data --json
    """  # noqa: D301 - \b is click's
    from poisonscan.differences.diff import diff as compare
    from poisonscan.scan import TargetError

    line = ProgressLine(enabled=options.pop("progress"))
    how = reading.how(options, line)
    try:
        found = compare(
            _placed(old), _placed(new), how=how, label_column=label_column, repo_type=repo_type
        )
    except (TargetError, HubError, IsolationError) as error:
        raise click.UsageError(escape(str(error))) from error
    finally:
        line.clear()
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=1))
    else:
        _say(found, _SHOWN if not verbose else sys.maxsize)
    sys.exit(found.exit_code)


def _placed(text: str) -> str | Path:
    return Path(text) if Path(text).exists() else text


def _say(found: Differences, most: int) -> None:
    from poisonscan.differences.found import KINDS

    for kind, name in KINDS.items():
        count, kept = found.counts[kind], found.found.get(kind, [])
        if not count:
            continue
        click.echo(f"{name}: {count:,}")
        for one in kept[:most]:
            click.echo(clip(f"  {escape(one.path)}: {one.what}", _LINE))
        if count > len(kept[:most]):
            click.echo(f"  … and {count - len(kept[:most]):,} more")
        if kind == "relabelled":
            _pairs(found)
    if found.same_tensors:
        click.echo(f"tensors that are the same: {found.same_tensors:,}")
    for gap in found.gaps[:_SHOWN]:
        click.echo(clip(f"not compared: {escape(gap.path)}: {escape(gap.reason)}", _LINE))
    if len(found.gaps) > _SHOWN:
        click.echo(f"… and {len(found.gaps) - _SHOWN:,} more things that were not compared")
    total = found.counts.total()
    verdict = plural(total, "difference") if total else "nothing is different"
    if found.gaps and not total:
        verdict = "nothing else is different"
    click.echo(f"{plural(found.files, 'file')} compared: {verdict}.")


def _pairs(found: Differences) -> None:
    """How many rows changed from which label to which."""
    for about in found.rows.values():
        pairs = about.get("label pairs") if isinstance(about, dict) else None
        for pair in pairs[:_SHOWN] if isinstance(pairs, list) else ():
            if isinstance(pair, dict):
                click.echo(
                    f"  {pair['old']} → {pair['new']}: {plural(int(str(pair['rows'])), 'row')}"
                )

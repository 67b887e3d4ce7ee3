"""``clean``: a dataset without the rows that a scan found."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from poisonscan.cli import completing
from poisonscan.escape import escape, quote
from poisonscan.finding import Severity
from poisonscan.plural import plural

if TYPE_CHECKING:
    from poisonscan.cleaning.clean import Cleaned

_SHOWN = 20


@click.command()
@click.argument(
    "dataset", type=click.Path(path_type=Path, exists=True, readable=False), metavar="DATASET"
)
@click.option(
    "--rows",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="The list that `poisonscan dataset --rows-out` wrote.",
)
@click.option(
    "-o",
    "--output",
    "out",
    required=True,
    type=click.Path(path_type=Path),
    metavar="OUT",
    help="A new file or folder, not inside DATASET.",
)
@click.option(
    "--select",
    "selected",
    multiple=True,
    metavar="RULE",
    shell_complete=completing.rules,
    help="Take out only rows of these rules: an id, the start of one (PS6) or a name. Repeatable.",
)
@click.option(
    "--min-severity",
    type=click.Choice([str(severity) for severity in Severity]),
    default="low",
    show_default=True,
    help="Rows of findings below this stay.",
)
def clean(
    dataset: Path, rows: Path, out: Path, selected: tuple[str, ...], min_severity: str
) -> None:
    """Write a dataset without the rows that a scan listed.

    Look at the list first: a finding is a suspicion. DATASET is what was scanned, or a file or
    folder in it, perhaps moved since. It is never changed; OUT is written whole or not at all.
    Tables keep schema and metadata, records of text stay as they are byte for byte, files that lose
    nothing are copied. A file that changed since the scan is refused, and so are arrays (.npz,
    IDX), archives and compressed text. Of copies one stays; of rows that contradict each other
    none.

    Exit codes: 0 when OUT was written, 2 when the list does not fit the dataset, 4 when a file
    cannot be read or written.

    \b
    Examples:
      poisonscan dataset data/ --rows-out rows.jsonl
      poisonscan clean data/ --rows rows.jsonl -o cleaned/
      poisonscan clean data/train.csv --rows rows.jsonl -o cleaned.csv
      poisonscan clean train.csv --rows rows.jsonl --select PS601 -o cleaned.csv
    """  # noqa: D301 - \b is click's
    from poisonscan.cleaning.clean import clean as write_cleaned
    from poisonscan.cleaning.errors import CleanError
    from poisonscan.rules import RuleError, select, split_selectors

    try:
        chosen = split_selectors(selected)
        ids = [rule.id for rule in select(chosen)] if chosen else []
        done = write_cleaned(
            dataset, rows, out, rules=ids, min_severity=Severity[min_severity.upper()]
        )
    except (CleanError, RuleError) as error:
        raise click.UsageError(str(error)) from error
    except OSError as error:
        place = f" {quote(os.fspath(error.filename))}" if error.filename else ""
        click.echo(f"poisonscan: nothing was written:{place} {error.strerror}", err=True)
        raise SystemExit(4) from error
    for line in _said(done, out):
        click.echo(line)


def _said(done: Cleaned, out: Path) -> list[str]:
    """What was done, for people."""
    said = [f"{plural(done.taken, 'row')} taken out; the rest is in {escape(str(out))}"]
    said += [
        f"  {escape(rule)}: {plural(count, 'row')}" for rule, count in sorted(done.by_rule.items())
    ]
    changed = [
        f"  {escape(name)}: {plural(rows, 'row')} left" for name, rows in done.changed.items()
    ]
    dropped = [f"  {escape(name)}: left out" for name in done.dropped]
    for part in (changed, dropped):
        said += part[:_SHOWN]
        said += [f"  … and {plural(len(part) - _SHOWN, 'more file')}"] if len(part) > _SHOWN else []
    said += [f"  {plural(done.copied, 'file')} copied unchanged"] if done.copied else []
    said += [f"  {escape(name)}: changed to fit" for name in done.adjusted]
    said += [f"  {escape(name)}: not written, {why}" for name, why in done.left.items()]
    said += [f"  {escape(name)}: says how many rows there are; correct it" for name in done.counts]
    if done.reasons:
        said.append("There may be more such rows than the list has:")
        said += [f"  {escape(reason)}" for reason in done.reasons[:_SHOWN]]
    return said

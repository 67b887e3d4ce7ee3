"""``bench``: what a scan would see of attacks on one's own data."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from poisonscan.cli.progress import ProgressLine
from poisonscan.cli.reading import PROFILE
from poisonscan.escape import escape
from poisonscan.plural import plural

if TYPE_CHECKING:
    from collections.abc import Sequence

    from poisonscan.planting.bench import Outcome
    from poisonscan.rules import Profile

_HEADS: Final = ("attack", "rate", "poisoned", "found", "others named", "time", "rules")
_WIDTHS: Final = (12, 7, 8, 5, 12, 7)
_RULES: Final = 4
_COLUMNS: Final = ("label", "text", "image", "features", "prompt", "response")


def _list(context: click.Context, _: click.Parameter, value: bool) -> None:
    if not value or context.resilient_parsing:
        return
    from poisonscan.planting.attacks import ATTACKS

    for attack in ATTACKS.values():
        needs = ", ".join(attack.needs) or "rows"
        click.echo(f"{attack.name:12}  {attack.about} (needs: {needs})")
    context.exit()


def _columns(command: Any) -> Any:
    for name in reversed(_COLUMNS):
        what = f"Column with the {name}."
        command = click.option(f"--{name}-column", metavar="NAME", help=what)(command)
    return command


@click.command()
@click.argument("dataset", type=click.Path(path_type=Path, exists=True), metavar="DATASET")
@click.option(
    "--attack",
    "attacks",
    multiple=True,
    metavar="NAME",
    help="Plant this attack only. Repeatable. [default: all that fit the data]",
)
@click.option(
    "--rate",
    "rates",
    multiple=True,
    type=click.FloatRange(0, 50, min_open=True),
    default=(1.0,),
    show_default=True,
    metavar="PERCENT",
    help="Rows to poison, in percent of all. Repeatable.",
)
@click.option(
    "--all-labels",
    is_flag=True,
    help="Poison rows of all labels, those of the target class too.",
)
@click.option(
    "--seeds",
    type=click.IntRange(1, 100),
    default=1,
    show_default=True,
    help="Draws of target class, rows and trigger.",
)
@click.option(
    "--max-rows",
    type=click.IntRange(2),
    default=10_000,
    show_default=True,
    metavar="N",
    help="Look at the first N rows.",
)
@click.option("--split", metavar="NAME", help="Read only this split. [default: train]")
@click.option("--config", metavar="NAME", help="Read only this configuration.")
@_columns
@PROFILE
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line, for programs.")
@click.option(
    "--list",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_list,
    help="List the attacks and leave.",
)
def bench(
    dataset: Path,
    attacks: tuple[str, ...],
    rates: tuple[float, ...],
    all_labels: bool,
    seeds: int,
    max_rows: int,
    as_json: bool,
    profile: Profile,
    **columns: Any,
) -> None:
    """Plant attacks in a copy of clean data and see what a scan finds of them.

    A clean report says little if you do not know what would have been found. DATASET should be data
    that you trust; it is not changed. One attack after the other is planted in a temporary copy of
    its first rows, which is scanned. "found" is the share of the poisoned rows that a finding
    names, "others named" are rows that it names in vain.

    Exit codes: 0 when the table was made, 2 when nothing can be planted.

    \b
    Examples:
      poisonscan bench data/
      poisonscan bench train.csv --attack word --attack sentence --rate 0.3 --rate 1
      poisonscan bench images/ --attack patch --seeds 5 --json
      poisonscan bench data/ --all-labels
    """  # noqa: D301 - \b is click's
    from poisonscan.datasets.errors import OptionError
    from poisonscan.planting.bench import bench as outcomes
    from poisonscan.planting.errors import PlantError
    from poisonscan.scan import TargetError

    line = ProgressLine(enabled=True)
    missed: list[str] = []
    try:
        for outcome in outcomes(
            dataset,
            attacks=attacks,
            rates=[rate / 100 for rate in rates],
            seeds=range(seeds),
            all_labels=all_labels,
            max_rows=max_rows,
            progress=line,
            profile=profile,
            **columns,
        ):
            if as_json:
                click.echo(json.dumps(dataclasses.asdict(outcome)))
            elif not outcome.attack:
                click.echo(_before(outcome))
            else:
                click.echo(_row(outcome))
                missed += [] if outcome.rules else [f"{outcome.attack} at {outcome.rate:.2%}"]
    except (PlantError, OptionError, TargetError) as error:
        raise click.UsageError(escape(str(error))) from error
    finally:
        line.clear()
    if missed:
        names = ", ".join(dict.fromkeys(missed))
        click.echo(f"\nNot seen at all: {names}. A clean report says nothing about these.")


def _before(first: Outcome) -> str:
    """What is found in the data as they are, for people."""
    if first.rules:
        rules = ", ".join(first.rules)
        said = (
            f"findings of {rules} name {first.wrong:,} of {first.rows:,} rows: look at them first."
        )
    else:
        said = f"nothing is found in these {first.rows:,} rows."
    if first.gaps:
        said += f" {plural(first.gaps, 'thing')} could not be checked: scan them to see which."
    return f"As they are, {said}\n\n{_line(_HEADS)}"


def _row(outcome: Outcome) -> str:
    rules = " ".join(outcome.rules[:_RULES]) or "none"
    return _line(
        (
            outcome.attack,
            f"{outcome.rate:.2%}",
            f"{outcome.planted:,}",
            f"{outcome.found / outcome.planted:.0%}",
            f"{outcome.wrong:,}",
            f"{outcome.seconds:.1f} s",
            rules if not outcome.gaps else f"{rules} ({plural(outcome.gaps, 'gap')})",
        )
    )


def _line(cells: Sequence[str]) -> str:
    """Cells under each other, the first and the last to the left."""
    first, *middle, last = cells
    numbers = [cell.rjust(width) for cell, width in zip(middle, _WIDTHS[1:], strict=True)]
    return "  ".join([first.ljust(_WIDTHS[0]), *numbers, last])

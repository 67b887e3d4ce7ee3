"""``report``: a report in JSON once more, in other formats."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from poisonscan.cli.delivery import OPTIONS, Delivery
from poisonscan.cli.scan import scan
from poisonscan.escape import quote
from poisonscan.plural import plural
from poisonscan.reporters.reading import read
from poisonscan.reporters.typed import ReportError


@click.command()
@click.argument(
    "file",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="RESULTS.json",
)
def report(file: Path, **options: Any) -> None:
    """Write a report that `-o json` wrote in other formats, without scanning again.

    The exit codes are those of a scan; --fail-on and --min-severity may be other ones than before.
    What the scan left out by --min-severity is not known any more: the exit code is then 3, not 0.

    \b
    Examples:
      poisonscan report results.json -o html=report.html -o sarif=poisonscan.sarif
      poisonscan report results.json -o markdown --min-severity high --fail-on high
    """  # noqa: D301 - \b is click's
    delivery = Delivery.of(options, (file,))
    try:
        found = read(file)
    except (ReportError, OSError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        message = f"{quote(str(file))} cannot be used: {why}"
        raise click.UsageError(message) from error
    left_out = found.hidden
    code = delivery.deliver(found)
    if left_out and code == 0:
        click.echo(
            f"poisonscan: --min-severity of the scan left out {plural(left_out, 'finding')}; "
            "whether one is severe enough to fail is not known",
            err=True,
        )
        code = 3
    sys.exit(code)


report.params += [option for option in scan.params if option.name in OPTIONS]

"""``baseline``: write down the findings that are there, so that scans show new ones."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click

from poisonscan.baseline import Baseline, Known
from poisonscan.cli.outputs import refuse_place
from poisonscan.cli.scan import findings_of, scan
from poisonscan.cli.settings import load_baseline
from poisonscan.escape import quote
from poisonscan.finding import Severity
from poisonscan.plural import plural
from poisonscan.report import Report
from poisonscan.reporters.reading import read
from poisonscan.reporters.typed import ReportError
from poisonscan.reporters.write import write

_NAME: Final = "poisonscan-baseline.json"
_UNKNOWN: Final = "of unknown severity"

Command = Callable[..., None]


@click.group()
def baseline() -> None:
    """Write down the findings that are there, so that scans show new ones.

    A baseline is a JSON file to keep beside the code: a line for each finding, told apart by rule,
    path and subject. `poisonscan scan --baseline FILE` counts such findings; they fail nothing. Do
    not put into it what you did not look at: a file that changes and still has the finding stays
    known. What could not be checked is never in a baseline.

    \b
    Examples:
      poisonscan scan . -o json=results.json
      poisonscan baseline create results.json
      poisonscan scan . --baseline poisonscan-baseline.json
      poisonscan baseline update --scan .
    """  # noqa: D301 - \b is click's


def _sources(command: Command) -> Command:
    for option in (
        click.option(
            "--scan",
            "scanned",
            is_flag=True,
            help="What is given are files and folders: scan them, with the options of the "
            "settings file.",
        ),
        click.option(
            "-o",
            "--output",
            "place",
            type=click.Path(path_type=Path, dir_okay=False),
            default=_NAME,
            show_default=True,
            help="The baseline.",
        ),
        click.argument("sources", nargs=-1, required=True, metavar="REPORT.json..."),
    ):
        command = option(command)
    return command


@baseline.command()
@_sources
def create(sources: tuple[str, ...], place: Path, *, scanned: bool) -> None:
    """Write a new baseline with the findings of reports that `-o json` wrote."""
    if place.exists() or place.is_symlink():
        message = f"{quote(str(place))} exists; `poisonscan baseline update` adds to it"
        raise click.UsageError(message)
    refuse_place(place, "-o")
    made = Baseline.of(_reports(sources, scanned=scanned))
    _write(place, made)
    _say("Known", list(made.known.values()), made)


@baseline.command()
@_sources
def update(sources: tuple[str, ...], place: Path, *, scanned: bool) -> None:
    """Add the findings of reports to the baseline; nothing is taken out."""
    known = load_baseline(place)
    refuse_place(place, "-o")
    added = known.add(Baseline.of(_reports(sources, scanned=scanned)))
    _write(place, known)
    _say("Added", added, known)


@baseline.command()
@_sources
def prune(sources: tuple[str, ...], place: Path, *, scanned: bool) -> None:
    """Take out of the baseline what is not in the reports any more; nothing is added.

    Give the reports of all that the baseline is for: what they did not scan is taken out, too.
    """
    known = load_baseline(place)
    refuse_place(place, "-o")
    reports = _reports(sources, scanned=scanned)
    gone = known.prune(Baseline.of(reports))
    _write(place, known)
    _say("Taken out", gone, known)


def _reports(sources: tuple[str, ...], *, scanned: bool) -> list[Report]:
    reports = [_scan(sources)] if scanned else [_read(source) for source in sources]
    gaps = sum(len(report.gaps) for report in reports)
    hidden = sum(report.hidden for report in reports)
    if gaps:
        _warn(f"{plural(gaps, 'thing')} could not be checked; that is never known")
    if hidden:
        _warn(f"{plural(hidden, 'finding')} left out by --min-severity are not in the reports")
    if any(report.interrupted for report in reports):
        _warn("a scan was interrupted: what it would have found after that is not known")
    return reports


def _read(source: str) -> Report:
    try:
        return read(Path(source))
    except (ReportError, OSError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        message = f"{quote(source)} cannot be used: {why}; --scan scans files and folders"
        raise click.UsageError(message) from error


def _scan(sources: tuple[str, ...]) -> Report:
    context = scan.make_context("scan", ["--", *sources], click.get_current_context())
    with context:
        options: dict[str, Any] = dict(context.params)
        report = findings_of("all", options)
    if report.interrupted:
        sys.exit(130)
    return report


def _write(place: Path, known: Baseline) -> None:
    try:
        write(place, known.text())
    except OSError as error:
        _warn(f"{quote(str(place))} could not be written: {error.strerror}")
        sys.exit(4)


def _say(what: str, entries: list[Known], known: Baseline) -> None:
    order = [*(str(severity) for severity in sorted(Severity, reverse=True)), _UNKNOWN]
    counts = Counter(entry.severity if entry.severity in order else _UNKNOWN for entry in entries)
    of_which = ", ".join(f"{counts[name]:,} {name}" for name in order if counts[name])
    counted = plural(len(entries), "finding") + (f" ({of_which})" if of_which else "")
    click.echo(f"{what}: {counted}. The baseline holds {len(known.known):,}.")


def _warn(text: str) -> None:
    click.echo(f"poisonscan: {text}", err=True)

"""``lock``: write down what targets are, against a silent swap."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from poisonscan.cli import reading
from poisonscan.cli.outputs import refuse_place
from poisonscan.cli.progress import ProgressLine
from poisonscan.cli.targets import placed
from poisonscan.engines.base import EngineError
from poisonscan.escape import escape, quote
from poisonscan.isolation.workers import IsolationError
from poisonscan.plural import plural
from poisonscan.reporters.write import write
from poisonscan.sources.hub.errors import HubError

if TYPE_CHECKING:
    from poisonscan.locking.entries import Entry, Lock

NAME = "poisonscan.lock"
_HEAD = 4096
_SHOWN = 20


@click.command()
@click.argument("targets", nargs=-1, required=True, callback=placed, metavar="TARGET...")
@click.option(
    "-o",
    "--output",
    "place",
    type=click.Path(path_type=Path, dir_okay=False),
    default=NAME,
    show_default=True,
    help="The lock file. Targets on disk must lie below its folder.",
)
@click.option(
    "--revision",
    metavar="NAME",
    help="Branch, tag or commit of repositories of the Hugging Face Hub.  [default: main]",
)
@click.option(
    "--repo-type",
    type=click.Choice(["model", "dataset", "space"]),
    help="What repositories of the Hub are; with it, org/name is one.",
)
@click.option(
    "--sign",
    is_flag=True,
    help="Sign the target, which must be one on disk: an OpenSSF Model Signing bundle. Needs "
    "`pip install 'poisonscan[sign]'`.",
)
@click.option(
    "--key",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Private elliptic-curve key to sign with, PEM, without a password.",
)
@click.option(
    "--signature",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where the bundle goes.  [default: beside the lock file, with .sig behind its name]",
)
@reading.options
def lock(
    targets: tuple[str | Path, ...],
    place: Path,
    revision: str | None,
    repo_type: str | None,
    key: Path | None,
    signature: Path | None,
    *,
    sign: bool,
    **options: Any,
) -> None:
    """Write down what files, datasets and checkpoints are, for `poisonscan verify`.

    A lock file is JSON to keep in version control: size and SHA-256 of every file, the commit of a
    repository of the Hub, a digest of each dataset's rows and of each checkpoint's tensors, and
    what the scan found. The digest of rows does not depend on their order, on shards or on the
    file format (parquet, CSV, JSON lines); that of a tensor not on whether safetensors or torch
    wrote it.

    A lock file says what is there, not that it is clean: findings fail `poisonscan scan`, not this.

    Exit codes: 0 when all of it was read, 3 when not (what was not stands in the file), 2 for wrong
    usage, 4 when the file cannot be written.

    \b
    Examples:
      poisonscan lock model/ data/train.parquet
      poisonscan lock hf://org/model hf://datasets/org/data -o vendor/poisonscan.lock
      poisonscan lock model/ -o model/poisonscan.lock --sign --key private.pem
    """  # noqa: D301 - \b is click's
    bundle = signature or place.with_name(place.name + ".sig")
    _check(targets, place, bundle, key, sign=sign)
    line = ProgressLine(enabled=options.pop("progress"))
    how = reading.how(options, line, (place, bundle))
    made = _made(targets, place, how, revision, repo_type, line)
    content = _text(made)
    try:
        write(place, content)
    except OSError as error:
        click.echo(f"poisonscan: {quote(str(place))} not written: {error.strerror}", err=True)
        sys.exit(4)
    for entry in made.entries:
        _say(entry)
    click.echo(f"{escape(str(place))}: {plural(len(made.entries), 'target')} locked.")
    if sign and key is not None:
        _sign(Path(targets[0]), place, bundle, key)
    sys.exit(3 if any(entry.unchecked for entry in made.entries) else 0)


def _check(
    targets: tuple[str | Path, ...], place: Path, bundle: Path, key: Path | None, *, sign: bool
) -> None:
    """Refuse what cannot go well before any work is done."""
    refuse_place(place, "-o")
    if place.is_file():
        with place.open("rb") as stream:
            if b'"poisonscan_lock"' not in stream.read(_HEAD):
                message = f"{quote(str(place))} is there and is no lock file; name another one"
                raise click.UsageError(message)
    if not sign:
        if key is not None:
            message = "--key is for --sign"
            raise click.UsageError(message)
        return
    if key is None or len(targets) != 1 or not isinstance(targets[0], Path):
        message = "--sign needs --key and one target on disk"
        raise click.UsageError(message)
    if bundle.is_file():
        with bundle.open("rb") as stream:
            if b"mediaType" not in stream.read(_HEAD):
                message = f"{quote(str(bundle))} is there and is no signature; name another file"
                raise click.UsageError(message)
    refuse_place(bundle, "--signature")
    from poisonscan.locking.signature import SignatureError, library

    try:
        library()
    except SignatureError as error:
        raise click.UsageError(str(error)) from error


def _made(
    targets: tuple[str | Path, ...],
    place: Path,
    how: Any,
    revision: str | None,
    repo_type: str | None,
    line: ProgressLine,
) -> Lock:
    from poisonscan.locking.entries import LockError
    from poisonscan.locking.lock import lock as make
    from poisonscan.scan import TargetError

    try:
        return make(targets, place.parent, how=how, revision=revision, repo_type=repo_type)
    except (LockError, TargetError, EngineError, IsolationError, HubError) as error:
        raise click.UsageError(escape(str(error))) from error
    finally:
        line.clear()


def _text(made: Lock) -> str:
    """The lock file, which ``verify`` must be able to read."""
    from poisonscan.locking.document import parse, text
    from poisonscan.locking.entries import LockError

    content = text(made)
    try:
        parse(content.encode())
    except LockError as error:
        message = f"no lock file can hold what is there: {error}"
        raise click.UsageError(message) from error
    return content


def _say(entry: Entry) -> None:
    """What a target is, for people."""
    size = sum(file.size for file in entry.files)
    at = f" at {entry.commit}" if entry.commit else ""
    click.echo(f"{escape(entry.target)}{at}: {plural(len(entry.files), 'file')}, {size:,} bytes")
    for dataset in entry.datasets[:_SHOWN]:
        rows = ", ".join(f"{escape(s)} {r.rows:,} rows" for s, r in sorted(dataset.splits.items()))
        click.echo(f"  dataset {escape(dataset.path)}: {rows}")
    for checkpoint in entry.checkpoints[:_SHOWN]:
        notes = "".join(f"; {note}" for note in checkpoint.notes)
        count = plural(len(checkpoint.tensors), "tensor")
        click.echo(f"  checkpoint {escape(checkpoint.path)}: {count}{notes}")
    more = len(entry.datasets[_SHOWN:]) + len(entry.checkpoints[_SHOWN:])
    if more:
        click.echo(f"  … and {more:,} more datasets and checkpoints")
    if entry.verdicts:
        found = ", ".join(f"{rule} {count:,}" for rule, count in sorted(entry.verdicts.items()))
        click.echo(f"  findings: {found}; `poisonscan scan` shows them")
    for item in entry.unchecked[:_SHOWN]:
        click.echo(f"  not checked: {escape(item.path)}: {escape(item.reason)}")
    if len(entry.unchecked) > _SHOWN:
        click.echo(f"  … and {len(entry.unchecked) - _SHOWN:,} more things that were not checked")


def _sign(target: Path, place: Path, bundle: Path, key: Path) -> None:
    from poisonscan.locking.signature import SignatureError
    from poisonscan.locking.signature import sign as write_bundle

    try:
        write_bundle(target, bundle, key)
    except SignatureError as error:
        click.echo(f"poisonscan: {error}", err=True)
        sys.exit(4)
    click.echo(f"{escape(str(bundle))}: signed.")
    if not place.resolve().is_relative_to(target.resolve()):
        click.echo("The lock file lies outside of the target: the signature does not cover it.")

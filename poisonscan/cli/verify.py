"""``verify``: compare what is there with a lock file, and with a signature."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from poisonscan.cli import reading
from poisonscan.cli.lock import NAME
from poisonscan.cli.progress import ProgressLine
from poisonscan.escape import escape, quote
from poisonscan.isolation.workers import IsolationError
from poisonscan.plural import plural

if TYPE_CHECKING:
    from poisonscan.locking.entries import Lock
    from poisonscan.locking.verify import Verified

_SHOWN = 100


@click.command()
@click.argument(
    "place",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    default=NAME,
    metavar="[LOCK]",
)
@click.option(
    "--rescan/--no-rescan",
    default=None,
    help="Scan targets again whose files are the same.  [default: where the rules are not those "
    "that made the lock file]",
)
@click.option(
    "--signature",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="An OpenSSF Model Signing bundle of the target.  [default: with --public-key, beside the "
    "lock file, with .sig behind its name]",
)
@click.option(
    "--public-key",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="Elliptic-curve key, PEM, that the signature must be by. Needs `pip install "
    "'poisonscan[sign]'`.",
)
@click.option("--json", "as_json", is_flag=True, help="Write the result as JSON.")
@reading.options
def verify(
    place: Path,
    signature: Path | None,
    public_key: Path | None,
    *,
    rescan: bool | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Check that files, datasets and repositories are what a lock file says.

    Every file is hashed, or the hashes are compared that the Hub lists. Where something is not the
    same, the target is read again to say what: other rows, or the same rows in another layout;
    which tensors; other findings. Only what lies below the folder of the lock file is opened,
    whatever the lock file says.

    Exit codes: 0 when all is as it was, 1 when something changed or the signature is wrong, 3 when
    something could not be compared, 2 for wrong usage and for a lock file that is none.

    \b
    Examples:
      poisonscan verify
      poisonscan verify vendor/poisonscan.lock --json
      poisonscan verify model/poisonscan.lock --public-key signer.pem
    """  # noqa: D301 - \b is click's
    if signature is not None and public_key is None:
        message = "--signature needs --public-key: whose signature is it to be?"
        raise click.UsageError(message)
    bundle = signature or place.with_name(place.name + ".sig")
    line = ProgressLine(enabled=options.pop("progress"))
    how = reading.how(options, line, (place, bundle))
    locked = _read(place)
    done = _verified(locked, place, how, line, rescan=rescan)
    if public_key is not None:
        _check(locked, place, bundle, public_key, done)
    elif os.path.lexists(bundle):
        done.notes.append(f"{quote(str(bundle))} was not checked: --public-key says by whom")
    if as_json:
        click.echo(json.dumps(_document(done), indent=1))
    else:
        _say(done, place)
    sys.exit(done.exit_code)


def _read(place: Path) -> Lock:
    from poisonscan.locking.document import read
    from poisonscan.locking.entries import LockError

    try:
        return read(place)
    except (LockError, OSError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        message = f"the lock file {quote(str(place))} cannot be used: {why}"
        raise click.UsageError(message) from error


def _verified(
    locked: Lock, place: Path, how: Any, line: ProgressLine, *, rescan: bool | None
) -> Verified:
    from poisonscan.locking.entries import LockError
    from poisonscan.locking.verify import verify as compare

    try:
        return compare(locked, place.parent, how=how, rescan=rescan)
    except (LockError, IsolationError) as error:
        message = f"the lock file {quote(str(place))} cannot be used: {error}"
        raise click.UsageError(message) from error
    finally:
        line.clear()


def _check(locked: Lock, place: Path, bundle: Path, public_key: Path, done: Verified) -> None:
    """Check the signature of the only target."""
    from poisonscan.locking.compare import Change
    from poisonscan.locking.signature import SignatureError, WrongSignature, check
    from poisonscan.locking.verify import target_on_disk

    if len(locked.entries) != 1 or locked.entries[0].commit:
        message = "a signature is of one target on disk, which this lock file does not have"
        raise click.UsageError(message)
    if not bundle.is_file():
        message = f"there is no signature {quote(str(bundle))}; --signature names another file"
        raise click.UsageError(message)
    target = target_on_disk(locked.entries[0].target, place.parent)
    try:
        check(target, bundle, public_key)
    except WrongSignature as error:
        done.changes.append(Change(locked.entries[0].target, "signature", "", f"wrong: {error}"))
    except SignatureError as error:
        raise click.UsageError(str(error)) from error
    else:
        done.notes.append(f"signed with the key {quote(str(public_key))}")
        if not place.resolve().is_relative_to(target.resolve()):
            done.notes.append("the signature does not cover the lock file, which lies outside")


def _document(done: Verified) -> dict[str, Any]:
    return {
        "verified": done.exit_code == 0,
        "files": done.files,
        "changes": [change.as_json() for change in done.changes],
        "gaps": [{"path": escape(gap.path), "reason": escape(gap.reason)} for gap in done.gaps],
        "notes": done.notes,
    }


def _say(done: Verified, place: Path) -> None:
    from poisonscan.locking.compare import shown

    for change in done.changes[:_SHOWN]:
        click.echo(shown(change))
    for gap in done.gaps[:_SHOWN]:
        click.echo(f"not compared: {escape(gap.path)}: {escape(gap.reason)}")
    more = len(done.changes[_SHOWN:]) + len(done.gaps[_SHOWN:])
    if more:
        click.echo(f"… and {more:,} more; --json lists all")
    for note in done.notes[:_SHOWN]:
        click.echo(f"note: {note}")
    verdict = f"as {escape(str(place))} has them" if not done.exit_code else ""
    if done.changes:
        verdict = f"{plural(len(done.changes), 'change')} since {escape(str(place))}"
    elif done.gaps:
        verdict = f"{plural(len(done.gaps), 'thing')} could not be compared"
    click.echo(f"{plural(done.files, 'file')} compared: {verdict}.")

"""Settings for commands: what ``poisonscan.toml`` says becomes the defaults of their options.

A file that was found may come with what is scanned. It may set what a report says and where in its
own folder reports go, but not what touches the machine: no cluster, no isolation, no path outside.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import click
from click.core import ParameterSource

from poisonscan.baseline import Baseline, BaselineError
from poisonscan.cli.targets import expanded
from poisonscan.escape import clip, escape, quote
from poisonscan.ignores import Ignore, IgnoreError, check_rule
from poisonscan.reporters.base import REPORTERS
from poisonscan.settings import Settings, SettingsError, find, read
from poisonscan.spelling import meant

_PROJECT: Final = frozenset({
    "select", "ignore", "profile", "fail-on", "min-severity", "category", "output", "root", "jobs",
    "baseline", "show-baselined", "anchor", "no-content", "quiet", "verbose", "color", "progress",
    "label-column", "text-column", "image-column", "features-column", "prompt-column",
    "response-column", "header", "activations", "split", "config", "max-rows", "sample", "seed",
    "reference",
})  # fmt: skip
"""Keys that a file may have which was found and not named."""
_NEVER: Final = frozenset({"help", "settings", "no-settings"})
_IGNORES: Final = "poisonscan.ignores"
_SHOWN: Final = 80
_HEAD: Final = 4_096

OPTIONS: Final = [
    click.option(
        "--settings",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="Settings file.  [default: poisonscan.toml, or pyproject.toml with [tool.poisonscan], "
        "of the current folder or, inside a repository, the nearest above]",
    ),
    click.option(
        "--no-settings",
        is_flag=True,
        help="Read no settings file: for a current folder that is not yours.",
    ),
    click.option(
        "--baseline",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="Findings that are known (see `poisonscan baseline`): counted, not shown, and no "
        "reason for exit code 1.",
    ),
    click.option(
        "--show-baselined",
        is_flag=True,
        help="Show known and ignored findings after all, marked as such: in text and in SARIF.",
    ),
]
"""Options of commands that scan."""


class Configured(click.Command):
    """A command whose options have their defaults from a settings file."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Read the settings before the options."""
        given, _, _ = self.make_parser(ctx).parse_args(args=list(args))
        if not ctx.resilient_parsing and not given.get("help"):
            settings = self._settings(ctx, given)
            if settings is not None:
                defaults = _checked(settings, _all_options(), ctx)
                ctx.default_map = {**(ctx.default_map or {}), **defaults}
                ctx.meta[_IGNORES] = settings.ignores
        return super().parse_args(ctx, args)

    def _settings(self, ctx: click.Context, given: Mapping[str, Any]) -> Settings | None:
        try:
            if self._given(ctx, given, "no_settings"):
                return None
            named = self._given(ctx, given, "settings")
            if named is not None:
                return read(Path(named))
            lists = self._given(ctx, given, "files_from") or ()
            targets = given.get("targets")  # no tuple where none is given
            given_ones = targets if isinstance(targets, tuple) else ()
            paths = [Path(each) for each in expanded(ctx, given_ones, lists)]
            settings, passed = find(Path.cwd(), paths)
        except SettingsError as error:
            raise click.UsageError(str(error), ctx) from error
        for path in passed:
            _note(f"{_shown(path)} lies in what is scanned and is not used; --settings uses it")
        if settings is not None:
            keys = [*settings.options, *(["[[ignore]]"] if settings.ignores else [])]
            said = clip(escape(", ".join(keys)), 200) or "nothing"
            _note(f"settings from {_shown(settings.path)}: {said}")
        return settings

    def _given(self, ctx: click.Context, given: Mapping[str, Any], name: str) -> Any:
        """What the command line or the environment says; None: nothing."""
        option = next((param for param in self.params if param.name == name), None)
        if option is None:
            return None
        value, source = option.consume_value(ctx, given)
        if source not in (ParameterSource.COMMANDLINE, ParameterSource.ENVIRONMENT):
            return None
        return option.type_cast_value(ctx, value)


def ignores() -> tuple[Ignore, ...]:
    """The ignores of the settings that count for the command that runs."""
    found: tuple[Ignore, ...] = click.get_current_context().meta.get(_IGNORES, ())
    return found


def load_baseline(path: Path | None) -> Baseline:
    """The baseline in a file, an empty one for None.

    Raises:
        click.UsageError: it cannot be read or is none.
    """
    if path is None:
        return Baseline()
    try:
        return Baseline.read(path)
    except (BaselineError, OSError) as error:
        why = error.strerror if isinstance(error, OSError) else str(error)
        message = f"the baseline {quote(str(path))} cannot be used: {why}"
        raise click.UsageError(message) from error


def _all_options() -> Mapping[str, click.Option]:
    """Options of ``scan``, which has all of them, by their keys."""
    from poisonscan.cli.scan import scan

    named = [(param.opts, param) for param in scan.params if isinstance(param, click.Option)]
    keys = {max(opts, key=len).removeprefix("--"): param for opts, param in named}
    return {key: param for key, param in keys.items() if key not in _NEVER}


def _checked(
    settings: Settings, options: Mapping[str, click.Option], ctx: click.Context
) -> dict[str, Any]:
    """Defaults by names of parameters.

    Raises:
        click.UsageError: a key or a value is wrong; the message names file, key and what may be.
    """
    defaults: dict[str, Any] = {}
    for key, value in settings.options.items():
        try:
            if key not in options:
                raise SettingsError(_unknown(key, list(options)))
            if settings.found and key not in _PROJECT:
                message = "is taken from a file only where --settings names it"
                raise SettingsError(message)
            option = options[key]
            defaults[str(option.name)] = _value(option, key, value, settings, ctx)
        except (SettingsError, IgnoreError, click.BadParameter) as error:
            why = error.message if isinstance(error, click.BadParameter) else str(error)
            message = f"{_shown(settings.path)}: {clip(escape(key), _SHOWN)}: {escape(why)}"
            raise click.UsageError(message, ctx) from error
    return defaults


def _unknown(key: str, keys: list[str]) -> str:
    close = meant(key.replace("_", "-"), keys)
    return f"is no key{close or ';'} There are {', '.join(sorted(keys))}"


def _value(
    option: click.Option, key: str, value: object, settings: Settings, ctx: click.Context
) -> object:
    """A value as click takes it for a default, checked the way click checks arguments."""
    if option.multiple:
        if not isinstance(value, list):
            message = f"should be a list, such as {key} = [{quote('…')}]"
            raise SettingsError(message)
        return [_single(option, key, item, settings, ctx) for item in value]
    return _single(option, key, value, settings, ctx)


def _single(
    option: click.Option, key: str, value: object, settings: Settings, ctx: click.Context
) -> object:
    if option.is_flag:
        if not isinstance(value, bool):
            message = f"should be true or false, not {quote(value, _SHOWN)}"
            raise SettingsError(message)
        return value
    number = isinstance(option.type, click.types.IntParamType)
    if isinstance(value, bool) or not isinstance(value, int if number else str):
        what = "a whole number" if number else "a text"
        message = f"should be {what}, not {quote(value, _SHOWN)}"
        raise SettingsError(message)
    if key in ("select", "ignore"):
        for rule in str(value).split(","):
            check_rule(rule)
    if key == "output":
        return _output(str(value), settings)
    if isinstance(option.type, click.Path):
        value = str(_inside(str(value), settings))
    option.type.convert(value, option, ctx)
    return value


def _inside(written: str, settings: Settings) -> Path:
    """A path relative to the file's folder; only a file that was named may lead out of it."""
    folder = settings.path.resolve().parent
    path = folder / written
    if settings.found and not path.resolve().is_relative_to(folder):
        message = (
            f"{quote(written, _SHOWN)} lies outside of the folder of the settings; that is taken "
            "from a file only where --settings names it"
        )
        raise SettingsError(message)
    return path


def _output(written: str, settings: Settings) -> str:
    """``FMT[=PATH]``; a found file may only replace reports, and write no hidden file."""
    name, given, place = written.partition("=")
    if name not in REPORTERS:
        message = f"{quote(name, _SHOWN)} is no format; there are {', '.join(REPORTERS)}"
        raise SettingsError(message)
    if not given:
        return written
    path = _inside(place, settings)
    if settings.found:
        inner = path.resolve().relative_to(settings.path.resolve().parent)
        if any(part.startswith(".") for part in inner.parts):
            message = f"{quote(place, _SHOWN)} is hidden; name another file"
            raise SettingsError(message)
        if path.is_file() and not _is_report(path):
            message = f"{quote(place, _SHOWN)} is there and is no report; name another file"
            raise SettingsError(message)
    return f"{name}={path}"


def _is_report(path: Path) -> bool:
    with path.open("rb") as stream:
        return b"poisonscan" in stream.read(_HEAD) and path.name not in (
            "poisonscan.toml",
            "pyproject.toml",
        )


def _shown(path: Path) -> str:
    try:
        return quote(str(path.resolve().relative_to(Path.cwd().resolve())))
    except ValueError:
        return quote(str(path))


def _note(text: str) -> None:
    click.echo(f"poisonscan: {text}", err=True)

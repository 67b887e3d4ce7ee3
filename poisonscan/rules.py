"""Read ``rules/``: one YAML file per rule, and the allowlists of harmless pickle imports."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

import yaml

from poisonscan.escape import quote
from poisonscan.finding import Rule, Severity
from poisonscan.spelling import meant

_FILE = re.compile(r"(PS\d{3})-([a-z0-9-]+)")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Profile = Literal["default", "fast"]
"""All rules; or without those that learn models from the data, which take most of the time."""
PROFILES: Final[tuple[Profile, ...]] = get_args(Profile)
LEFT_OUT: Final = "left out by profile"
"""Fact of a dataset: the name of a profile, and the rules that it leaves out."""


class RuleError(ValueError):
    """A rule file that is not one, or a rule that does not exist."""


def folder() -> Path:
    """Where the rules are: beside the code once installed, at the top of a checkout otherwise."""
    installed = Path(__file__).with_name("_rules")
    return installed if installed.is_dir() else Path(__file__).parents[1] / "rules"


def read_yaml(path: Path) -> Any:
    """The content of a YAML file, read by the safe loader."""
    return yaml.load(path.read_bytes(), Loader=_LOADER)  # noqa: S506 - a safe loader in either case


@functools.cache
def all_rules() -> Mapping[str, Rule]:
    """Every rule by id, in order of id."""
    rules = [_read(path) for path in sorted(folder().glob("PS*.yaml"))]
    return {rule.id: rule for rule in rules}


def rule(rule_id: str) -> Rule:
    """The rule with this id.

    Raises:
        RuleError: no rule has the id.
    """
    try:
        return all_rules()[rule_id]
    except KeyError:
        raise _no_rule(rule_id) from None


def split_selectors(values: Iterable[str]) -> tuple[str, ...]:
    """Single selectors: ``--select PS1,PS2`` says two."""
    return tuple(selector for value in values for selector in value.split(","))


def select(include: tuple[str, ...] = (), exclude: tuple[str, ...] = ()) -> tuple[Rule, ...]:
    """The rules whose id starts with a prefix in ``include`` (or all), but none in ``exclude``.

    A rule's name (``pickle-runs-code``) works as well as its id or a prefix of it (``PS1``).

    Raises:
        RuleError: a selector matches no rule.
    """
    rules = tuple(all_rules().values())
    for selector in (*include, *exclude):
        if not any(_matches(candidate, selector) for candidate in rules):
            raise _no_rule(selector)
    return tuple(
        candidate
        for candidate in rules
        if (not include or any(_matches(candidate, selector) for selector in include))
        and not any(_matches(candidate, selector) for selector in exclude)
    )


def named(name: str) -> Rule:
    """The rule with this id or name, in upper or lower case.

    Raises:
        RuleError: no rule is called so.
    """
    for candidate in all_rules().values():
        if name.lower() in (candidate.id.lower(), candidate.name):
            return candidate
    raise _no_rule(name)


def _no_rule(typed: str) -> RuleError:
    close = meant(typed, (one.name for one in all_rules().values()))
    return RuleError(f"{quote(typed)} matches no rule{close or ';'} `poisonscan rules` lists them")


def divided(rules: tuple[Rule, ...], profile: Profile) -> tuple[tuple[Rule, ...], tuple[Rule, ...]]:
    """The rules that a profile applies, and those that it leaves out.

    Raises:
        RuleError: there is no such profile, or no rule is left to apply.
    """
    if profile not in PROFILES:
        message = f"{profile!r} is no profile; there are {' and '.join(PROFILES)}"
        raise RuleError(message)
    applied = tuple(rule for rule in rules if rule.fast or profile == "default")
    if not applied:
        why = f": the profile {profile} leaves out all that were selected" if rules else ""
        message = f"no rule is left to apply{why}"
        raise RuleError(message)
    return applied, tuple(rule for rule in rules if rule not in applied)


def _matches(candidate: Rule, selector: str) -> bool:
    if not selector:
        return False
    return candidate.name == selector.lower() or candidate.id.startswith(selector.upper())


def _read(path: Path) -> Rule:
    match = _FILE.fullmatch(path.stem)
    content = read_yaml(path)
    if match is None or not isinstance(content, dict):
        message = f"{path.name}: expected PS000-some-name.yaml with a mapping in it"
        raise RuleError(message)
    try:
        return Rule(
            id=match.group(1),
            name=match.group(2),
            title=content["title"],
            severity=Severity[content["severity"].upper()],
            precision=content["precision"],
            detector=content["detector"],
            reads=tuple(content.get("reads", ())),
            help=content["help"].strip(),
            cwe=tuple(content.get("cwe", ())),
            atlas=tuple(content.get("atlas", ())),
            owasp=tuple(content.get("owasp", ())),
            thresholds=content.get("thresholds", {}),
            fast=content.get("fast", True),
        )
    except KeyError as error:
        message = f"{path.name}: {error} is missing or unknown"
        raise RuleError(message) from error


@dataclass(frozen=True, slots=True)
class PickleNames:
    """What is known about importable names, as ``module.name``.

    Attributes:
        allowed: harmless to import, call, give state to and fill, whatever the arguments.
        uncalled: harmless as long as the pickle does not call them: created empty and given state.
        calls_argument: as harmless as the arguments at these positions, which they call.
        creates_argument: those of these positions where a class is only created empty.
        returns_argument: the argument that a function gives back as its result.
        attributes: functions that objects keep of their own class, as ``Class.name``; never called.
        dangerous: known evil, and why.
        dangerous_modules: everything in the module and below it is, and why.
        computed: make callables out of names or objects, and how.
        nested: loaders whose bytes argument is itself a pickle.
    """

    allowed: frozenset[tuple[str, str]]
    uncalled: frozenset[tuple[str, str]]
    calls_argument: Mapping[str, tuple[int, ...]]
    creates_argument: Mapping[str, tuple[int, ...]]
    returns_argument: Mapping[str, int]
    attributes: frozenset[tuple[str, str]]
    dangerous: Mapping[str, str]
    dangerous_modules: Mapping[str, str]
    computed: Mapping[str, str]
    nested: frozenset[str]


@functools.cache
def pickle_names() -> PickleNames:
    """The allowlists in ``rules/allow/`` and the list of known evil in ``rules/deny.yaml``."""
    lists = [read_yaml(path) for path in sorted((folder() / "allow").rglob("*.yaml"))]
    deny = read_yaml(folder() / "deny.yaml")
    return PickleNames(
        _pairs(lists, "globals"),
        _pairs(lists, "uncalled"),
        _positions(lists, "calls_argument"),
        _positions(lists, "creates_argument"),
        _merged(lists, "returns_argument"),
        frozenset(
            (owner.rpartition(".")[0], f"{owner.rpartition('.')[2]}.{name}")
            for owner, kept in _merged(lists, "attributes").items()
            for name in kept
        ),
        deny["globals"],
        deny["modules"],
        deny["computed"],
        frozenset(deny["nested"]),
    )


def _merged(lists: list[Any], section: str) -> dict[str, Any]:
    return {name: value for content in lists for name, value in content.get(section, {}).items()}


def _positions(lists: list[Any], section: str) -> dict[str, tuple[int, ...]]:
    return {name: tuple(positions) for name, positions in _merged(lists, section).items()}


def _pairs(lists: list[Any], section: str) -> frozenset[tuple[str, str]]:
    return frozenset(
        (module, name)
        for content in lists
        for module, names in content.get(section, {}).items()
        for name in (names.split() if isinstance(names, str) else names)
    )

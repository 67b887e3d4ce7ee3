"""What a configuration makes its library run, and whether the code is the repository's own."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from poisonscan.detectors.models.config_names import (
    Origin,
    Place,
    is_dotted,
    names,
    origin,
    places,
)
from poisonscan.escape import quote
from poisonscan.finding import Json, Span
from poisonscan.formats.base import Settings
from poisonscan.formats.settings_yaml import Tag, YamlSettings

# Kinds whose library heeds these keys wherever they stand; others are only looked through for
# names that are known evil and for code of other repositories.
_LOADED: Final = frozenset(
    {"transformers", "peft", "diffusers", "sentence-transformers", "setfit", "json", "mlflow"}
)
_ATTENTION: Final = frozenset(
    {"_attn_implementation", "_attn_implementation_internal", "attn_implementation",
     "_attn_implementation_autoset", "_experts_implementation", "experts_implementation"}
)  # fmt: skip
_REMOTE: Final = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]*://|\\\\|//")
# transformers.integrations.hub_kernels.is_kernel takes owner/name@revision:function.
_REPOSITORY: Final = re.compile(r"[^/:\s]+/[^/:\s]+(?:@[^/:]+)?(?::[^/:]+)?")
_TARGETS: Final = frozenset({"_target_", "target_path", "callable", "class_path"})
_HYPER: Final = re.compile(r"!(new|apply|name|module):(.+)")
_PYTHON: Final = re.compile(r"!!python/(?:object/apply|object/new|object|name|module):(.*)")
_EXPRESSION: Final = re.compile(
    r"__import__|\b(?:exec|eval|compile|getattr|open)\s*\(|\b(?:os|subprocess|sys|socket)\."
)


@dataclass(frozen=True, slots=True)
class Claim:
    """Code that a configuration names.

    Attributes:
        foreign: it comes from elsewhere, or needs no permission of the caller: worse than the
            repository's own.
        what: what is named, where, and what follows; ends without a full stop.
        key: the same in a stable form.
        span: where it stands, if known.
    """

    foreign: bool
    what: str
    key: str
    span: Span | None = None


def _own(what: str, key: str) -> Claim:
    return Claim(foreign=False, what=what, key=key)


def _foreign(what: str, key: str) -> Claim:
    return Claim(foreign=True, what=what, key=key)


def claims(settings: Settings) -> Iterator[Claim]:
    """Everything that a configuration makes its library run."""
    if isinstance(settings, YamlSettings):
        for tag in settings.tags:
            yield from _tagged(tag)
    for place in places(settings.document):
        for look in _BY_KEY.get(place.key, ()):
            yield from look(place, settings)
        if isinstance(place.value, str):
            yield from _expression(place)
    for look in _BY_KIND.get(settings.kind, ()):
        yield from look(Place((), settings.document), settings)


def _class_references(place: Place, settings: Settings) -> Iterator[Claim]:  # noqa: ARG001
    """`auto_map` and `custom_pipelines`: `file.Class`, or `owner/repo--file.Class`."""
    if place.keys[-1].isdigit():
        return
    for inner in places(place.value):
        if not isinstance(inner.value, str) or inner.key in ("type", "pt", "tf", "default"):
            continue
        where = ".".join((*place.keys, *inner.keys))
        repository, dashes, name = inner.value.rpartition("--")
        if dashes:
            yield _foreign(
                f"{quote(where)} names {quote(name)} in another repository, {quote(repository)}: "
                "its code is fetched from there, and can change there",
                f"{where} {repository}",
            )
        elif "." in name:
            yield _own(
                f"{quote(where)} names {quote(name)}, a class in a Python file of the repository",
                f"{where} {name}",
            )


def _auto_mapping(place: Place, settings: Settings) -> Iterator[Claim]:  # noqa: ARG001
    """PEFT imports the module that holds the class of the base model."""
    if isinstance(place.value, dict) and isinstance(place.value.get("parent_library"), str):
        name = str(place.value["parent_library"])
        yield from _named(name, f"{place.where}.parent_library", "is imported", whole=True)


def _trust(place: Place, settings: Settings) -> Iterator[Claim]:
    """The permission to run code, given by the file instead of the caller."""
    if place.value is not True and str(place.value).lower() != "true":
        return
    if settings.kind not in _LOADED:
        return
    nested = any(key.endswith("_config") for key in place.keys[:-1])
    model = settings.document.get("model_type") if isinstance(settings.document, dict) else None
    foreign = settings.kind == "transformers" and (nested or model == "lightglue")
    what = f"{quote(place.where)} is true: it permits code that the caller did not permit"
    if foreign:
        what += ", for a model within the model (CVE-2026-5241)"
    yield Claim(foreign, what, place.where)


def _attention(place: Place, settings: Settings) -> Iterator[Claim]:  # noqa: ARG001
    """CVE-2026-4372: an attention implementation that is a repository of kernels."""
    for inner in places(place.value):  # one for the whole, or for each part of the model
        if not isinstance(inner.value, str):
            continue
        name = inner.value.rpartition("|")[2].strip()
        if name in names().attention or not _REPOSITORY.fullmatch(name):
            continue
        where = ".".join((*place.keys, *inner.keys))
        yield Claim(
            name.partition("/")[0] not in names().kernels,
            f"{quote(where)} is {quote(name)}, a repository whose code is fetched and run "
            "as attention kernel (CVE-2026-4372)",
            f"{where} {name}",
        )


def _base(place: Place, settings: Settings) -> Iterator[Claim]:  # noqa: ARG001
    """A base model at an address: paths on the disk of whoever saved it are common and harmless."""
    if isinstance(place.value, str) and _REMOTE.match(place.value):
        yield _foreign(
            f"{quote(place.where)} is the address {quote(place.value)}: the model is loaded from "
            "there",
            f"{place.where} {place.value}",
        )


def _fetched(place: Place, settings: Settings) -> Iterator[Claim]:
    """A custom pipeline or a way of generating text: a file here, or a repository elsewhere."""
    if settings.kind not in _LOADED or not isinstance(place.value, str) or not place.value:
        return
    foreign = "/" in place.value.removeprefix("./") or bool(_REMOTE.match(place.value))
    source = "another repository or folder" if foreign else "a Python file of the repository"
    yield Claim(
        foreign,
        f"{quote(place.where)} is {quote(place.value)}, code of {source}",
        f"{place.where} {place.value}",
    )


def _target(place: Place, settings: Settings) -> Iterator[Claim]:
    """Hydra and its like call what a path names (CVE-2025-23304)."""
    known = place.key == "_target_"
    for claim in _named(place.value, place.where, "is called"):
        if claim.foreign or (known and settings.kind != "json"):
            yield claim


def _instantiated(place: Place, settings: Settings) -> Iterator[Claim]:  # noqa: ARG001
    """`instantiate_from_config` of latent diffusion: only what is known evil, the key is common."""
    for claim in _named(place.value, place.where, "is called"):
        if claim.foreign:
            yield claim


def _function(place: Place, settings: Settings) -> Iterator[Claim]:
    """Sentence-transformers imports and calls activation functions by their path."""
    if settings.kind in _LOADED:
        yield from _named(place.value, place.where, "is imported and called")


def _named(value: Json, where: str, then: str, *, whole: bool = False) -> Iterator[Claim]:
    """A dotted name: evil is foreign, a library's is nothing to tell.

    Args:
        value: the name.
        where: the keys that it stands at.
        then: what is done with it.
        whole: a name without dots counts as well: a module.
    """
    if not isinstance(value, str) or not (is_dotted(value) or (whole and value)):
        return
    whose, why = origin(value)
    if whose is Origin.EVIL:
        what = f"{quote(where)} is {quote(value)}, which {why}; it {then} on loading"
        yield _foreign(what, f"{where} {value}")
    elif whose is Origin.UNKNOWN:
        what = f"{quote(where)} is {quote(value)}, code of no library that is known; it {then}"
        yield _own(what, f"{where} {value}")


def _expression(place: Place) -> Iterator[Claim]:
    """MONAI bundles evaluate strings that begin with `$`."""
    text = str(place.value)
    if not text.startswith("$") or not _EXPRESSION.search(text):
        return
    try:
        ast.parse(text[1:][:10_000].strip())
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return  # no expression: a variable of a shell, an amount of money
    what = f"{quote(place.where)} is the expression {quote(text, 80)}, evaluated by a MONAI bundle"
    yield _foreign(what, f"{place.where} {text[:80]}")


def _tagged(tag: Tag) -> Iterator[Claim]:
    """YAML tags that build Python objects."""
    span = Span(tag.offset)
    where = f"the tag {quote(tag.name)} in line {tag.line:,}"
    hyper = _HYPER.fullmatch(tag.name)
    if hyper and is_dotted(hyper.group(2)):
        for claim in _named(hyper.group(2), where, "is called by HyperPyYAML"):
            yield Claim(claim.foreign, claim.what, claim.key, span)
        return
    if not tag.name.startswith("!!python/") or tag.name in names().tags:
        return
    python = _PYTHON.fullmatch(tag.name)
    whose, why = origin(python.group(1)) if python else (Origin.UNKNOWN, "")
    foreign = whose is not Origin.KNOWN
    what = f"{where} makes a loader build a Python object" + (f": it {why}" if why else "")
    yield Claim(foreign, what, tag.name, span)


def _modules(place: Place, settings: Settings) -> Iterator[Claim]:
    """`modules.json` and routers of sentence-transformers: classes by their path."""
    for inner in places(place.value):
        if inner.key == "type" or "types" in inner.keys[:-1]:
            value = inner.value
            if isinstance(value, str) and "--" in value:
                yield from _class_references(inner, settings)
            else:
                yield from _named(value, inner.where, "is imported")


def _index(place: Place, settings: Settings) -> Iterator[Claim]:  # noqa: ARG001
    """`model_index.json` of diffusers: each part is a library and a class of it."""
    if not isinstance(place.value, dict):
        return
    for part, value in place.value.items():
        if not isinstance(value, list) or not value or not isinstance(value[0], str):
            continue
        if value[0] not in names().pipelines:
            yield from _named(value[0], part, "is imported as the library of a part", whole=True)


def _mlflow(place: Place, settings: Settings) -> Iterator[Claim]:  # noqa: ARG001
    """The flavour `python_function`: a module that is imported, code and pickles of one's own."""
    flavors = place.value.get("flavors") if isinstance(place.value, dict) else None
    flavor = flavors.get("python_function") if isinstance(flavors, dict) else None
    if not isinstance(flavor, dict):
        return
    where = "flavors.python_function"
    yield from _named(
        flavor.get("loader_module"), f"{where}.loader_module", "is imported", whole=True
    )
    for key, what in _FLAVOR.items():
        if isinstance(flavor.get(key), str):
            message = f"{quote(where + '.' + key)} is {quote(flavor[key])}, {what}"
            yield _own(message, f"{key} {flavor[key]}")


_FLAVOR: Final = {
    "code": "a folder of code that is imported from",
    "python_model": "a pickled object that is loaded",
    "model_code_path": "a Python file that is run",
    "streamable_code_path": "a Python file that is run",
}
_Look = Callable[[Place, Settings], Iterator[Claim]]
_BY_KEY: Final[dict[str, tuple[_Look, ...]]] = {
    "auto_map": (_class_references,),
    "custom_pipelines": (_class_references,),
    "auto_mapping": (_auto_mapping,),
    "trust_remote_code": (_trust,),
    **dict.fromkeys(_ATTENTION, (_attention,)),
    "base_model_name_or_path": (_base,),
    "_name_or_path": (_base,),
    "custom_pipeline": (_fetched,),
    "custom_generate": (_fetched,),
    **dict.fromkeys(_TARGETS, (_target,)),
    "target": (_instantiated,),
    "activation_function": (_function,),
    "activation_fn": (_function,),
    "default_activation_function": (_function,),
    "sbert_ce_default_activation_function": (_function,),
}
_BY_KIND: Final[dict[str, tuple[_Look, ...]]] = {
    "sentence-transformers": (_modules,),
    "diffusers": (_index,),
    "mlflow": (_mlflow,),
}

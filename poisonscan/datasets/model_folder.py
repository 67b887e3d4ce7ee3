"""Folders that transformers and sentence-transformers write: what of them is used, and is it safe.

Only files that hold numbers and settings are read: ``config.json``, safetensors, the tokenizer in
``tokenizer.json``, the settings of pictures and of pooling. The libraries never see the folder, so
whatever else lies in it (code, pickles, adapters) can have no say.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from poisonscan.datasets.errors import OptionError
from poisonscan.datasets.text_form import MAX_TOKENS
from poisonscan.escape import quote
from poisonscan.sources.disk import IGNORED, hold

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MAX_SETTINGS: Final = 16 << 20
"""Bytes of a file of settings; those of the largest index of shards known have 10 MiB."""
MAX_TOKENIZER: Final = 256 << 20
"""Bytes of ``tokenizer.json``; those of vocabularies of 250,000 tokens have 35 MiB."""
NO_SETTINGS: Final = (
    "holds no config.json, so what network the weights are for is not known: give the folder that"
    " save_pretrained wrote"
)
MAX_DEPTH: Final = 32
"""Objects in objects of settings."""
_WEIGHTS: Final = "model.safetensors"
_NAME: Final = re.compile(r"\w[\w.-]{0,199}")
_REFUSED: Final = {
    "auto_map": "wants code of its own to be run",
    "custom_pipelines": "wants code of its own to be run",
    "quantization_config": "is quantized, which needs further libraries",
    "transformers_weights": "names another file of weights",
    "use_pretrained_backbone": "wants further weights to be fetched",
    "use_timm_backbone": "needs a further library",
}
"""Settings with which a folder is not used, and why."""
_KERNELS: Final = frozenset({"kernel_config", "kernels", "use_kernels"})
_POOLINGS: Final = {"mean": "pooling_mode_mean_tokens", "cls": "pooling_mode_cls_token"}
_MODULES: Final = ("Transformer", "Pooling", "Normalize")


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """A model, as far as it is used.

    Attributes:
        path: the folder.
        config: ``config.json``, without what chooses how it is computed.
        weights: names of the files of weights.
        tokenizer: whether there is one.
        pictures: what ``preprocessor_config.json`` says; empty if there is none.
        tokens: of a text that it is given at most.
        pooling: ``mean`` or ``cls``.
        normalized: whether vectors are given length one.
        read: names of all files that are used.
    """

    path: str
    config: Mapping[str, Any]
    weights: tuple[str, ...]
    tokenizer: bool
    pictures: Mapping[str, Any] = field(default_factory=dict)
    tokens: int = MAX_TOKENS
    pooling: str = "mean"
    normalized: bool = False
    read: tuple[str, ...] = ()

    @classmethod
    def open(cls, path: str) -> ModelFolder:
        """Read the settings of a folder.

        Raises:
            OptionError: it is no such folder, or needs what is not supported.
        """
        folder = _Reader(Path(path))
        inner, pooling, normalized = _modules(folder)
        if not folder.has(inner + "config.json"):
            message = f"{quote(path)} {NO_SETTINGS}"
            raise OptionError(message)
        config = folder.settings(inner + "config.json")
        for setting, why in _REFUSED.items():
            if _mentions(config, setting):
                message = f"{quote(path)} is not used: it {why} ({setting} in its config.json)"
                raise OptionError(message)
        weights = _weights(folder, inner)
        tokenizer = inner + "tokenizer.json"
        pictures = inner + "preprocessor_config.json"
        limits = [MAX_TOKENS]
        for name, key in (
            ("tokenizer_config.json", "model_max_length"),
            ("sentence_bert_config.json", "max_seq_length"),
        ):
            if folder.has(inner + name):
                limits.append(_count(folder.settings(inner + name).get(key)))
        return cls(
            path,
            _plain(config),
            weights,
            folder.has(tokenizer),
            folder.settings(pictures) if folder.has(pictures) else {},
            min(limits),
            pooling,
            normalized,
            (*folder.read, *weights, *([tokenizer] if folder.has(tokenizer) else [])),
        )

    def content(self, name: str, most: int) -> bytes:
        """A file of the folder.

        Raises:
            OptionError: it cannot be read, or is longer.
        """
        return _Reader(Path(self.path)).content(name, most)

    @property
    def tokenizer_file(self) -> str:
        """Name of the tokenizer's file."""
        return next(name for name in self.read if name.rpartition("/")[2] == "tokenizer.json")

    def digest(self) -> str:
        """Digest of all files that are used."""
        digest = hashlib.sha256()
        for name in self.read:
            with os.fdopen(hold(os.path.join(self.path, name)), "rb") as stream:  # noqa: PTH118
                digest.update(hashlib.file_digest(stream, "sha256").digest())
        return digest.hexdigest()


@dataclass(slots=True)
class _Reader:
    """Reads files of a folder.

    Attributes:
        folder: where they are.
        read: names of the settings that were read.
    """

    folder: Path
    read: list[str] = field(default_factory=list)

    def has(self, name: str) -> bool:
        return (self.folder / name).is_file()

    def content(self, name: str, most: int) -> bytes:
        file = self.folder / name
        try:
            with os.fdopen(hold(os.fspath(file)), "rb") as stream:
                content = stream.read(most + 1)
        except OSError as error:
            message = f"{quote(os.fspath(file))} cannot be read: {error.strerror or error}"
            raise OptionError(message) from error
        if len(content) > most:
            message = f"{quote(os.fspath(file))} has more than {most:,} bytes"
            raise OptionError(message)
        return content

    def parsed(self, name: str) -> Any:
        """A file of settings, whatever it holds."""
        self.read.append(name)
        try:
            return json.loads(self.content(name, MAX_SETTINGS))
        except (ValueError, RecursionError) as error:
            if isinstance(error, OptionError):
                raise
            message = f"{quote(os.fspath(self.folder / name))} is no JSON: {quote(error, 200)}"
            raise OptionError(message) from None

    def settings(self, name: str) -> dict[str, Any]:
        """A file of settings that is an object."""
        found = self.parsed(name)
        if not isinstance(found, dict):
            message = f"{quote(os.fspath(self.folder / name))} is no object"
            raise OptionError(message)
        return found


def _modules(folder: _Reader) -> tuple[str, str, bool]:
    """Of sentence-transformers: where the network is, how it pools, whether it normalizes.

    Raises:
        OptionError: there is a module that is not known.
    """
    if not folder.has("modules.json"):
        return "", "mean", False
    listed = folder.parsed("modules.json")
    kinds, places = [], []
    for module in listed if isinstance(listed, list) else [None]:
        about = module if isinstance(module, dict) else {}
        kind, place = str(about.get("type", "")), str(about.get("path", ""))
        own = kind.startswith("sentence_transformers.") and kind.rpartition(".")[2] in _MODULES
        if not own or (place and not _NAME.fullmatch(place)) or place.lower() in IGNORED:
            known = ", ".join(_MODULES)
            message = (
                f"{quote(os.fspath(folder.folder))} has a module {quote(kind, 100)};"
                f" only {known} of sentence-transformers are known"
            )
            raise OptionError(message)
        kinds.append(kind.rpartition(".")[2])
        places.append(f"{place}/" if place else "")
    if kinds[:2] != ["Transformer", "Pooling"] or kinds[2:] not in ([], ["Normalize"]):
        message = (
            f"{quote(os.fspath(folder.folder))} is made of {', '.join(kinds) or 'nothing'}, not of"
            " Transformer, Pooling and perhaps Normalize"
        )
        raise OptionError(message)
    return places[0], _pooling(folder, places[1] + "config.json"), len(kinds) > 2


def _pooling(folder: _Reader, name: str) -> str:
    """How vectors of tokens become one; written as a word since sentence-transformers 5.

    Raises:
        OptionError: in a way that is not supported, or in several.
    """
    settings = folder.settings(name)
    old = [key for key, on in settings.items() if key.startswith("pooling_mode_") and on is True]
    said = settings.get("pooling_mode")
    for pooling, key in _POOLINGS.items():
        if said in (pooling, [pooling]) or (said is None and old == [key]):
            return pooling
    message = (
        f"{quote(os.fspath(folder.folder / name))}: the mean and the first token are supported, not"
        f" {quote(said or ', '.join(old), 200)}"
    )
    raise OptionError(message)


def _weights(folder: _Reader, inner: str) -> tuple[str, ...]:
    """Names of the files of weights.

    Raises:
        OptionError: there are none in safetensors.
    """
    index = inner + _WEIGHTS + ".index.json"
    if folder.has(inner + _WEIGHTS):
        return (inner + _WEIGHTS,)
    if not folder.has(index):
        message = (
            f"{quote(os.fspath(folder.folder))} holds no {_WEIGHTS}; weights in other files, such"
            " as pickles, are not loaded: save them with"
            " save_pretrained(..., safe_serialization=True)"
        )
        raise OptionError(message)
    listed = folder.settings(index).get("weight_map")
    names = sorted(set(map(str, listed.values()))) if isinstance(listed, dict) else []
    if not names or not all(
        _NAME.fullmatch(name) and name.endswith(".safetensors") and folder.has(inner + name)
        for name in names
    ):
        message = f"{quote(os.fspath(folder.folder / index))} names files that are not there"
        raise OptionError(message)
    return tuple(inner + name for name in names)


def _walk(value: Any, depth: int = 0) -> Iterator[dict[str, Any]]:
    """All objects in a value.

    Raises:
        OptionError: they are too deep.
    """
    if depth > MAX_DEPTH:
        raise OptionError("the settings of the model are nested too deep")
    if isinstance(value, dict):
        yield value
    elif not isinstance(value, list):
        return
    for inner in value.values() if isinstance(value, dict) else value:
        yield from _walk(inner, depth + 1)


def _mentions(config: dict[str, Any], key: str) -> bool:
    return any(found.get(key) for found in _walk(config))


def _plain(value: Any) -> Any:
    """Settings without those that say by which code, perhaps fetched, the model is computed."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _plain(inner)
        for key, inner in value.items()
        if not key.startswith("_") and "implementation" not in key and key not in _KERNELS
    }


def _count(value: object) -> int:
    """A number of tokens; the most that is used where none is said."""
    return value if isinstance(value, int) and value > 0 else MAX_TOKENS

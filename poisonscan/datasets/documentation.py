"""Pictures that show what a model or a dataset is about, and are not rows of one."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from poisonscan.formats.base import TableFile

FEW = 100
"""From so many files on, a folder is looked at whatever stands beside it."""
_FOLDERS = frozenset({
    "assets", "asset", "docs", "doc", "figures", "figure", "figs", "fig", "images", "img", "imgs",
    "media", "static", "screenshots", "resources", "logo", "logos", "icons", "examples", "example",
    "samples", "sample", "demo", "demos", "plots", "pics", "pictures", ".github", "thumbnails",
})  # fmt: skip
"""Folders in which people keep pictures for a README."""
_MODELS = (
    ".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf", ".onnx", ".h5", ".keras", ".tflite",
    ".msgpack", ".pb", ".pkl", ".joblib",
)  # fmt: skip
_SETTINGS = frozenset({
    "config.json", "model_index.json", "tokenizer_config.json", "adapter_config.json",
    "preprocessor_config.json", "generation_config.json", "setup.py", "pyproject.toml",
})  # fmt: skip
_README = "readme.md"


def documented_folders(paths: Iterable[str], datasets: Collection[PurePosixPath]) -> set[str]:
    """Folders that hold a README, a model or a program.

    Args:
        paths: of all files.
        datasets: folders whose README is one of a dataset: it does not count.
    """
    out = set()
    for path in paths:
        pure = PurePosixPath(path)
        name = pure.name.lower()
        model = name.endswith(_MODELS) or name in _SETTINGS
        if model or (name == _README and pure.parent not in datasets):
            out.add(str(pure.parent))
    return out


def is_documentation(
    root: str, files: Sequence[TableFile], documented: Collection[str], *, classes: bool
) -> bool:
    """Whether pictures or recordings are there to be looked at by people.

    They are when they are few, and stand beside a README, a model or a program, or below it in
    a folder of the kind that people keep such pictures in.

    Args:
        root: the folder of the dataset that they would be.
        files: its files.
        documented: folders with a README or a model.
        classes: whether there are class folders.
    """
    if len(files) >= FEW:
        return False
    folders = {PurePosixPath(file.path).parent for file in files}
    if not classes and root in documented and all(str(f) in documented for f in folders):
        return True
    return all(_kept_for_readme(folder, documented) for folder in folders)


def _kept_for_readme(folder: PurePosixPath, documented: Collection[str]) -> bool:
    for part in (folder, *folder.parents):
        if part.name.lower() in _FOLDERS and str(part.parent) in documented:
            return True
    return False

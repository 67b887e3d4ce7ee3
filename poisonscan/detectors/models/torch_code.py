"""TorchScript and exported programs that reach beyond tensors.

The language of TorchScript has operators that read and write files and call other machines, and
``weights_only`` does not stand in their way: they run with the model. Size expressions of an
exported program are evaluated as it is loaded (``sympy.sympify``, which uses ``eval``), and its
targets are looked up in Python's modules by name (``torch/_export/serde/serialize.py``).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import ClassVar, Final

from poisonscan.detectors.models.pickle_verdicts import dangerous
from poisonscan.escape import quote
from poisonscan.finding import Finding, Gap, Location
from poisonscan.formats.base import Artifact, Graph, Operator, Script
from poisonscan.formats.torch_archive import EXPORTED, EXPRESSION, GUARD, MOBILE, TORCHSCRIPT
from poisonscan.pickles.values import Global
from poisonscan.rules import pickle_names, rule

# Operators of torch and its own extensions, by namespace; a star is all that begin so.
_ACTS: Final = {
    "aten": {
        "from_file": "reads and writes files as tensors",
        "save": "writes a file",
        "load": "reads a file",
    },
    "prim": {
        "rpc_*": "calls functions on other machines",
        "PythonOp": "calls Python functions",
        "IgnoredPythonOp": "calls Python functions",
    },
    "image": {"read_file": "reads files", "write_file": "writes files"},
    "video_reader": {"*_from_file": "reads files", "probe_video_from_file": "reads files"},
    "torchaudio": {"sox_io_*": "reads and writes files", "sox_effects_*_file": "reads files"},
    "c10d": {"*": "sends tensors to other machines"},
}
_ACTING_CLASSES: Final = {
    "dist_rpc": "calls functions on other machines",
    "dist_c10d": "opens network connections",
    "torchaudio": "reads files and opens network connections",
    "torchvision": "reads video files",
}
# Namespaces of operators that compute, of torch and of the libraries that most models use.
_KNOWN: Final = frozenset({
    "aten", "prim", "prims", "quantized", "_quantized", "quantization", "mkldnn", "mkl", "onednn",
    "mkldnn_prepacked", "prepacked", "sparse", "static_runtime", "torchvision", "image",
    "video_reader", "torchaudio", "torchtext", "detectron2", "xnnpack", "metal", "metal_prepack",
    "vulkan_prepack", "inductor", "inductor_prims", "_c10d_functional", "profiler", "export",
    "higher_order", "quantized_decomposed", "torch_sparse", "torch_scatter", "torch_cluster",
    "torch_spline_conv", "pyg", "fbgemm", "fb", "internal", "c10d", "rngprims", "onnx", "dim",
    "symm_mem", "_dtensor", "_c10d_functional_autograd", "coreml", "custom", "neuron", "tensorrt",
})  # fmt: skip
_STRING: Final = re.compile(
    r'"""(?:[^\\]|\\.)*?"""|"(?:[^"\\\n]|\\.)*+"|\'(?:[^\'\\\n]|\\.)*+\'|#[^\n]*+', re.DOTALL
)
_DOT: Final = r"\s*\.\s*"
_OPERATOR: Final = re.compile(
    rf"(?<![\w.])(?:torch{_DOT}ops|ops){_DOT}(\w+){_DOT}(\w+)"
    rf"|(?<![\w.])(?:torch{_DOT}ops{_DOT}aten|torch|aten){_DOT}(\w+)"
)
_CLASS: Final = re.compile(rf"(?<!\w)torch{_DOT}classes{_DOT}(\w+)")
_PYTHON: Final = re.compile(r"(?<![\w.)\]\s])\s*\^\s*([A-Za-z_]\w*)\s*\(", re.MULTILINE)
_REMOTE: Final = re.compile(r"(?<![\w.])(rpc_sync|rpc_async|remote)\s*\(")
_LOOKUP: Final = re.compile(r"(?<![\w.])getattr\s*\(\s*(?:torch|ops|aten)\b")
_EVALUATED: Final = re.compile(
    r"__\w+__"
    r"|\b(?:eval|exec|compile|open|getattr|setattr|globals|locals|vars|breakpoint|input|type)\s*\("
    r"|\b(?:os|sys|subprocess|socket|shutil|builtins|importlib|ctypes|pty)\s*\."
    r"|\b(?:import|lambda|system|popen)\b"
)
# An expression is names, numbers and calls; only a guard reaches into what it is given.
_ATTRIBUTE: Final = re.compile(r"[A-Za-z_)\]'\"]\s*\.\s*[A-Za-z_]")


class TorchCode:
    """Rule PS123."""

    reads: ClassVar[tuple[type[Artifact], ...]] = (Script, Graph)

    def check(self, artifact: Script | Graph) -> Iterator[Finding | Gap]:
        """One finding for each operator that acts, a gap for operators of unknown libraries."""
        if isinstance(artifact, Script):
            found = _script(artifact) if artifact.language == TORCHSCRIPT else {}
        elif artifact.format in (MOBILE, EXPORTED):
            found = dict(_graph(artifact))
        else:
            return
        for name, why in found.items():
            if why:
                yield rule("PS123").finding(
                    Location(artifact.path),
                    f"The model's code uses {quote(name[:200])}, which {why}.",
                    key=name,
                    name=name[:200],
                )
        unknown = sorted({name.split("::")[0] for name, why in found.items() if not why})
        if unknown:
            listed = ", ".join(map(quote, unknown[:10]))
            yield Gap(artifact.path, f"operators of {listed} are not known: read that library")


def _script(artifact: Script) -> dict[str, str]:
    """Operators that act, with what they do, and unknown ones with nothing."""
    code = _STRING.sub('""', artifact.text)
    found: dict[str, str] = {}
    for match in _OPERATOR.finditer(code):
        domain, name = (match[1], match[2]) if match[1] else ("aten", match[3])
        _judge(Operator(domain, name), found)
    for match in _CLASS.finditer(code):
        if match[1] in _ACTING_CLASSES:
            found[f"torch.classes.{match[1]}"] = _ACTING_CLASSES[match[1]]
    for match in _PYTHON.finditer(code):
        found[f"^{match[1]}"] = "calls a Python function"
    for match in _REMOTE.finditer(code):
        found[match[1]] = "calls functions on other machines"
    if _LOOKUP.search(code):
        found["getattr(torch, …)"] = "looks an operator up by name, which compilers never write"
    return found


def _judge(operator: Operator, found: dict[str, str]) -> None:
    name = operator.name.partition(".")[0]
    for pattern, why in _ACTS.get(operator.domain, {}).items():
        start, star, end = pattern.partition("*")
        if name == pattern or (star and name.startswith(start) and name.endswith(end)):
            found[f"{operator.domain}::{name}"] = why
            return
    if operator.domain not in _KNOWN:
        found.setdefault(f"{operator.domain}::", "")


def _graph(artifact: Graph) -> Iterator[tuple[str, str]]:
    """Names and reasons, in the order of the file."""
    for operator in artifact.operators:
        if operator.domain in (EXPRESSION, GUARD):
            text = operator.name
            odd = operator.domain == EXPRESSION and _ATTRIBUTE.search(text)
            if odd or _EVALUATED.search(text):
                yield text, "is evaluated as Python when the program is loaded"
        elif artifact.format == MOBILE:
            found: dict[str, str] = {}
            _judge(operator, found)
            yield from found.items()
        else:
            yield from _target(operator.name)


def _target(target: str) -> Iterator[tuple[str, str]]:
    parts = target.split(".")
    if parts[:2] == ["torch", "ops"] and len(parts) > 3:
        found: dict[str, str] = {}
        _judge(Operator(parts[2], parts[3]), found)
        yield from found.items()
    elif parts[0] in ("torch", "math", "_operator") and len(parts) > 1:
        why = dangerous(Global(parts[0], ".".join(parts[1:])), pickle_names())
        if why:
            yield target, why


DETECTOR: Final = TorchCode()

"""Verdicts over names that a Keras document refers to: Keras's own, unknown, or dangerous.

Keras makes what a document names: up to 3.8 it imports any module for that (CVE-2025-1550); later
it takes any public name of Keras, among them functions that download or save (CVE-2025-8747).
"""

from __future__ import annotations

import functools
import re
import sys
from dataclasses import dataclass
from typing import Final

from poisonscan.detectors.models.pickle_verdicts import dangerous
from poisonscan.pickles.values import Global
from poisonscan.rules import folder, pickle_names, read_yaml

RUNS: Final = "runs"
UNKNOWN: Final = "unknown"

KERAS: Final = frozenset({"keras", "tf_keras", "keras_core", "keras_hub", "keras_cv", "keras_nlp"})
"""Packages of the Keras team, whose classes ``rules/keras.yaml`` lists."""

_COMPUTING: Final = frozenset({
    "activations", "applications", "backbones", "constraints", "dtype_policies", "initializers",
    "layers", "losses", "metrics", "mixed_precision", "models", "nn", "ops", "optimizers",
    "quantizers", "random", "regularizers", "tokenizers",
})  # fmt: skip
"""Parts of Keras that later versions may add something harmless to."""
_LOADERS: Final = re.compile(r"load|save|from_json|from_config|from_preset|clone|export|file")
_VALUES: Final = re.compile(r"__\w+__|TensorShape|TypeSpec|CompositeTensor|Dimension")
"""Values that Keras writes in the form of objects (``keras.saving.serialization_lib``)."""
_OPTIMIZERS: Final = frozenset({
    "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "Ftrl", "Lion", "Nadam",
    "RMSprop", "SGD",
})  # fmt: skip
"""Optimizers of Keras 2.11 to 2.15, which registered its own in the package ``Custom``."""
_LAYERS_THAT_LOAD: Final = {
    "TFSMLayer": "loads a TensorFlow SavedModel from the path that the file names",
    "TorchModuleWrapper": "unpickles a torch module with torch.load",
}
_TENSORFLOW_RUNS: Final = re.compile(
    r"py_func|numpy_function|load_(op_)?library|(^|\.)io\.(?!decode|parse|encode)|(^|\.)gfile"
    r"|(read|write|load|save|restore|matching)_?(v2_?)?(file|model|weights|variables)"
    r"|ReadFile|WriteFile|MatchingFiles|PyFunc|SaveV2|RestoreV2|SaveSlices|Dataset"
    r"|(^|\.)saved_model\b|(^|\.)summary\.|(^|\.)train\.|(^|\.)data\.|(^|\.)distribute\."
    r"|(^|\.)keras\.(utils|models|saving|config)\b",
)
_TENSORFLOW_UNKNOWN: Final = re.compile(r"(^|\.)raw_ops\.|(^|\.)print$|PrintV2|function$|Module$")


@dataclass(frozen=True, slots=True)
class KerasNames:
    """Names of Keras's own: of classes, and of functions that only compute."""

    classes: frozenset[str]
    functions: frozenset[str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What it comes to, ``RUNS`` or ``UNKNOWN``, and why: the end of a sentence about the name."""

    kind: str
    why: str


@functools.cache
def keras_names() -> KerasNames:
    """The list in ``rules/keras.yaml``."""
    content = read_yaml(folder() / "keras.yaml")
    return KerasNames(frozenset(content["classes"]), frozenset(content["functions"]))


def tail(name: str) -> str:
    """A name without the package that registered it and without modules: ``mine>a.B`` is ``B``."""
    return name.rpartition(">")[2].rpartition(".")[2]


def judge(module: str | None, name: str) -> Verdict | None:
    """What it means that a document names an object; None if it is Keras's own and only computes.

    Args:
        module: where the document says that it is; None in documents before Keras 3, and for what
            user code registered.
        name: of the class or function.
    """
    if _VALUES.fullmatch(name):
        return None
    if tail(name) in _LAYERS_THAT_LOAD:
        return Verdict(RUNS, _LAYERS_THAT_LOAD[tail(name)])
    root = (module or "").partition(".")[0]
    if not module:
        own = keras_names().classes | keras_names().functions
        return None if ">" not in name and name in own else _registered(name)
    if root in KERAS or _is_tensorflow_keras(module):
        return _judge_keras(f"{module}.{name}")
    if root == "tensorflow":
        return judge_tensorflow(f"{module}.{name}", internal=True)
    return judge_foreign(module, name)


def judge_foreign(module: str, name: str) -> Verdict | None:
    """What it means to name something outside of Keras and TensorFlow."""
    root = module.partition(".")[0]
    if root == "builtins" and tail(name) in keras_names().functions | keras_names().classes:
        return None  # how Keras 3 writes its own functions
    why = dangerous(Global(module, name), pickle_names())
    if why:
        return Verdict(RUNS, why)
    own = root == "__main__" or _is_custom_builtin(root, name)
    if root in sys.stdlib_module_names and not own:
        return Verdict(RUNS, "is in Python's own library, where no part of a model is")
    return Verdict(UNKNOWN, "is not Keras's own; Keras up to 3.8 imports the module to find it")


def judge_tensorflow(symbol: str, *, internal: bool = False) -> Verdict | None:
    """What calling a function or operation of TensorFlow means.

    Args:
        symbol: as ``tf.`` has it (``math.add``), an operation (``AddV2``), or a full name.
        internal: whether it is a full name within TensorFlow's modules.
    """
    if _TENSORFLOW_RUNS.search(symbol):
        return Verdict(RUNS, "reads, writes or runs something outside of the model")
    if _TENSORFLOW_UNKNOWN.search(symbol):
        return Verdict(UNKNOWN, "may do more than compute")
    if internal and tail(symbol) not in keras_names().functions | keras_names().classes:
        harmless = symbol.endswith("Spec") or ".ops." in symbol or ".nn" in symbol
        return None if harmless else Verdict(UNKNOWN, "is not known to be a part of models")
    return None


def _is_custom_builtin(root: str, name: str) -> bool:
    """Whether this is a function of the user's: Keras up to 3.6 wrote ``builtins`` for all."""
    import builtins

    return root == "builtins" and not hasattr(builtins, name)


def _is_tensorflow_keras(module: str) -> bool:
    return module.startswith("tensorflow.") and "keras" in module.split(".")


def _judge_keras(dotted: str) -> Verdict | None:
    module, _, name = dotted.rpartition(".")
    names = keras_names()
    if name in names.classes:
        return None
    parts = set(module.split("."))
    computes = not parts.isdisjoint(_COMPUTING) and parts.isdisjoint({"utils", "saving", "config"})
    if name in names.functions and (computes or module in KERAS):
        return None
    if computes and not _LOADERS.search(name):
        return Verdict(UNKNOWN, "is in none of the Keras versions that are known here")
    return Verdict(RUNS, "is a function of Keras that does more than compute")


def _registered(name: str) -> Verdict | None:
    package, _, own = name.rpartition(">")
    if package.partition(".")[0] in KERAS and own in keras_names().classes:
        return None
    if package == "Custom" and own in _OPTIMIZERS:
        return None
    return Verdict(UNKNOWN, "is not Keras's own: it must be defined by code that comes with it")

"""Networks of transformers in memory: loaded from numbers and settings, and asked for a layer.

The classes are those of the library itself. They are given settings and tensors that were read
here, never the folder: so no code of it, no pickle and no adapter is loaded, and nothing is asked
of a server.
"""

from __future__ import annotations

import contextlib
import functools
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from poisonscan.datasets.errors import OptionError
from poisonscan.datasets.model_folder import MAX_TOKENIZER, ModelFolder
from poisonscan.escape import quote

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray

    from poisonscan.datasets.text_form import TextBatch

MAX_PARAMETERS: Final = 500_000_000
"""Numbers of a network: 2 GB as ``float32``, half of what a process may allocate."""
_TOWERS: Final = {"pictures": "vision_model", "texts": "text_model"}
"""Parts of networks for both, such as CLIP."""
_INPUTS: Final = {"pixel_values": "pictures", "input_ids": "texts"}
_POOLER: Final = "pooler."
"""Weights that many folders lack, and that are not used."""


class Loaded:
    """A network in memory.

    Args:
        folder: where it is from.
        layer: what is read of it.
        device: ``cpu`` or ``cuda``.
    """

    def __init__(self, folder: ModelFolder, layer: str, device: str) -> None:
        self.folder = folder
        self.layer = layer
        self.device = device
        network = _network(folder, layer)
        network.train(mode=False).requires_grad_(requires_grad=False).to(device)
        self.parts = _parts(network, folder)
        self.tokenizer: Any = _tokenizer(folder) if "texts" in self.parts else None
        if self.tokenizer is not None:
            words = self.tokenizer.get_vocab(with_added_tokens=True)
            _check_tokens(max(words.values(), default=0), self.parts["texts"], folder.path)

    def pictures(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Vectors of pictures, of shape (pictures, numbers).

        Vectors of places are averaged: those of patches, or of what stands behind channels.
        """
        import torch

        given = {"pixel_values": torch.from_numpy(values).to(self.device)}
        found = self._ask("pictures", given)
        if found.ndim == 4:
            found = found.mean(dim=(2, 3))
        elif found.ndim == 3:
            found = found.mean(dim=1)
        return _array(found)

    def texts(self, batch: TextBatch) -> NDArray[np.float32]:
        """Vectors of texts, of shape (texts, numbers)."""
        import torch

        self.tokenizer.enable_truncation(batch.form.tokens)
        cut = self.tokenizer.encode_batch(batch.texts)
        ids = torch.tensor([each.ids for each in cut])
        _check_tokens(int(ids.max()), self.parts["texts"], self.folder.path)
        mask = torch.tensor([each.attention_mask for each in cut])
        given = {"input_ids": ids.to(self.device), "attention_mask": mask.to(self.device)}
        found = self._ask("texts", given)
        if found.ndim == 3:
            if batch.form.pooling == "cls":
                found = found[:, 0]
            else:
                mask = given["attention_mask"].unsqueeze(-1).to(found.dtype)
                found = (found * mask).sum(dim=1) / mask.sum(dim=1)
        if batch.form.normalized:
            found = torch.nn.functional.normalize(found, dim=1)
        return _array(found)

    def refuses(self, tokens: int) -> str:
        """Why the network does not run on so many tokens, whatever they are; empty if it does.

        Raises:
            OptionError: there is no such layer.
        """
        import torch

        # The last one that is no padding: some give positions to these only.
        last = _vocabulary(self.parts["texts"]) - 1
        token = last - (last == self.tokenizer.padding["pad_id"])
        ids = torch.full((1, tokens), token, device=self.device)
        try:
            self._ask("texts", {"input_ids": ids, "attention_mask": torch.ones_like(ids)})
        except OptionError:
            raise
        except failures() as error:
            return quote(error, 300)
        return ""

    def _ask(self, kind: str, given: dict[str, Any]) -> Any:
        """The tensor that is read."""
        import torch

        part, kept = self.parts[kind], []
        number = _number(self.layer)
        with contextlib.ExitStack() as stack:
            stack.enter_context(torch.inference_mode())
            if self.layer and number is None:
                hook = _module(part, self.layer).register_forward_hook(
                    lambda _module, _given, found: kept.append(found)
                )
                stack.callback(hook.remove)
            wanted = {} if number is None else {"output_hidden_states": True}
            answer = part(**given, **wanted, return_dict=True)
        if number is not None:
            states = getattr(answer, "hidden_states", None) or ()
            if not -len(states) <= number < len(states):
                message = f"there are {len(states)} hidden states, and no number {number}"
                raise OptionError(message)
            return states[number]
        found = kept[-1] if kept else answer.last_hidden_state
        found = found[0] if isinstance(found, tuple | list) else found
        if not isinstance(found, torch.Tensor):
            found = next(value for value in found.values() if isinstance(value, torch.Tensor))
        return found


def _array(found: Any) -> NDArray[np.float32]:
    array: NDArray[np.float32] = found.float().cpu().numpy()
    return array.reshape(len(array), -1)


def _number(layer: str) -> int | None:
    """Of a hidden state; None where a layer is a name."""
    return int(layer) if layer.removeprefix("-").isdecimal() and len(layer) < 6 else None


def _module(part: Any, layer: str) -> Any:
    """A module of a network by name.

    Raises:
        OptionError: there is none.
    """
    found = dict(part.named_modules()).get(layer)
    if found is None or not layer:
        names = [name for name, _ in part.named_children()]
        message = (
            f"there is no layer {quote(layer, 60)}: name a hidden state by its number, or a module"
            f" of the network, such as {', '.join(quote(name, 40) for name in names[:8])}"
        )
        raise OptionError(message)
    return found


def failures() -> tuple[type[Exception], ...]:
    """What wrong settings and tensors make the libraries raise."""
    from huggingface_hub.errors import StrictDataclassError
    from safetensors import SafetensorError

    return (
        OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError,
        ArithmeticError, AssertionError, ImportError, MemoryError, StopIteration,
        SafetensorError, StrictDataclassError,
    )  # fmt: skip


@functools.lru_cache(maxsize=2)
def loaded(path: str, layer: str, device: str) -> Loaded:
    """A loaded network, once in each process and for each device; torch has one thread then.

    Raises:
        OptionError: libraries are missing, or the folder cannot be used.
    """
    folder = ModelFolder.open(path)
    try:
        import tokenizers  # noqa: F401 - all that is needed, before anything is done
        import torch
        import transformers  # noqa: F401
    except ImportError as error:
        message = (
            f"folders of transformers are run by torch, and {quote(error.name or error, 40)} is not"
            " installed: pip install 'poisonscan[torch]'"
        )
        raise OptionError(message) from error
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # it would warn of forks
    torch.set_num_threads(1)  # a process forked from one that had more would wait for ever
    try:
        with _silence(), _offline():
            return Loaded(folder, layer, device)
    except OptionError:
        raise
    except failures() as error:
        message = f"{quote(path)} cannot be loaded: {quote(error, 300)}"
        raise OptionError(message) from None


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Within, transformers writes nothing: it would show what the folder says."""
    from transformers.utils import logging

    before, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity(logging.CRITICAL)
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(before)
        if bars:
            logging.enable_progress_bar()


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """Within, nothing asks the Hub, whatever the settings of a network would have fetched."""
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = True
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before


def _network(folder: ModelFolder, layer: str) -> Any:
    """The network without what stands on its last hidden state.

    Args:
        folder: where it is from.
        layer: what is read of it.

    Raises:
        OptionError: it is of no kind that the library has, too large, or lacks weights.
    """
    import torch
    from safetensors.torch import load_file
    from transformers import CONFIG_MAPPING, MODEL_MAPPING

    kind = folder.config.get("model_type")
    if not isinstance(kind, str) or kind not in CONFIG_MAPPING:
        message = (
            f"{quote(folder.path)} holds a model of type {quote(kind, 60)}, which this version of"
            " transformers has no code for; code of its own is never run"
        )
        raise OptionError(message)
    tensors: dict[str, Any] = {}
    for name in folder.weights:
        tensors |= load_file(Path(folder.path, name))
    parameters = sum(tensor.numel() for tensor in tensors.values())
    if parameters > MAX_PARAMETERS:
        message = (
            f"{quote(folder.path)} has {parameters:,} numbers, more than {MAX_PARAMETERS:,}: run it"
            " yourself, and give what it says with --activations"
        )
        raise OptionError(message)
    config = CONFIG_MAPPING[kind].from_dict(dict(folder.config))
    known = MODEL_MAPPING[type(config)]
    network, told = (known[0] if isinstance(known, tuple) else known).from_pretrained(
        None, config=config, state_dict=tensors, dtype=torch.float32, attn_implementation="eager",
        output_loading_info=True,
    )  # fmt: skip
    unused = _POOLER if "pooler" not in layer else "\0"
    lacking = sorted(name for name in told["missing_keys"] if unused not in name)
    lacking += [str(each[0]) for each in told["mismatched_keys"]]
    if lacking or told["error_msgs"]:
        message = (
            f"{quote(folder.path)} lacks weights, which would be random:"
            f" {', '.join(quote(name, 60) for name in lacking[:3])}, {len(lacking):,} in all"
        )
        raise OptionError(message)
    return network


def _parts(network: Any, folder: ModelFolder) -> dict[str, Any]:
    """What is given pictures, and what texts."""
    towers = {
        kind: getattr(network, name) for kind, name in _TOWERS.items() if hasattr(network, name)
    }
    if len(towers) < 2:
        if getattr(network.config, "is_encoder_decoder", False):
            network = network.get_encoder()
        kind = _INPUTS.get(network.main_input_name, "")
        towers = {kind: network} if kind else {}
    if "texts" in towers and not folder.tokenizer:
        if len(towers) == 1:
            message = (
                f"{quote(folder.path)} takes texts, and holds no tokenizer.json (slow tokenizers"
                " are not supported: save a fast one with save_pretrained)"
            )
            raise OptionError(message)
        del towers["texts"]
    return towers


def _tokenizer(folder: ModelFolder) -> Any:
    """The tokenizer, which fills up shorter texts on the right.

    Raises:
        OptionError: it cannot be read.
    """
    from tokenizers import Tokenizer

    content = folder.content(folder.tokenizer_file, MAX_TOKENIZER)
    try:
        tokenizer = Tokenizer.from_buffer(content)
    except ValueError as error:
        message = f"{quote(folder.path)}: tokenizer.json cannot be read: {quote(error, 200)}"
        raise OptionError(message) from None
    config = folder.config.get("text_config", folder.config)
    padding = config.get("pad_token_id") if isinstance(config, dict) else None
    tokenizer.enable_padding(pad_id=padding if isinstance(padding, int) and padding >= 0 else 0)
    return tokenizer


def _vocabulary(part: Any) -> int:
    """How many tokens a network has vectors for."""
    return int(part.get_input_embeddings().num_embeddings)


def _check_tokens(most: int, part: Any, path: str) -> None:
    """A token that the network has no vector for would end a process that uses a GPU.

    Args:
        most: the largest token.
        part: the network.
        path: of its folder.

    Raises:
        OptionError: it is too large.
    """
    known = _vocabulary(part)
    if most >= known:
        message = f"{quote(path)}: the tokenizer has token {most}, the network {known:,} of them"
        raise OptionError(message)

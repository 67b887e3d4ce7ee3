"""Networks in folders of transformers, run by torch.

It is no dependency of the package: ``pip install 'poisonscan[torch]'``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from poisonscan.datasets.errors import OptionError
from poisonscan.datasets.loaded_torch import failures, loaded
from poisonscan.datasets.model_folder import ModelFolder
from poisonscan.datasets.picture_form import PictureForm
from poisonscan.datasets.text_form import TextBatch, TextForm
from poisonscan.escape import quote
from poisonscan.plural import plural

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from poisonscan.datasets.loaded_torch import Loaded
    from poisonscan.datasets.own_model import OwnModel


@dataclass(frozen=True, slots=True)
class TorchRunner:
    """A network in a folder of transformers.

    Attributes:
        model: the folder, and the layer that is read.
        threads: of torch when rows are looked at, which is done in processes of their own.
    """

    model: OwnModel
    threads: int = 1

    @property
    def name(self) -> str:
        """Which layer is read, for people."""
        layer = self.model.layer
        what = "last hidden state" if layer in ("", "-1") else f"layer {quote(layer, 60)}"
        return f"{what} of {quote(self.model.name, 100)}"

    def forms(self) -> tuple[PictureForm | TextForm, ...]:
        """What it takes.

        Raises:
            OptionError: libraries are missing, the folder cannot be used, or it takes neither
                pictures nor texts.
        """
        network = self._loaded("cpu")
        found: list[PictureForm | TextForm] = []
        if "pictures" in network.parts:
            found.append(self._picture_form(network))
        if "texts" in network.parts:
            found.append(self._text_form(network))
        if not found:
            message = f"{quote(self.model.file)} takes neither pictures nor texts"
            raise OptionError(message)
        return tuple(found)

    def run(self, values: Any, device: str) -> NDArray[np.float32]:
        """What the network gives, ``float32`` of shape (rows, numbers).

        Args:
            values: as its form gives them.
            device: ``cpu`` or ``cuda``.
        """
        import torch

        network = self._loaded(device)
        torch.set_num_threads(self.threads)
        return network.texts(values) if isinstance(values, TextBatch) else network.pictures(values)

    def no_cuda(self) -> str:
        """Why CUDA cannot be used; empty if it may be."""
        import torch

        # That there is a GPU shows in another process: who asks can no longer be forked.
        return "" if torch.backends.cuda.is_built() else "this torch is made without it"

    def about(self) -> tuple[str, ...]:
        """What its vectors depend on: the files that are used, and the libraries."""
        import tokenizers
        import torch
        import transformers

        versions = (torch.__version__, transformers.__version__, tokenizers.__version__)
        return "torch", *versions, ModelFolder.open(self.model.file).digest()

    def failures(self) -> tuple[type[Exception], ...]:
        """What torch and transformers raise."""
        return failures()

    def _loaded(self, device: str) -> Loaded:
        return loaded(self.model.file, self.model.layer, device)

    def _picture_form(self, network: Loaded) -> PictureForm:
        config, said = network.parts["pictures"].config, network.folder.pictures
        sides = _sides(getattr(config, "image_size", None))
        if sides == (None, None):
            sides = _sides(said.get("crop_size" if said.get("do_center_crop") else "size"))
        scaled = said.get("do_normalize", "image_mean" in said)
        return PictureForm.of(
            self.model,
            sides if self.model.size is None else (None, None),
            getattr(config, "num_channels", 3),
            mean=_numbers(said.get("image_mean") if scaled else None, (0.0,)),
            std=_numbers(said.get("image_std") if scaled else None, (1.0,)),
        )

    def _text_form(self, network: Loaded) -> TextForm:
        """How many tokens it takes is tried: some count positions from behind that of padding."""
        folder, config = network.folder, network.parts["texts"].config
        positions = getattr(config, "max_position_embeddings", None)
        tokens = min(folder.tokens, positions if isinstance(positions, int) else folder.tokens)
        form = TextForm(max(1, tokens), folder.pooling, folder.normalized)
        reserved = (getattr(config, "pad_token_id", None) or 0) + 1
        fewer = replace(form, tokens=max(1, form.tokens - reserved))
        for each in (form, fewer):
            why = network.refuses(each.tokens)
            if not why:
                return each
        asked = plural(fewer.tokens, "token")
        message = f"{quote(self.model.file)} does not run on {asked}: {why}"
        raise OptionError(message)


def _sides(size: Any) -> tuple[object, object]:
    """Height and width of what settings call a size; None where they do not say."""
    if isinstance(size, dict):
        if "shortest_edge" in size:
            return size["shortest_edge"], size["shortest_edge"]
        return size.get("height"), size.get("width")
    if isinstance(size, list | tuple) and len(size) == 2:
        return size[0], size[1]
    return (size, size) if isinstance(size, int) else (None, None)


def _numbers(said: Any, usual: tuple[float, ...]) -> tuple[float, ...]:
    numbers = said if isinstance(said, list) else [said]
    fine = all(isinstance(number, int | float) for number in numbers)
    return tuple(map(float, numbers)) if fine and numbers else usual

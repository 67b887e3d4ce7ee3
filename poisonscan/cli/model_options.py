"""The options that say which network looks at the rows, and how it wants to see them."""

from __future__ import annotations

import re
from typing import Any, Final

import click

from poisonscan.datasets.own_model import DEVICES

_SIZE: Final = re.compile(r"(\d{1,5})x(\d{1,5})")


def _size(_: click.Context, __: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """Height and width, from width by height."""
    if value is None:
        return None
    found = _SIZE.fullmatch(value)
    if found is None:
        raise click.BadParameter("a size is width by height, such as 224x224")
    return int(found[2]), int(found[1])


def _numbers(_: click.Context, __: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    if value is None:
        return None
    try:
        return tuple(float(part) for part in value.split(","))
    except ValueError:
        message = "one number, or one for each channel with commas between"
        raise click.BadParameter(message) from None


OPTIONS: Final = [
    click.option(
        "--model",
        metavar="PATH|NAME",
        help="A network to look at rows with, instead of built-in features: an ONNX file for "
        "pictures (needs 'poisonscan[onnx]'), a folder of transformers or sentence-transformers "
        "for pictures or texts, or the name of one that is in the Hub's cache (needs "
        "'poisonscan[torch]'). It is scanned first, and refused if anything of medium severity or "
        "above is found in it.",
    ),
    click.option(
        "--layer",
        metavar="NAME",
        help="What to read: a tensor of an ONNX network; of others the number of a hidden state, "
        "or the name of a module.  [default: the first output; the last hidden state]",
    ),
    click.option(
        "--model-size",
        callback=_size,
        metavar="WxH",
        help="Scale pictures to this size for the network.  [default: what it says]",
    ),
    click.option(
        "--model-mean",
        callback=_numbers,
        metavar="NUMBERS",
        help="Take this from values between 0 and 1: a number, or one for each channel, with "
        "commas between.  [default: what it says, or 0]",
    ),
    click.option(
        "--model-std",
        callback=_numbers,
        metavar="NUMBERS",
        help="Divide by this then.  [default: what it says, or 1]",
    ),
    click.option(
        "--device",
        type=click.Choice(DEVICES),
        help="Where the network runs; auto is cuda if the library that runs it can use it. The "
        "report says which it was.  [default: auto]",
    ),
    click.option(
        "--cache",
        type=click.Path(file_okay=False),
        metavar="DIR",
        help="Keep what the network gives in this folder, for the next scan of the same rows. It "
        "may be deleted at any time.  [default: kept for this scan only]",
    ),
]


def gather(options: dict[str, Any]) -> None:
    """Put one value in place of these options.

    Raises:
        click.UsageError: there is no network that the others could be about.
    """
    if "layer" not in options:
        return
    about = {
        name: options.pop(option)
        for name, option in (
            ("layer", "layer"), ("size", "model_size"), ("mean", "model_mean"),
            ("std", "model_std"), ("device", "device"), ("cache", "cache"),
        )
    }  # fmt: skip
    given = {name: value for name, value in about.items() if value is not None}
    if options["model"] is None:
        if given:
            raise click.UsageError(
                "--layer, --model-…, --device and --cache say something about a --model"
            )
        return
    from poisonscan.datasets.own_model import OwnModel

    options["model"] = OwnModel(str(options["model"]), **given)

"""Small networks that are trained on pictures, and adversarial examples against them. Needs torch.

FGSM: Goodfellow, Shlens and Szegedy 2015, "Explaining and harnessing adversarial examples". PGD:
Madry et al. 2018, "Towards deep learning models resistant to adversarial attacks".
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

Pictures = NDArray[np.uint8]
Labels = NDArray[np.int64]

KINDS = ("convolutions", "strides", "dense")
_BATCH = 128


def network(kind: str, side: int, classes: int) -> Any:
    """Layers for pictures of 3 × side × side."""
    if kind == "dense":
        return nn.Sequential(
            nn.Flatten(), nn.Linear(3 * side * side, 128), nn.ReLU(), nn.Linear(128, classes)
        )
    if kind == "strides":
        return nn.Sequential(
            nn.Conv2d(3, 32, 5, stride=2, padding=2), nn.BatchNorm2d(32), nn.ReLU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1), nn.BatchNorm2d(64), nn.ReLU(),
            nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(4),
            nn.Flatten(), nn.Linear(1024, classes),
        )  # fmt: skip
    return nn.Sequential(
        nn.Conv2d(3, 24, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(24, 48, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(48, 64, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(2),
        nn.Flatten(), nn.Linear(256, classes),
    )  # fmt: skip


def trained(kind: str, pictures: Pictures, labels: Labels, steps: int, seed: int) -> Any:
    """A network that has seen ``steps`` batches."""
    torch.manual_seed(seed)
    model = network(kind, pictures.shape[1], int(labels.max()) + 1)
    optimizer = torch.optim.Adam(model.parameters(), 2e-3)
    rng = np.random.default_rng(seed)
    for step in range(steps):
        drawn = rng.integers(0, len(pictures), _BATCH)
        batch = _tensor(pictures[drawn])
        if step % 2:
            batch = batch.flip(3)
        loss = _loss(model, batch, torch.from_numpy(labels[drawn]), "mean")
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def fgsm(model: Any, pictures: Pictures, labels: Labels, most: int) -> Pictures:
    """One step of ``most`` grey levels up the loss."""
    return _attacked(model, pictures, labels, most, 0)


def pgd(model: Any, pictures: Pictures, labels: Labels, most: int) -> Pictures:
    """Ten steps of a quarter, from a random start, never more than ``most`` grey levels away."""
    return _attacked(model, pictures, labels, most, 10)


def accuracy(model: Any, pictures: Pictures, labels: Labels) -> float:
    with torch.no_grad():
        return float((model(_tensor(pictures) - 0.5).argmax(1).numpy() == labels).mean())


def _attacked(model: Any, pictures: Pictures, labels: Labels, most: int, steps: int) -> Pictures:
    torch.manual_seed(0)
    bound, out = most / 255, []
    for start in range(0, len(pictures), _BATCH):
        clean = _tensor(pictures[start : start + _BATCH])
        wanted = torch.from_numpy(labels[start : start + _BATCH])
        if not steps:
            changed = clean + bound * _gradient(model, clean, wanted).sign()
        else:
            changed = (clean + (torch.rand_like(clean) * 2 - 1) * bound).clamp(0, 1)
        for _ in range(steps):
            step = bound / 4 * _gradient(model, changed, wanted).sign()
            changed = (clean + (changed + step - clean).clamp(-bound, bound)).clamp(0, 1)
        values = (changed.clamp(0, 1) * 255).round().byte().numpy()
        out.append(values.transpose(0, 2, 3, 1))
    return np.concatenate(out)


def _gradient(model: Any, pictures: Any, labels: Any) -> Any:
    free = pictures.clone().requires_grad_(requires_grad=True)
    _loss(model, free, labels, "sum").backward()
    return free.grad


def _loss(model: Any, pictures: Any, labels: Any, reduction: str) -> Any:
    return nn.functional.cross_entropy(model(pictures - 0.5), labels, reduction=reduction)


def _tensor(pictures: Pictures) -> Any:
    return torch.from_numpy(np.ascontiguousarray(pictures.transpose(0, 3, 1, 2))).float() / 255

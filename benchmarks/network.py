"""A small convolutional network, trained for a minute on one core."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

EPOCHS = 6
BATCH = 128


class Network(nn.Module):  # type: ignore[misc]  # torch's types are not read
    """Four convolutions; the mean and the maximum of the last one's maps are its features."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        widths = (3, 24, 48, 96, 96)
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after)]
            layers += [nn.ReLU(), nn.MaxPool2d(2)] if len(layers) < 12 else [nn.ReLU()]
        self.convolutions = nn.Sequential(*layers)
        self.head = nn.Linear(2 * widths[-1], classes)

    def features(self, pictures: torch.Tensor) -> torch.Tensor:
        """Of shape (pictures, 192)."""
        maps = self.convolutions(pictures)
        return torch.cat([maps.mean((2, 3)), maps.amax((2, 3))], dim=1)


def penultimate(
    pictures: NDArray[np.uint8], labels: NDArray[Any], seed: int
) -> NDArray[np.float32]:
    """Train on these rows, and return the features of each, of shape (rows, 192)."""
    torch.manual_seed(seed)
    inputs = torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div(63.75).sub(2)
    targets = torch.from_numpy(labels.astype(np.int64))
    network = Network(int(labels.max()) + 1)
    optimizer = torch.optim.AdamW(network.parameters(), 3e-3)
    steps = EPOCHS * -(-len(labels) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 6e-3, total_steps=steps)
    for _ in range(EPOCHS):
        network.train()
        for rows in torch.randperm(len(labels)).split(BATCH):
            scores = network.head(network.features(inputs[rows]))
            loss = nn.functional.cross_entropy(scores, targets[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    network.eval()
    with torch.no_grad():
        found = torch.cat([network.features(part) for part in inputs.split(500)])
    return np.asarray(found.numpy(), np.float32)

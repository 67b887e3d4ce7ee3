"""CUBE-like.

After Cui et al., "A Unified Evaluation of Textual Backdoor Learning: Frameworks and Benchmarks"
(NeurIPS 2022).
"""

from __future__ import annotations

import numpy as np

from benchmarks.published.surrogate import trained
from benchmarks.published.told import Answer, Told, reduced

COMPONENTS = 10
NEAR = 100
"""Rows near one that make it part of a cluster, as in the authors' code."""


def cube_like(told: Told) -> Answer:
    """Rows outside the largest cluster of their class, unless their cluster is half of it.

    All rows are clustered together by HDBSCAN on the activations of a model trained on them; rows
    in no cluster count as one of their own. The authors' model is RoBERTa, here it is the
    surrogate; they reduce its activations by UMAP, here principal components do. So it may find
    less of texts than theirs, which has seen much language before.
    """
    from sklearn.cluster import HDBSCAN

    values = reduced(trained(told).hidden.astype(np.float32), COMPONENTS)
    near = min(NEAR, max(len(values) // 10, 2))
    clusters = HDBSCAN(min_samples=near, copy=True).fit_predict(values)
    clusters = np.unique(clusters, return_inverse=True)[1]
    sizes = np.zeros((told.classes, clusters.max() + 1))
    np.add.at(sizes, (told.labels, clusters), 1)
    largest = sizes.argmax(axis=1)[told.labels]
    minor = sizes[told.labels, clusters] < sizes.sum(axis=1)[told.labels] / 2
    return Answer((clusters != largest) & minor)

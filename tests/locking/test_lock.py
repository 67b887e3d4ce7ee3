from __future__ import annotations

from pathlib import Path

import numpy as np

from poisonscan.locking.lock import How, entry_on_disk


def test_verdicts_count_findings_that_are_told_with_others(tmp_path: Path) -> None:
    """Copies of a text under two labels: two rules name the same rows."""
    draw = np.random.default_rng(5)
    texts = [" ".join(f"w{word}" for word in row) for row in draw.integers(900, size=(300, 9))]
    rows = [f"{text},{'ab'[i % 2]}" for i, text in enumerate(texts)]
    copies = [f"{text},{'ba'[i % 2]}" for i, text in enumerate(texts[:20])]
    file = tmp_path / "rows.csv"
    file.write_text("\n".join(["text,label", *rows, *copies]) + "\n")
    verdicts = entry_on_disk(file, "rows.csv", How(jobs=1)).verdicts
    assert (verdicts["PS501"], verdicts["PS502"]) == (1, 1)

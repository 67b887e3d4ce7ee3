"""What somebody writes who looks for bad rows with cleanlab, after the steps of its tutorials.

``PYTHON cleanlab_look.py FILE ROWS.json``: PYTHON has cleanlab, FILE is parquet or CSV with a
column ``label``. Its report goes to standard output, the rows that it marks to ROWS.json. cleanlab
judges what a model says of each row, so features and a model are part of what one writes: the
tutorials take pretrained networks for texts and pictures; this takes TF-IDF and pixels, which need
no download.
"""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    """Everything between ``begin`` and ``end`` is what the table counts as written by the user."""
    file, out = sys.argv[1:]
    # begin
    import numpy as np
    import pandas as pd
    from cleanlab import Datalab  # type: ignore[import-not-found]
    from PIL import Image
    from sklearn.decomposition import TruncatedSVD
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict
    from sklearn.preprocessing import StandardScaler

    table = pd.read_parquet(file) if file.endswith(".parquet") else pd.read_csv(file)
    first = table.columns[0]
    features: Any
    if first == "image":
        pictures = [Image.open(io.BytesIO(cell["bytes"])).convert("L") for cell in table["image"]]
        features = np.stack([np.asarray(picture).ravel() for picture in pictures]) / 255
    elif first == "text":
        words = TfidfVectorizer(min_df=2).fit_transform(table["text"])
        features = TruncatedSVD(100, random_state=0).fit_transform(words)
    else:
        features = StandardScaler().fit_transform(table.drop(columns="label"))
    model = LogisticRegression(max_iter=1000)
    chances = cross_val_predict(model, features, table["label"], cv=5, method="predict_proba")
    lab = Datalab(data={"label": table["label"].to_numpy()}, label_name="label")
    lab.find_issues(pred_probs=chances, features=features)
    lab.report()
    # end
    issues = lab.get_issues()
    kinds = [name for name in issues.columns if name.startswith("is_") and issues[name].any()]
    marked = {name: np.flatnonzero(issues[name]).tolist() for name in kinds}
    Path(out).write_text(json.dumps(marked), "utf-8")


if __name__ == "__main__":
    main()

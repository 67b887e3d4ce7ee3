"""Why a dataset is not cleaned."""

from __future__ import annotations


class CleanError(ValueError):
    """Nothing was written: the list does not fit the dataset, or rows cannot be taken out of it."""

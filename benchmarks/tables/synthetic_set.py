"""The table of docs/data.md: the statistics of a synthetic set of THUMOS14's size, made anew, beside THUMOS14's."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from tal_repro.data import load_dataset
from tal_repro.data.summary import comparison
from tal_repro.data.synthetic import write_synthetic
from tal_repro.data.synthetic_config import SyntheticConfig


@cache  # it takes a second
def synthetic_text() -> str:
    """Return the statistics of both subsets of annotations that are made as `data synth` makes them."""
    with tempfile.TemporaryDirectory() as folder:
        made = write_synthetic(Path(folder) / "set", SyntheticConfig(), "annotations")
        return comparison(load_dataset(made, "tadtr"))

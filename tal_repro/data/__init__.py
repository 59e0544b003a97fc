"""Annotations and feature files in; videos, training units, slices and feature rows out.

Order of reading: dataset (the words), layouts (where files lie), annotations (readers), store (features), subsets.
"""

from tal_repro.data.annotations import load_dataset
from tal_repro.data.dataset import DataSet, Video, ground_truth
from tal_repro.data.store import FeatureStore, open_features
from tal_repro.data.subset_file import Subset, read_subset
from tal_repro.data.subsets import describe_subset, draw_subset

__all__ = [
    "DataSet",
    "FeatureStore",
    "Subset",
    "Video",
    "describe_subset",
    "draw_subset",
    "ground_truth",
    "load_dataset",
    "open_features",
    "read_subset",
]

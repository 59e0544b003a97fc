"""THUMOS14 is what hashes to it: the facts that a data set must share to be called so, and its features to be the
paper's. Knows nothing of files or runs."""

from __future__ import annotations

NAME = "thumos14"
# of the real annotations in both layouts, as `dataset.hash_annotations` makes it
ANNOTATION_HASH = "c47d65d77cc8a88889c3f1d5fbfaba9eaa5d4f441e184a009cd7eaa99119c6c3"
FEATURE_DIM = 2048
CLASSES = 20
TIOUS = (0.3, 0.4, 0.5, 0.6, 0.7)  # that its mAP is averaged over
PROTOCOL = "af-212"  # which test videos count where nobody says
LENGTH_TOLERANCE_STEPS = 2  # of a video's features against the real ones


def name_of(annotation_hash: str) -> str:
    """Name a real data set by its annotations: `thumos14`, or one that says that it is another."""
    return NAME if annotation_hash == ANNOTATION_HASH else f"custom-{annotation_hash[:8]}"

"""The native engine: our own training and evaluation of the four models, from feature files to a mAP.

Order of reading: samples (units and augmentation), batches (order and collation), optimization, trainer, evaluation.
"""

# Raised whenever the same specification gives other results: a mended training leaves MACs and times as they are.
VERSIONS = {"training": "2", "released": "2", "macs": "2", "inference": "2"}


def native_version(experiment: str) -> str:
    """Return the version of this engine's results in an experiment; every training shares one."""
    return VERSIONS.get(experiment, VERSIONS["training"])

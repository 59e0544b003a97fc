"""The native engine: our own training and evaluation of the four models, from feature files to a mAP.

Order of reading: samples (units and augmentation), batches (order and collation), optimization, trainer, evaluation.
"""

NATIVE_VERSION = "2"  # raised whenever the same specification gives other results

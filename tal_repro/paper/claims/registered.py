"""All derivations by claim: importing this module imports every module that registers one."""

from tal_repro.paper.claims import baselines, compute, coverage, data_efficiency, extrapolation, fits, trainings
from tal_repro.paper.claims.derivation import DERIVATIONS

DERIVING = (baselines, compute, coverage, data_efficiency, extrapolation, fits, trainings)

__all__ = ["DERIVATIONS", "DERIVING"]

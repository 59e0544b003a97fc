"""The questions that `models check` asks of a small training of the authors' code, in their order."""

from __future__ import annotations

from collections.abc import Callable

from tal_repro.run import evidence
from tal_repro.run.units_seen import subset

QUESTIONS: dict[str, Callable[[evidence.Evidence], str]] = {
    "events": evidence.events,
    "subset": subset,
    "losses": evidence.losses,
    "evaluation": evidence.evaluation,
    "weights": evidence.weights,
    "detections": evidence.detections,
    "map": evidence.same_map,
}

"""The filter language of --only: `experiment=data_sweep,model=tadtr|tridet,percent<=20` picks runs of a plan."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, get_args

from tal_repro.engines.registry import ENGINES
from tal_repro.errors import InputError
from tal_repro.models.recipe_checks import BUDGETS
from tal_repro.models.registry import MODELS
from tal_repro.spec import EXPERIMENTS, DeviceKind, Policy, Precision, RunSpec, Unit

WHERE = "--only"
_TERM = re.compile(r"\s*([a-z_]+)\s*(<=|>=|!=|=|<|>)\s*([^=<>!,]+?)\s*")
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_TEXTS: dict[str, tuple[Callable[[RunSpec], str], tuple[str, ...]]] = {
    "experiment": (lambda run: run.experiment, EXPERIMENTS),
    "model": (lambda run: run.model, tuple(MODELS)),
    "engine": (lambda run: run.engine, tuple(ENGINES)),
    "unit": (lambda run: run.subset.unit if run.subset else "", get_args(Unit)),
    "policy": (lambda run: run.subset.policy if run.subset else "", get_args(Policy)),
    "budget": (lambda run: str(run.recipe.get("budget", "")), BUDGETS),
    "precision": (lambda run: run.precision, get_args(Precision)),
    "device": (lambda run: run.device_kind, get_args(DeviceKind)),
}
_NUMBERS: dict[str, Callable[[RunSpec], float | None]] = {
    "percent": lambda run: run.subset.percent if run.subset else None,
    "seed": lambda run: run.seed,
}
_RANGES = {"percent": (0.0, 100.0), "seed": (0.0, 2.0**63)}
KEYS = ("id", *_TEXTS, *_NUMBERS)


@dataclass(frozen=True)
class Term:
    """One condition; `values` are alternatives (a|b)."""

    key: str
    sign: str
    values: tuple[Any, ...]
    text: str

    def holds(self, run: RunSpec) -> bool:
        if self.key == "id":
            return any(run.run_id.startswith(value) for value in self.values) == (self.sign == "=")
        actual = _TEXTS[self.key][0](run) if self.key in _TEXTS else _NUMBERS[self.key](run)
        if actual is None:
            return False
        hits = [_OPERATORS[self.sign](actual, value) for value in self.values]
        return all(hits) if self.sign == "!=" else any(hits)


def parse_filter(text: str) -> list[Term]:
    """Parse --only; raise InputError naming the term and what is allowed in its place."""
    terms = [_parse_term(part) for part in text.split(",") if part.strip()]
    if text.strip() and not terms:
        raise InputError(f"no condition in {text!r}", WHERE, "write key=value (model=tadtr) or leave it out")
    for index, term in enumerate(terms):
        for other in terms[:index]:
            if term.key == other.key and term.sign == other.sign == "=" and not set(term.values) & set(other.values):
                raise InputError(
                    f"{other.text} and {term.text} exclude each other", WHERE, f"write {term.key}=a|b for either"
                )
    return terms


def select(runs: Iterable[RunSpec], text: str) -> list[RunSpec]:
    """Return the runs that meet every term; raise InputError for a selection that is empty."""
    terms = parse_filter(text)
    runs = list(runs)
    chosen = [run for run in runs if all(term.holds(run) for term in terms)]
    if not chosen:
        raise InputError(
            f"no run meets {text!r}" if terms else "the study has no run in this scope",
            WHERE if terms else None,
            _there(runs) if runs else "use a larger --scope",
        )
    return chosen


def _parse_term(part: str) -> Term:
    match = _TERM.fullmatch(part)
    if match is None:
        raise InputError(f"not a condition: {part.strip()!r}", WHERE, "write key=value, for example model=tadtr")
    key, sign, raw = match.groups()
    if key not in KEYS:
        raise InputError(f"unknown key {key!r}", WHERE, f"use one of: {', '.join(KEYS)}")
    if key not in _NUMBERS and sign not in ("=", "!="):
        raise InputError(f"{key} cannot be compared with {sign!r}", WHERE, "use = or !=")
    return Term(key, sign, tuple(_value(key, item.strip()) for item in raw.split("|")), part.strip())


def _value(key: str, text: str) -> Any:
    if key == "id":
        text = text.partition("-")[0]  # a run's name is its planned id and the digest of its data
        if not re.fullmatch(r"[0-9a-f]{1,16}", text):
            raise InputError(f"{text!r} is not the beginning of a run id", WHERE, "use hex digits as `plan` shows them")
        return text
    if key in _TEXTS:
        allowed = _TEXTS[key][1]
        if text not in allowed:
            raise InputError(f"unknown {key} {text!r}", WHERE, f"use one of: {', '.join(allowed)}")
        return text
    low, high = _RANGES[key]
    try:
        value = float(text)
    except ValueError:
        raise InputError(f"{key} takes a number, not {text!r}", WHERE, f"use {low:g} to {high:g}") from None
    if not low <= value <= high:  # nan too
        raise InputError(f"{key} {text}", WHERE, f"use a number from {low:g} to {high:g}")
    return value


def _there(runs: list[RunSpec]) -> str:
    models = sorted({run.model for run in runs})
    experiments = sorted({run.experiment for run in runs})
    return f"this scope has experiments {', '.join(experiments)} of models {', '.join(models)}"

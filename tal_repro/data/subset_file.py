"""A subset as a file: which training units a run saw. Written by `tal-repro subset`, replayed by any engine."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from tal_repro.errors import InputError
from tal_repro.files import write_json
from tal_repro.spec import Policy, Unit, check_percent
from tal_repro.untrusted import read_json_object


@dataclass(frozen=True)
class Subset:
    """The training units of one run; ids are sorted (video ids, or slice ids as upstream spells them)."""

    unit: Unit
    policy: Policy
    percent: float
    seed: int
    ids: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the content of a subset file."""
        return {
            "unit": self.unit,
            "policy": self.policy,
            "percent": self.percent,
            "seed": self.seed,
            "ids": list(self.ids),
        }

    def write(self, path: str | Path) -> None:
        """Write a subset file."""
        write_json(Path(path), self.to_json())


def read_subset(path: str | Path) -> Subset:
    """Read a subset file; raise InputError naming the field that does not fit."""
    where = Path(path)
    raw = read_json_object(where)
    missing = [key for key in ("unit", "policy", "percent", "seed", "ids") if key not in raw]
    if missing:
        raise InputError(f"no field {missing[0]!r}", where, "write it with: tal-repro subset --json")
    for key, choices in (("unit", get_args(Unit)), ("policy", get_args(Policy))):
        if raw[key] not in choices:
            raise InputError(f"{key} = {raw[key]!r}", where, f"use one of: {', '.join(choices)}")
    check_percent(raw["percent"], f"{where}: percent")
    if not isinstance(raw["seed"], int) or isinstance(raw["seed"], bool):
        raise InputError(f"seed = {raw['seed']!r}", where, "use a whole number")
    ids = raw["ids"]
    if not isinstance(ids, list) or not ids or not all(isinstance(unit_id, str) for unit_id in ids):
        raise InputError("'ids' is not a list of at least one id", where)
    if len(set(ids)) != len(ids):
        raise InputError(f"'ids' repeats {Counter(ids).most_common(1)[0][0]}", where)
    return Subset(raw["unit"], raw["policy"], raw["percent"], raw["seed"], tuple(sorted(ids)))

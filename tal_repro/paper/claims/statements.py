"""Read `claims.toml`: what the paper says, how it is judged, and the verdict expected. For the judge alone."""

from __future__ import annotations

import dataclasses
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cache
from pathlib import Path
from typing import Any

from tal_repro.errors import InputError

CLAIMS_FILE = Path(__file__).resolve().parent.parent / "claims.toml"
PUBLISHED_VERDICTS = ("consistent", "consistent with correction", "inconsistent", "not derivable")
MEASURED_VERDICTS = ("reproduced", "not reproduced", "inconclusive", "not comparable here", "not run")
ALTERNATIVES = ("either", "above", "below")
RULES = ("digits", "welch", "at-most", "at-least")
IMPORTANCE = ("headline", "supporting", "setting")
KINDS = ("setting", "map", "seconds", "latency", "macs", "hardware", "text")


@dataclass(frozen=True)
class Claim:
    """One quantitative statement of the paper. `reference` keeps the digits as printed; () for words."""

    id: str
    section: str
    statement: str
    reference: tuple[str, ...]
    unit: str
    kind: str
    rule: str
    expected: str
    importance: str
    joint: str = "±"
    second_unit: str = ""  # of the number after `joint`, where it is another
    reference_n: int = 0
    about: bool = False
    limit: float = 0.0
    criterion: str = ""
    not_derivable: str = ""
    nothing_to_run: str = ""
    cannot_settle: str = ""
    experiment: str = ""
    models: tuple[str, ...] = ()
    measure: str = ""
    margin: float = 0.0
    alternative: str = ""
    gpu: str = ""
    ratio_to: str = ""

    @property
    def numbers(self) -> tuple[float, ...]:
        """Return the printed numbers."""
        return tuple(float(text) for text in self.reference)

    @property
    def printed(self) -> str:
        """Return the reference as the paper prints it, or the criterion a claim in words is held to."""
        return f" {self.joint} ".join(self.reference) or self.criterion

    @property
    def printed_with_unit(self) -> str:
        """Return what the paper prints with its unit, or the words a claim is held to."""
        return self.with_units(self.reference) if self.reference else self.criterion

    def with_units(self, texts: Sequence[str]) -> str:
        """Join numbers written out as the claim's are, with its unit, or with each one's own."""
        if not self.second_unit or len(texts) < 2:
            return f"{f' {self.joint} '.join(texts)} {self.unit}".rstrip()
        return f"{texts[0]} {self.unit} {self.joint} {texts[1]} {self.second_unit}"

    @property
    def units(self) -> str:
        """Return the unit of the numbers, or both units."""
        return ", ".join(filter(None, (self.unit, self.second_unit)))

    @property
    def half_digits(self) -> tuple[float, ...]:
        """Return how far a value may lie from each printed number: half its last digit, all of it after "about"."""
        share = 1.0 if self.about else 0.5
        return tuple(share * 10.0 ** int(Decimal(text).as_tuple().exponent) for text in self.reference)

    @property
    def centre(self) -> float:
        """Return the printed number, or the limit that a claim in words is held to."""
        return self.numbers[0] if self.rule in ("digits", "welch") else self.limit

    @property
    def bounds(self) -> tuple[float, float]:
        """Return the values that agree with the claim, inclusive: its limit, or what is printed ± the margin."""
        slack = 0.0 if self.rule.startswith("at-") else self.margin
        low = -float("inf") if self.alternative == "above" else self.centre - slack
        return low, float("inf") if self.alternative == "below" else self.centre + slack


@cache
def load_claims(path: Path = CLAIMS_FILE) -> tuple[Claim, ...]:
    """Return the claims in the order of the paper; raise InputError naming the entry that is wrong."""
    entries = tomllib.loads(path.read_text(encoding="utf-8"))["claim"]
    claims = tuple(_claim(entry, path) for entry in entries)
    ids = [claim.id for claim in claims]
    repeated = sorted({i for i in ids if ids.count(i) > 1})
    if repeated:
        raise InputError(f"claim {repeated[0]} twice", path)
    return claims


def _claim(entry: dict[str, Any], path: Path) -> Claim:
    where = f"{path.name}: claim {entry.get('id', '?')}"
    known = {field.name for field in dataclasses.fields(Claim)}
    unknown = sorted(set(entry) - known)
    if unknown:
        raise InputError(f"unknown key {unknown[0]!r}", where)
    try:
        values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in entry.items()}
        claim = Claim(**values)
        assert all(Decimal(text).is_finite() for text in claim.reference)
    except (TypeError, InvalidOperation, AssertionError) as error:
        raise InputError(f"not a claim ({error})", where) from None
    for name, value, allowed in (
        ("rule", claim.rule, RULES),
        ("expected", claim.expected, PUBLISHED_VERDICTS),
        ("kind", claim.kind, KINDS),
        ("importance", claim.importance, IMPORTANCE),
        *([("alternative", claim.alternative, _alternatives(claim))] if claim.measure else []),
    ):
        if value not in allowed:
            raise InputError(f"{name} = {value!r}", where, f"use one of: {', '.join(allowed)}")
    if bool(claim.nothing_to_run) == bool(claim.measure):
        raise InputError("needs either `measure` or `nothing_to_run`", where)
    if bool(claim.measure) != (claim.margin > 0):
        raise InputError(f"margin = {claim.margin:g}", where, "give a claim that runs can judge a margin above 0")
    return claim


def _alternatives(claim: Claim) -> tuple[str, ...]:
    """Return the sides on which a claim can be wrong: a limit has one."""
    return {"at-most": ("above",), "at-least": ("below",)}.get(claim.rule, ALTERNATIVES)

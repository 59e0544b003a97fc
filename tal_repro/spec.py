"""What defines a run. A study plans RunSpecs, a worker obeys one, and its hash names the run's folder."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from json.encoder import encode_basestring_ascii
from types import MappingProxyType
from typing import Any, Literal, get_args

from tal_repro import experiments
from tal_repro.errors import InputError

Engine = Literal["native", "upstream"]
Unit = Literal["video", "slice"]
Policy = Literal["uniform", "all-classes", "stratified", "nested", "published"]
Precision = Literal["fp32", "bf16"]
DeviceKind = Literal["cpu", "cuda"]

EXPERIMENTS: tuple[str, ...] = tuple(experiments.EXPERIMENTS)
SCOPES = ("core", "full", "every-percent")  # how much of a study; each holds the ones before it
RUN_ID_DIGITS = 16
DATA_DIGITS = 8  # of the data digest, in the name of a run's folder
_HEX = re.compile("([0-9a-f]{8,64})?")
DERIVED_MARK = "-derived-from-"  # in the name of a data set whose features stand in for the authors' own


@dataclass(frozen=True)
class DataSpec:
    """The declared data set: planning needs no data; the run's folder adds the digest of the data it is made from."""

    name: str
    version: str
    annotation_hash: str  # sha256 of the canonical annotations, "" while it is not known
    synthetic: bool


@dataclass(frozen=True)
class SubsetSpec:
    """The training units of a run: `percent` of all videos or slices, drawn under `policy` with `seed`."""

    unit: Unit = "video"
    policy: Policy = "uniform"
    percent: float = 100.0
    seed: int = 0


@dataclass(frozen=True)
class RunSpec:
    """Everything that defines one run's result, and nothing else (no paths, device index, or worker counts)."""

    experiment: str  # one of experiments.EXPERIMENTS
    model: str
    engine: Engine
    engine_version: str  # native: raised whenever results change; upstream: commit and patch hash
    recipe: Mapping[str, Any]  # fully resolved hyper-parameters, JSON values only
    data: DataSpec | None = None  # None where an experiment needs no data (macs, inference)
    subset: SubsetSpec | None = None
    seed: int = 0
    feature_lengths: tuple[int, ...] = ()  # macs, inference
    precision: Precision = "fp32"
    device_kind: DeviceKind = "cpu"
    threads: int = 1
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # of the experiment: repetitions, include, ...
    data_digest: str = ""  # of the data that the run reads (hex); "" while it is planned without data, or reads none

    @property
    def name(self) -> str:
        """Name the run's folder: the planned id, and the first digits of its data digest where it has one."""
        return f"{self.run_id}-{self.data_digest[:DATA_DIGITS]}" if self.data_digest else self.run_id

    @cached_property
    def run_id(self) -> str:
        """Name the planned run: 16 hex digits of the SHA-256 of its canonical JSON; data digest left out."""
        fields = ",".join(f'"{name}":{canonical_text(getattr(self, name))}' for name in _FIELD_NAMES)
        return hashlib.sha256(f"{{{fields}}}".encode()).hexdigest()[:RUN_ID_DIGITS]

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {field.name: _plain(getattr(self, field.name)) for field in dataclasses.fields(self)}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any], where: str = "spec") -> RunSpec:
        """Rebuild a spec from `to_json`'s values; raise InputError naming the field that does not fit."""
        values = dict(raw)
        _reject_unknown(values, cls, where)
        try:
            for name, kind in (("data", DataSpec), ("subset", SubsetSpec)):
                if values.get(name) is not None:
                    _reject_unknown(values[name], kind, f"{where}.{name}")
                    values[name] = _shared(values[name], kind)
            for name in ("recipe", "options"):
                if isinstance(values.get(name), dict):
                    values[name] = _shared(values[name], MappingProxyType)
            values["feature_lengths"] = _lengths(values.get("feature_lengths", []), where)
            spec = cls(**values)
        except (TypeError, AttributeError) as error:
            raise InputError(f"not a run specification ({error})", where) from None
        spec.check(where)
        return spec

    def check(self, where: str = "spec") -> None:
        """Raise InputError for a value outside its allowed set."""
        allowed: list[tuple[str, Any, tuple[Any, ...]]] = [
            ("experiment", self.experiment, EXPERIMENTS),
            ("engine", self.engine, get_args(Engine)),
            ("precision", self.precision, get_args(Precision)),
            ("device_kind", self.device_kind, get_args(DeviceKind)),
        ]
        if self.subset is not None:
            allowed += [("subset.unit", self.subset.unit, get_args(Unit))]
            allowed += [("subset.policy", self.subset.policy, get_args(Policy))]
            check_percent(self.subset.percent, f"{where}.subset.percent")
        for name, value, choices in allowed:
            if value not in choices:
                raise InputError(f"{name} = {value!r}", where, f"use one of: {', '.join(map(str, choices))}")
        if self.engine == "upstream" and self.precision != "fp32":
            raise InputError(f"precision = {self.precision!r}", where, "the authors' code knows fp32 only")
        self._check_types(where)

    def _check_types(self, where: str) -> None:
        """Raise InputError for a value of another type: specifications are read from files of others."""
        whole = {"threads": self.threads, "seed": self.seed, "subset.seed": self.subset.seed if self.subset else 0}
        for name, number in whole.items():
            if not isinstance(number, int) or isinstance(number, bool) or number < (name == "threads"):
                raise InputError(f"{name} = {number!r}", where, f"use a whole number from {int(name == 'threads')}")
        texts = {"model": self.model, "engine_version": self.engine_version, "data_digest": self.data_digest}
        if self.data is not None:
            texts |= {f"data.{name}": getattr(self.data, name) for name in ("name", "version", "annotation_hash")}
            if not isinstance(self.data.synthetic, bool):
                raise InputError(f"data.synthetic = {self.data.synthetic!r}", where, "use true or false")
        for name, text in texts.items():
            if not isinstance(text, str):
                raise InputError(f"{name} = {text!r}", where, "use text")
        if not _HEX.fullmatch(self.data_digest):
            raise InputError(f"data_digest = {self.data_digest!r}", where, "use hex digits, 8 at least")
        for name in ("recipe", "options"):
            if not isinstance(getattr(self, name), Mapping):
                raise InputError(f"{name} = {getattr(self, name)!r}"[:80], where, "use an object")


def _lengths(values: Any, where: str) -> tuple[int, ...]:
    if not isinstance(values, list | tuple) or not all(type(length) is int and length > 0 for length in values):
        raise InputError(f"feature_lengths = {values!r}"[:80], where, "use a list of whole numbers from 1")
    return tuple(values)


# Many runs of a folder hold the same recipe and data: each is kept once, and so is its canonical text.
_shared_values: dict[tuple[Any, str], Any] = {}


def _shared(values: dict[str, Any], kind: Any) -> Any:
    key = (kind, json.dumps(values))
    if key not in _shared_values:
        if len(_shared_values) >= 4096:
            _shared_values.clear()
        _shared_values[key] = kind(values) if kind is MappingProxyType else kind(**values)
    return _shared_values[key]


_FIELD_NAMES = tuple(sorted(field.name for field in dataclasses.fields(RunSpec) if field.name != "data_digest"))
# A study gives thousands of specs the same read-only recipe: its text is made once. Values are kept so ids stay theirs.
_texts: dict[int, tuple[Any, str]] = {}


def canonical_text(value: Any) -> str:
    """Return `canonical_json(value)`, quickly for what a hundred thousand specs are made of."""
    kind = type(value)
    if kind is str:
        return encode_basestring_ascii(value)
    if kind is int:
        return str(value)
    if kind is SubsetSpec:
        return _subset_text(value)
    if value is None or value == ():
        return "null" if value is None else "[]"
    if not isinstance(value, MappingProxyType | DataSpec):
        return canonical_json(value)
    if id(value) not in _texts:
        if len(_texts) >= 256:
            _texts.clear()
        _texts[id(value)] = (value, canonical_json(value))
    return _texts[id(value)][1]


@lru_cache(4096)
def _subset_text(subset: SubsetSpec) -> str:
    return canonical_json(subset)


def check_percent(percent: float, where: str) -> None:
    """Raise InputError unless 0 < percent <= 100."""
    if not isinstance(percent, int | float) or isinstance(percent, bool) or not 0 < percent <= 100:
        raise InputError(f"percentage {percent!r}", where, "use a number above 0 and at most 100")


def canonical_json(value: Any) -> str:
    """Serialise to the one text that is hashed: sorted keys, no spaces, whole floats as integers, no NaN."""
    return json.dumps(_plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _plain(value: Any) -> Any:
    """Reduce mappings, sequences and numbers to their JSON form (10.0 and 10 are the same percentage)."""
    if isinstance(value, DataSpec | SubsetSpec):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and math.isfinite(value) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise InputError(f"{value!r} cannot be part of a run specification", None, "use a finite number")
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise InputError(f"a {type(value).__name__} cannot be part of a run specification")


def _reject_unknown(values: Any, kind: type[Any], where: str) -> None:
    if not isinstance(values, Mapping):
        raise InputError("expected an object", where)
    known = {field.name for field in dataclasses.fields(kind)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise InputError(f"unknown key {unknown[0]!r}", where, f"known keys: {', '.join(sorted(known))}")

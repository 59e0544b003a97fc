"""The tidy schema of the published numbers: columns, types, ranges and keys of every table, one row per observation."""

from __future__ import annotations

import math
from dataclasses import dataclass

from tal_repro.models.registry import MODELS
from tal_repro.thumos14 import CLASS_NAMES

Scalar = str | int | float


@dataclass(frozen=True)
class Column:
    """What a cell may hold: a type, an inclusive range for numbers, a closed set for words."""

    kind: type[str] | type[int] | type[float]
    low: float = -math.inf
    high: float = math.inf
    choices: tuple[str, ...] = ()

    def parse(self, cell: str) -> Scalar:
        """Return the value of a cell; raise ValueError with the reason and the remedy in its text."""
        if not cell:
            raise ValueError("is empty; give a value")
        if self.kind is str:
            return self._parse_word(cell)
        number = self._parse_number(cell)
        if not self.low <= number <= self.high:
            raise ValueError(f"{cell} is outside {self.low:g} to {self.high:g}")
        return number

    def _parse_word(self, cell: str) -> str:
        if self.choices and cell not in self.choices:
            raise ValueError(f"{cell!r} is none of: {', '.join(self.choices)}")
        return cell

    def _parse_number(self, cell: str) -> int | float:
        # int() and float() accept "1_000", "nan" and digits of other scripts; a table of measurements must not.
        if not cell.isascii() or "_" in cell:
            raise ValueError(f"{cell!r} is not a number")
        try:
            number = int(cell) if self.kind is int else float(cell)
        except ValueError:
            comma = "; write a decimal point, not a comma" if "," in cell else ""
            raise ValueError(f"{cell!r} is not {'an integer' if self.kind is int else 'a number'}{comma}") from None
        if not math.isfinite(number):
            raise ValueError(f"{cell!r} is not finite; drop the row or give the number")
        return number


@dataclass(frozen=True)
class Schema:
    """One table: its columns in order, and the columns that identify a row."""

    columns: dict[str, Column]
    key: tuple[str, ...]


TEXT = Column(str)
MODEL = Column(str, choices=tuple(MODELS))
COUNT = Column(int, 1, 10**6)
PERCENT = Column(float, 0.01, 100)
MAP = Column(float, 0, 100)  # mAP in percent, average over tIoU unless the column says a threshold
STD = Column(float, 0, 100)
SECONDS = Column(float, 1e-3, 1e7)
LENGTH = Column(int, 1, 10**6)  # feature steps
PER_TIOU = {f"map_{tiou}": MAP for tiou in (30, 40, 50, 60, 70)}

UNIT = Column(str, choices=("video", "slice"))

SCHEMAS: dict[str, Schema] = {
    "learning_curves": Schema(
        {"model": MODEL, "train_percent": PERCENT, "map_mean": MAP, "map_std": STD, "source": TEXT},
        ("model", "train_percent", "source"),
    ),
    "sweep_runs": Schema(
        {"model": MODEL, "train_percent": PERCENT, "run": COUNT, **PER_TIOU, "map_mean": MAP, "source": TEXT},
        ("model", "train_percent", "run"),
    ),
    "sweep_subsets": Schema(
        {"model": MODEL, "train_percent": PERCENT, "run": COUNT, "video_id": TEXT},
        ("model", "train_percent", "run", "video_id"),
    ),
    "training_runs": Schema(
        {"model": MODEL, "job": COUNT, "run": COUNT, "train_seconds": SECONDS, "map_mean": MAP, "source": TEXT},
        ("model", "job", "run"),
    ),
    "gmacs": Schema(
        {"model": MODEL, "feature_length": LENGTH, "gmacs": Column(float, 1e-6, 1e6), "source": TEXT},
        ("model", "feature_length"),
    ),
    "inference_runs": Schema(
        {
            "model": MODEL, "process": COUNT, "repetition": COUNT, "feature_length": LENGTH,
            "milliseconds": Column(float, 1e-3, 1e7), "source": TEXT,
        },
        ("model", "process", "repetition", "feature_length"),
    ),
    "inference_memory": Schema(
        {"model": MODEL, "feature_length": LENGTH, "peak_memory_mib": Column(float, 1e-3, 1e7), "source": TEXT},
        ("model", "feature_length"),
    ),
    "table2": Schema(
        {
            "model": MODEL, "train_seconds_mean": SECONDS, "train_seconds_std": Column(float, 0, 1e7),
            "map_mean": MAP, "map_std": STD, "hardware": TEXT, "source": TEXT,
        },
        ("model",),
    ),
    "tadtr_independent_runs": Schema({"run": COUNT, "map_mean": MAP, "source": TEXT}, ("run",)),
    "upstream_map": Schema(
        {"model": MODEL, "source": TEXT, **PER_TIOU, "map_mean": MAP, "protocol_videos": Column(int, 1, 213)},
        ("model", "source"),
    ),
    "thumos14_classes": Schema(
        {
            "id": Column(int, 0, 19), "class": TEXT,
            **{
                f"{part}_{name}": kind
                for part in ("val", "test")
                for name, kind in (("inst", COUNT), ("videos", COUNT), ("mean_s", SECONDS), ("median_s", SECONDS))
            },
        },
        ("id",),
    ),
    "units_per_class": Schema({"unit": UNIT, "total": COUNT, **dict.fromkeys(CLASS_NAMES, COUNT)}, ("unit",)),
    "class_coverage": Schema(
        {"unit": UNIT, "percent": PERCENT, "units": COUNT, "expected_classes": Column(float, 0, 20)},
        ("unit", "percent"),
    ),
    "upstream_defaults": Schema(
        {"model": MODEL, "hyperparameter": TEXT, "value": Column(float, 0, 1e9), "source": TEXT},
        ("model", "hyperparameter"),
    ),
    "paper_equations": Schema(
        {"equation": TEXT, "parameter": TEXT, "value": Column(float, -1e9, 1e9), "source": TEXT},
        ("equation", "parameter"),
    ),
    "paper_statements": Schema(
        {"quantity": TEXT, "value": Column(float, -1e9, 1e9), "unit": TEXT, "source": TEXT},
        ("quantity",),
    ),
}  # fmt: skip

"""What a synthetic data set is made from: its settings, THUMOS14's classes, and what an invented video is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tal_repro.data.dataset import SubsetName
from tal_repro.errors import InputError
from tal_repro.published.load import FOLDER, load_table
from tal_repro.published.schema import SCHEMAS

MOST_VIDEOS = 100_000  # of a subset: 240 times the real THUMOS14
SECONDS = (9.0, 1673.0)  # shortest and longest video of THUMOS14
TWINS = ("Diving", "CliffDiving")  # every CliffDiving segment is also a Diving segment
PARTNERS = ("CricketBowling", "CricketShot")  # mostly in the same videos
PURPOSE = {"annotations": 1, "world": 2, "features": 3}  # of a random stream, beside the seed


@dataclass(frozen=True)
class SyntheticConfig:
    """What `tal-repro data synth` makes. Difficulty 0 is nearly noise-free, 1 hardly learnable."""

    train_videos: int = 200
    test_videos: int = 212
    feature_dim: int = 2048
    classes: int = 20
    seconds: tuple[float, float] = SECONDS
    difficulty: float = 0.5
    seed: int = 0

    def check(self, where: str | None = None) -> None:
        """Raise InputError for a value that no data set can have."""
        shortest, longest = self.seconds
        for wrong, name, value, remedy in (
            (not 1 <= self.train_videos <= MOST_VIDEOS, "videos", self.train_videos, f"use 1 to {MOST_VIDEOS}"),
            (not 1 <= self.test_videos <= MOST_VIDEOS, "test", self.test_videos, f"use 1 to {MOST_VIDEOS}"),
            (not 4 <= self.feature_dim <= 65_536, "feature-dim", self.feature_dim, "use 4 to 65536"),
            (not 1 <= self.classes <= 20, "classes", self.classes, "THUMOS14 has 20: use 1 to 20"),
            (not 5 <= shortest <= longest <= 36_000, "seconds", self.seconds, "use 5 <= shortest <= longest <= 36000"),
            (not 0 <= self.difficulty <= 1, "difficulty", self.difficulty, "use 0 to 1"),
            (not 0 <= self.seed < 2**63, "seed", self.seed, "use a whole number from 0"),
        ):
            if wrong:
                raise InputError(f"{name} = {value}", where, remedy)


def synthetic_config(settings: Mapping[str, Any], where: str = "synthesis") -> SyntheticConfig:
    """Read a configuration from a table: videos, test, feature_dim, classes, seconds = [low, high], difficulty, seed.

    Raise InputError for an unknown key or a value that no data set can have.
    """
    values: dict[str, Any] = {}
    for key, value in settings.items():
        if key not in _SETTINGS:
            raise InputError(f"unknown key {key!r}", where, f"known keys: {', '.join(_SETTINGS)}")
        name, kind = _SETTINGS[key]
        values[name] = _pair(value, where) if kind is tuple else _number(value, kind, key, where)
    config = SyntheticConfig(**values)
    config.check(where)
    return config


_SETTINGS: dict[str, tuple[str, type]] = {
    "videos": ("train_videos", int),
    "test": ("test_videos", int),
    "feature_dim": ("feature_dim", int),
    "classes": ("classes", int),
    "seconds": ("seconds", tuple),
    "difficulty": ("difficulty", float),
    "seed": ("seed", int),
}


def _number(value: Any, kind: type, key: str, where: str) -> Any:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not (whole or (kind is float and isinstance(value, float))):
        raise InputError(f"{key} = {value!r}", where, f"use a {'whole ' if kind is int else ''}number")
    return kind(value)


def _pair(value: Any, where: str) -> tuple[float, float]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise InputError(f"seconds = {value!r}", where, "use [shortest, longest]")
    shortest, longest = (_number(bound, float, "seconds", where) for bound in value)
    return shortest, longest


@dataclass(frozen=True)
class ClassFacts:
    """How often a class occurs in THUMOS14, and how long it lasts, by subset."""

    name: str
    instances: dict[SubsetName, int]
    videos: dict[SubsetName, int]
    mean_s: dict[SubsetName, float]
    median_s: dict[SubsetName, float]


def read_class_facts(count: int = 20) -> list[ClassFacts]:
    """Return the facts of the first classes in THUMOS14's order; the twins come first where there are fewer than 20."""
    rows = load_table(FOLDER / "thumos14_classes.csv", SCHEMAS["thumos14_classes"]).rows()
    subsets: tuple[tuple[SubsetName, str], ...] = (("train", "val"), ("test", "test"))
    facts = [
        ClassFacts(
            row["class"],
            {subset: row[f"{column}_inst"] for subset, column in subsets},
            {subset: row[f"{column}_videos"] for subset, column in subsets},
            {subset: row[f"{column}_mean_s"] for subset, column in subsets},
            {subset: row[f"{column}_median_s"] for subset, column in subsets},
        )
        for row in rows
    ]
    related = [*TWINS, *PARTNERS]
    first = sorted(facts, key=lambda fact: related.index(fact.name) if fact.name in related else len(related))
    kept = {fact.name for fact in first[:count]}
    return [fact for fact in facts if fact.name in kept]


@dataclass(frozen=True)
class Action:
    """One action in seconds. `shown_*` is where the features show it, the others what the annotation says."""

    label: str
    start_s: float
    end_s: float
    shown_start_s: float
    shown_end_s: float


@dataclass(frozen=True)
class SyntheticVideo:
    """One invented video, before its features."""

    id: str
    index: int  # of its random stream
    subset: SubsetName
    duration_s: float
    fps: float
    actions: tuple[Action, ...] = ()
    ambiguous_s: tuple[tuple[float, float], ...] = ()
    quirk: str = field(default="", compare=False)

"""What changed in a data set between two states, in words: by video, and by key of its definition.

Between `state` (a set as it is now) and `run.inputs`, which keeps the states that runs were made from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import TYPE_CHECKING, Any

from tal_repro.untrusted import short

if TYPE_CHECKING:
    from tal_repro.data.state import DataState

PARTS = ("annotations", "rates", "durations", "features")  # of VideoState
OF_RATES = ("fps", "steps a second")  # numbers in a video's row behind those; a former kit wrote none
# the keys of a definition that decide those numbers
DECIDED_BY = ({"fps", "steps_per_second"}, {"fps", "steps_per_second", "stride_frames"})
NOT_STATED: tuple[Any, ...] = (None, "", [])


def name_changes(before: Mapping[str, Any], now: DataState, video_ids: Iterable[str]) -> str:
    """Name what changed in some videos since a state of `DataState.to_json`, with old and new value where it has one.

    "features of 3 videos", "fps of 1 video (25, now 30)", "slice_stride_frames (4, now 8)".
    """
    kept = _object(before, "videos")
    rows = {key: row for key, row in kept.items() if isinstance(row, list) and len(row) >= len(PARTS)}
    ids = set(video_ids)
    known = sorted(ids & set(rows))
    changed = {
        part: [key for key in known if rows[key][index] != now.videos[key][index]] for index, part in enumerate(PARTS)
    }
    stated = _stated(_object(before, "stated"), now.stated)
    named = [f"{key} ({was}, now {value})" for key, (was, value) in stated.items()]
    if before.get("classes", list(now.classes)) != list(now.classes) and "classes" not in stated:
        named.append("classes, or their order")
    named += _rates({key: rows[key][len(PARTS) :] for key in changed.pop("rates")}, now, set(stated))
    named += [f"{part} of {_count(keys)}" for part, keys in changed.items() if keys]
    if added := len(ids - set(rows)):
        named.append(f"{added} other videos")
    return ", ".join(named) or "which videos are read"


def _object(before: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = before.get(key)
    return value if isinstance(value, dict) else {}


def _stated(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return key of the definition -> old and new value, in words."""
    changed = {key: (before[key], value) for key, value in now.items() if key in before and before[key] != value}
    return {key: (_value(was), _value(value)) for key, (was, value) in changed.items()}


def _value(value: Any) -> str:
    if value in NOT_STATED:
        return "not stated"
    return f"{value:g}" if isinstance(value, float) else short(value)


def _rates(before: Mapping[str, Sequence[Any]], now: DataState, stated: set[str]) -> list[str]:
    """Name the rates of videos that changed, from what they were; not those that the definition's changes decide."""
    named: list[str] = []
    for index, rate in enumerate(OF_RATES):
        pairs = [(row[index], now.rates[key][index]) for key, row in before.items() if len(row) > index]
        pairs = [(was, value) for was, value in pairs if was != value]
        if pairs and not named and not DECIDED_BY[index] & stated:
            first = "first: " if len(set(pairs)) > 1 else ""
            named.append(f"{rate} of {_count(pairs)} ({first}{_value(pairs[0][0])}, now {_value(pairs[0][1])})")
    if before and not named and not stated:
        return [f"fps, strides or clips of {_count(before)}"]
    return named


def _count(videos: Sized) -> str:
    return f"{len(videos)} video{'s' * (len(videos) != 1)}"

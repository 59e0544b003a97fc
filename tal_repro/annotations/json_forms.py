"""JSON annotations: ActivityNet's form with a `database`, bare as BSN's and BMN's, or with `actions` as Charades'."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tal_repro.annotations.rows import Entries, Read
from tal_repro.errors import InputError
from tal_repro.untrusted import read_json_object, short

PLAIN = "JSON of ActivityNet's form"
_BARE = "JSON of videos alone, as BSN's and mmaction2's"
_ACTIONS = "JSON of videos with actions [class, start, end], as MultiTHUMOS' and Charades'"
_FORM = (
    '{"database": {VIDEO: {"subset": "test", "duration": SECONDS, "annotations": '
    '[{"label": CLASS, "segment": [START, END]}]}}}'
)


def read_json_form(path: Path) -> Read:
    """Read JSON annotations; InputError, with the form to write, where they are of another."""
    content = read_json_object(path)
    if "database" in content:
        if not isinstance(content["database"], dict):
            raise InputError(f"no object 'database', but {short(content['database'])}", path, f"write {_FORM}")
        database: Entries = content.pop("database")
        return Read(database, PLAIN, content, bare=False)
    if _all_hold(content, "annotations"):
        return Read(content, _BARE)
    if _all_hold(content, "actions"):
        return Read({video: _annotated(entry) for video, entry in content.items()}, _ACTIONS)
    raise InputError("no object 'database', nor videos with 'annotations'", path, f"write {_FORM}")


def _all_hold(content: dict[str, Any], key: str) -> bool:
    return bool(content) and all(isinstance(entry, dict) and key in entry for entry in content.values())


def _annotated(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an entry with `annotations` for its `actions`; what is no [class, start, end] is left to its reader."""
    actions = entry["actions"]
    facts = {name: value for name, value in entry.items() if name != "actions"}
    return {**facts, "annotations": list(map(_annotation, actions)) if isinstance(actions, list) else actions}


def _annotation(action: Any) -> Any:
    if not isinstance(action, list) or len(action) != 3 or isinstance(action[0], bool):
        return action
    label = str(action[0]) if isinstance(action[0], int) else action[0]
    return {"label": label, "segment": action[1:]}

"""The studies of a results folder: `run` keeps what it was started with, readers plan from it which runs count.

`<results>/.studies/<name>.json` holds a study's text, scope and settings, and the digests of the data of its last
start: nobody types a setting twice, and no reader needs the data.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tal_repro.engines.registry import engine_version, engines_of
from tal_repro.errors import InputError
from tal_repro.files import is_own_there, write_json, write_whole
from tal_repro.runs.members import Planned
from tal_repro.spec import DATA_DIGITS, SCOPES, RunSpec
from tal_repro.study import Study, find_study, load_study
from tal_repro.untrusted import read_json_object

FOLDER = ".studies"
SCHEMA = "tal-repro/study-note/1"
DEFAULT = "paper"
AGAIN = "start the study again: tal-repro run"


@dataclass(frozen=True)
class Note:
    """What a results folder keeps of a study that was run into it."""

    name: str
    given: str  # what --study was given
    text: str  # of the study file
    scope: str
    settings: tuple[str, ...]
    digests: Mapping[str, str] = field(default_factory=dict)  # planned id -> data digest
    sets: Mapping[str, str] = field(default_factory=dict)  # layout -> digest of the whole set

    def study(self, where: Path) -> Study:
        """Return the study as it was started."""
        settings = dict(setting.split("=", 1) for setting in self.settings)
        return load_study(self.given, settings, text=self.text.encode(), where=str(where))


def keep(root: Path, study: Study, scope: str, specs: Iterable[RunSpec], sets: Mapping[str, str]) -> None:
    """Keep what a study is started with; its data digests replace those of an earlier start run by run."""
    path = note_path(root, study.name)
    text = study.path.read_text(encoding="utf-8")
    before = read_note(path) if is_own_there(path, AGAIN) else None
    if before is not None and (before.text, before.settings) == (text, study.settings):
        scope = max(scope, before.scope, key=SCOPES.index)
    digests = {spec.run_id: spec.data_digest[:DATA_DIGITS] for spec in specs if spec.data_digest}
    earlier: tuple[Mapping[str, str], Mapping[str, str]] = (before.digests, before.sets) if before else ({}, {})
    write_json(_made(path), {
        "schema": SCHEMA, "name": study.name, "given": study.given, "text": text, "scope": scope,
        "settings": list(study.settings), "digests": {**earlier[0], **digests},
        "sets": {**earlier[1], **{layout: digest[:DATA_DIGITS] for layout, digest in sets.items()}},
    })  # fmt: skip


def note_path(root: Path, name: str) -> Path:
    """Return where a results folder keeps a study of this name."""
    return root / FOLDER / f"{''.join(letter if letter.isalnum() or letter in '-_' else '_' for letter in name)}.json"


def _made(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def read_note(path: Path) -> Note:
    """Read a kept study; raise InputError naming the field that does not fit."""
    is_own_there(path, AGAIN)
    raw = read_json_object(path, most_bytes=64 << 20, remedy=AGAIN)
    texts = all(isinstance(raw.get(name), str) for name in ("name", "given", "text", "scope"))
    listed = isinstance(raw.get("settings"), list) and all(isinstance(s, str) and "=" in s for s in raw["settings"])
    if raw.get("schema") != SCHEMA or not texts or not listed or raw["scope"] not in SCOPES:
        raise InputError("not a study as `tal-repro run` keeps it", path, AGAIN)
    return Note(
        raw["name"], raw["given"], raw["text"], raw["scope"], tuple(raw["settings"]),
        _strings(raw.get("digests"), path), _strings(raw.get("sets"), path),
    )  # fmt: skip


def _strings(value: Any, path: Path) -> dict[str, str]:
    if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
        raise InputError("digests are not text", path, AGAIN)
    return value


def notes(root: Path) -> list[Note]:
    """Return the studies that were run into a results folder, by name."""
    return [read_note(path) for path in sorted((root / FOLDER).glob("*.json"))]


def portable_notes(root: Path) -> list[tuple[str, bytes]]:
    """Return (file name, content) of the kept studies as they may travel: without the folder that a study lay in."""
    portable = []
    for path in sorted((root / FOLDER).glob("*.json")):
        raw = read_json_object(path)
        portable.append((path.name, json.dumps({**raw, "given": Path(read_note(path).given).name}, indent=1).encode()))
    return portable


def adopt_notes(root: Path, arrived: Path) -> None:
    """Keep the studies that came with an archive, but for those that are here already."""
    for path in sorted((arrived / FOLDER).glob("*.json")):
        read_note(path)
        if not is_own_there(root / FOLDER / path.name, AGAIN):
            write_whole(_made(root / FOLDER / path.name), path.read_bytes())


def latest_digests(root: Path, study: Study) -> Mapping[str, str]:
    """Return the data digests of a study's last start into a results folder (planned id -> digest)."""
    path = note_path(root, study.name)
    return read_note(path).digests if is_own_there(path, AGAIN) else {}


def planned(root: Path, name: str | None = None, settings: Sequence[str] = ()) -> Planned:
    """Return the study whose runs a results folder is read for.

    `name`: one that was run into it, a shipped one, or a study file. Without: the one that was run into it, the
    paper's where none was; InputError where several were.
    """
    kept = {note.name: note for note in notes(root)}
    if name is None and len(kept) > 1:
        what = f"holds runs of {len(kept)} studies: {', '.join(kept)}"
        raise InputError(what, root, f"say which one is meant, for example --study {next(iter(kept))}")
    note = kept.get(name) if name is not None else next(iter(kept.values()), None)
    if note is None and name is not None:  # a shipped study, or a file: perhaps of a kept name
        study = load_study(name)
        note = kept.get(study.name)
    if note is not None:
        return _planned(note.study(root / FOLDER), note.scope, note)
    return _planned(load_study(str(find_study(name or DEFAULT).stem) if name is None else name), SCOPES[-1], None)


def _planned(study: Study, scope: str, note: Note | None) -> Planned:
    if study.admits:
        scope = SCOPES[-1]
    specs = study.runs(scope)
    digests = {} if note is None else note.digests
    sets = {} if note is None else note.sets
    return Planned(study.name, study.data, specs, _versions(specs), study.admits, digests, sets)


def _versions(specs: Iterable[RunSpec]) -> dict[tuple[str, str, str], str]:
    pairs = {(spec.model, spec.experiment) for spec in specs}
    return {
        (model, engine, experiment): engine_version(model, engine, experiment)
        for model, experiment in pairs
        for engine in engines_of(model)
    }

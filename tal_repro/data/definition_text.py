"""The file of a definition, written: what `data describe --out` leaves behind; `definition` reads it back."""

from __future__ import annotations

from pathlib import Path

from tal_repro.data.definition import SCHEMA, Definition


def definition_text(definition: Definition, comments: dict[str, str] | None = None) -> str:
    """Return the file of a definition; `comments`: key -> what is said behind it. `read_definition` reads it back."""
    said = comments or {}

    def line(key: str, value: object) -> str:
        return f"{key} = {_toml(value)}" + (f"  # {said[key]}" if key in said else "")

    def shown(path: Path) -> str:
        home = definition.path.parent
        return str(path.relative_to(home)) if path.is_relative_to(home) else str(path)

    step = (
        ("stride_frames", definition.stride_frames)
        if definition.stride_frames is not None
        else ("steps_per_second", definition.steps_per_second)
    )
    optional = {
        "key": definition.key or None,
        "clip_frames": definition.clip_frames,
        "slice_stride_frames": definition.slice_stride_frames,
        "ending": definition.ending,
        "dtype": definition.dtype or None,
        "lengths": shown(definition.lengths) if definition.lengths else None,
    }
    source = definition.annotations
    said_of_annotations = {
        "annotation_hash": definition.annotation_hash or None,
        "videos": shown(source.videos) if source.videos else None,
        "labels": source.labels or None,
        "classes": list(source.classes) or None,
    }
    lines = [
        line("schema", SCHEMA), line("name", definition.name), line("annotations", shown(source.path)),
        *(line(key, value) for key, value in said_of_annotations.items() if value is not None),
        "", "[splits]", line("train", list(definition.train)), line("test", list(definition.test)),
        "", "[features]", line("path", shown(definition.features)), line("type", definition.file_type),
        line("axes", definition.axes), line(*step),
        *(line(key, value) for key, value in optional.items() if value is not None),
        "", "[time]", line("unit", source.unit),
        *([line("fps", source.fps)] if source.fps is not None else []),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    text = str(value).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'

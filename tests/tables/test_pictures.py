"""The pictures of docs/: drawn from the source as it is, and the source has no circle of rooms."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest

from benchmarks.tables import architecture, documents, imports, path_of_data
from tal_repro.errors import InputError


def test_no_room_imports_itself_through_others() -> None:
    graph = imports.room_graph()
    assert not [room for room in graph if room in imports.reached(graph, room)]


def test_what_all_stand_on_imports_no_room() -> None:
    rooms = set(imports.room_graph())
    upward = {
        (module, name)
        for module, names in imports.module_graph().items()
        for name in names
        if imports.room_of(module) in imports.GROUND and imports.room_of(name) in rooms
    }
    assert not upward


@pytest.mark.parametrize("draw", documents.PICTURES.values())
def test_a_picture_is_whole_and_grey(draw) -> None:
    root = ElementTree.fromstring(draw())
    _, _, width, height = map(float, root.attrib["viewBox"].split())
    frames = [each.attrib for each in root.iter() if each.tag.endswith("rect")]
    boxes = [frame for frame in frames if frame.get("rx")]
    assert all(float(box["x"]) + float(box["width"]) <= width for box in boxes)
    assert all(float(box["y"]) + float(box["height"]) <= height for box in boxes)
    colours = {value for frame in frames for key, value in frame.items() if key in ("fill", "stroke")} - {"none"}
    assert all(re.fullmatch(r"#(\w)\1\1|#(\w\w)\2\2", colour) for colour in colours), "print knows no colour"


def test_every_import_is_drawn_or_implied() -> None:
    graph, drawn = imports.room_graph(), imports.reduced(imports.room_graph())
    by_room: dict[str, set[str]] = {}
    for room, name in drawn:
        by_room.setdefault(room, set()).add(name)
    assert all(names <= imports.reached(by_room, room) for room, names in graph.items())
    assert architecture.architecture_svg().count("<line") == len(drawn)


def test_a_new_room_and_a_lost_way_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(architecture.PLACES, "attic", (0, 0))
    with pytest.raises(InputError, match="attic"):
        architecture.architecture_svg()
    monkeypatch.setattr(path_of_data, "JOINED", (("curves.forecast", "data.store", "", ()),))
    with pytest.raises(InputError, match=r"nothing joins curves\.forecast and data\.store"):
        path_of_data.path_svg()

"""docs/architecture.svg: the rooms of the package and which imports which, read from the source."""

from __future__ import annotations

from benchmarks.tables.imports import GROUND, PACKAGE, modules, purpose, reduced, room_graph
from benchmarks.tables.svg import Box, arrow, picture
from tal_repro.errors import InputError

HERE = "benchmarks/tables/architecture.py"
WIDTH, ROW = 860, 110  # pixels
# Where a room stands: column (pixels of the left edge), row. Arrows come from the source.
PLACES: dict[str, tuple[float, float]] = {
    "cli": (300, 0),
    "commands": (300, 1), "gpu_check": (600, 1),
    "paper": (110, 2), "doctor": (490, 2),
    "advice": (10, 3), "run": (300, 3),
    "study": (300, 4),
    "engines": (300, 5),
    "runs": (110, 6), "data": (330, 6), "machine": (640, 6),
    "published": (412, 7), "measure": (655, 7),
    "detection": (665, 8),
    "curves": (10, 9), "spec": (205, 9), "models": (400, 9), "annotations": (665, 9),
}  # fmt: skip


def rooms_drawn() -> dict[str, Box]:
    """Return a box for each room; raise InputError for one that has no place, or a place without a room."""
    rooms = set(room_graph())
    if rooms != set(PLACES):
        odd = ", ".join(sorted(rooms ^ set(PLACES)))
        raise InputError(f"rooms and places differ: {odd}", HERE, "give each room a place")
    return {room: Box(room, purpose(f"{PACKAGE}.{room}"), x, 10 + ROW * row) for room, (x, row) in PLACES.items()}


def architecture_svg() -> str:
    """Return the picture. An import that a chain of others implies is left out."""
    boxes = rooms_drawn()
    arrows = [arrow(boxes[room], boxes[name]) for room, name in reduced(room_graph())]
    bottom = max(box.y + box.height for box in boxes.values()) + 16
    single = [name for name in GROUND if f"{PACKAGE}.{name}" in modules()]
    ground = Box("what every room stands on", ", ".join(single), 10, bottom, WIDTH - 20, "#ddd")
    title = "The rooms of tal_repro: an arrow goes from the room that imports to the one that is imported"
    return picture(title, (WIDTH, bottom + ground.height + 10), arrows, [*boxes.values(), ground])

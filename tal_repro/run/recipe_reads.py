"""Which fields of its recipe does a description read? One that it never reads, a study would set for nothing."""

from __future__ import annotations

from typing import Any

OF_THE_DATA = ("feature_dim", "num_classes")  # scripts may count them
ONE_BY_ONE = "batch_size"  # authors' code may know no other than one unit a step; what it takes is seen


def watched(recipe: Any) -> tuple[Any, set[str]]:
    """Return a recipe that is the one given in all but its class, and the set in which it notes the names it is asked.

    `vars(recipe)` asks for all of them.
    """
    names: set[str] = set()

    def read(self: Any, name: str) -> Any:
        names.update(fields if name == "__dict__" else (name,))
        return object.__getattribute__(self, name)

    fields = tuple(type(recipe).__dataclass_fields__)
    watching = type(type(recipe).__name__, (type(recipe),), {"__getattribute__": read})
    copy: Any = object.__new__(watching)
    object.__getattribute__(copy, "__dict__").update(vars(recipe))
    return copy, names


def unread(recipe: Any, names: set[str]) -> list[str]:
    """Return the fields of a recipe that are not among the names and that scripts must be told."""
    needed = (name for name in type(recipe).__dataclass_fields__ if name not in (*OF_THE_DATA, ONE_BY_ONE))
    return [name for name in needed if name not in names]

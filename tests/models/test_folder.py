"""The map of the folder in the package's docstring: every module is on it, and everything on it is there."""

from __future__ import annotations

import re
from pathlib import Path

import tal_repro.models as models


def test_the_map_shows_every_module_and_no_other() -> None:
    assert models.__doc__ is not None
    shown = set(re.findall(r"`(\w+)`", models.__doc__)) - {"build", "load_upstream_state"}
    folder = Path(models.__file__).parent
    assert shown == {path.stem for path in folder.glob("*.py")} - {"__init__"}

"""Write the patch hash of each model into the package, where an installed wheel reads it: make docs.

A run id holds the hash of the patches, and a wheel does not hold the patches themselves.
"""

from __future__ import annotations

import json

from tal_repro.engines.registry import PINS, patch_hash
from tal_repro.files import write_whole
from tal_repro.models.registry import MODELS


def pins_text() -> str:
    """Return what the file must hold for the patches of this clone."""
    return json.dumps({model: patch_hash(model) for model in MODELS}, indent=1) + "\n"


def write_pins() -> None:
    """Write the file."""
    write_whole(PINS, pins_text().encode())

"""The authors' own models, loaded unchanged from their checkouts, beside the native ones: what parity is measured on.

`pair(name, recipe, folder)` gives both models with the same weights. Only the tools in `benchmarks/` and the tests
marked `upstream` use this.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.reference.pair import Pair

__all__ = ["Pair", "pair"]


def pair(name: str, recipe: Any, folder: Path) -> Pair:
    """Return the upstream model in checkout `folder` and the native one, both built at `recipe`."""
    if name == "tadtr":
        from benchmarks.reference.tadtr import TadtrPair

        return TadtrPair(recipe, folder)
    from benchmarks.reference.pyramid import PyramidPair

    return PyramidPair(name, recipe, folder)

"""The registry's way in: which adapter runs a model by its authors' code."""

from __future__ import annotations

from tal_repro.engines.upstream.adapter import UpstreamAdapter
from tal_repro.models.registry import model_entry


def adapter(model: str) -> UpstreamAdapter:
    """Return the upstream adapter of `model`: one of the four's, or that of a model that was added."""
    if model_entry(model).adapter:
        from tal_repro.engines.upstream.added import AddedAdapter

        return AddedAdapter(model)
    return UpstreamAdapter(model)

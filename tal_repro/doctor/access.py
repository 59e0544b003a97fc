"""Write access, and locks that work: where runs, data and patched copies go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tal_repro.doctor.finding import Finding, fail, ok
from tal_repro.doctor.needs import Needs
from tal_repro.doctor.probes import Probes


def findings(needs: Needs, probes: Probes) -> Iterator[Finding]:
    """Check that every folder that will be written can be: one line, or one for each that cannot."""
    good = []
    for name, folder, remedy in _folders(needs, bool(probes.environment.get("TAL_REPRO_CONTAINER"))):
        if said := probes.obstacle(folder):
            yield fail(f"write {name}", f"{folder}: {said}", remedy)
        else:
            good.append(name)
    if good:
        yield ok("write access", f"{', '.join(good)} can be written and locked")


def _folders(needs: Needs, inside: bool) -> Iterator[tuple[str, Path, str]]:
    yield "results", needs.results, "give another folder: --results DIR"
    if needs.makes_data and needs.data is not None:
        yield "data", needs.data, "give another folder: --data DIR"
    if needs.upstream and needs.runtime == "none" and not inside:  # an image has its copies, or none
        from tal_repro.engines.upstream.checkout import prepared_folder
        from tal_repro.models.registry import model_entry

        folder = prepared_folder(model_entry(needs.upstream[0])).parent
        if not folder.is_dir() or not any(folder.iterdir()):  # copies that are there need not be written
            yield "patched copies", folder, "name another folder: TAL_REPRO_UPSTREAM=DIR"

"""What `doctor --fix` does: folders, stale locks, patched copies. Nothing that deletes, installs, fetches or ends.

It never touches data, runs, packages, the driver, the clock or a process: for those the remedies are for you to run.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tal_repro.doctor.needs import Needs
from tal_repro.doctor.probes import Probes
from tal_repro.errors import InputError


def mend(needs: Needs, probes: Probes) -> Iterator[str]:
    """Do what is safe; say what was done, and what could not be."""
    yield from _folders(needs)
    yield from _locks(needs.results)
    if needs.runtime == "none":
        yield from _copies(needs, probes)


def _folders(needs: Needs) -> Iterator[str]:
    """Make the results folder and the one that the data folder will lie in (an empty data folder would mislead)."""
    for folder in [needs.results, *([needs.data.parent] if needs.data is not None else [])]:
        if folder.is_dir():
            continue
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            yield f"could not make {folder} ({error.strerror})"
        else:
            yield f"made {folder}"


def _locks(results: Path) -> Iterator[str]:
    """Delete lock files that nobody holds: what a killed runner leaves."""
    from tal_repro.run.gc import delete, find_rubbish
    from tal_repro.runs.store import RunStore

    if not results.is_dir():
        return
    store = RunStore(results)
    try:
        stale = [item for item in find_rubbish(store) if item.kind == "lock"]
        delete(store, stale)
    except OSError as error:
        yield f"could not remove stale locks ({error.strerror})"
        return
    if stale:
        yield f"removed {len(stale)} stale lock{'s' * (len(stale) != 1)}"


def _copies(needs: Needs, probes: Probes) -> Iterator[str]:
    """Make the patched copies of checkouts that are as they should be."""
    from tal_repro.engines.upstream.checkout import prepare

    for model in needs.upstream:
        status = probes.checkout(model)
        if status.prepared or status.problem:
            continue
        try:
            yield f"made the patched copy of {model} in {prepare(model)}"
        except (InputError, OSError) as error:
            yield f"could not make the patched copy of {model} ({error})"

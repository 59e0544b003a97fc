"""Disk, memory, cores, clock and write access: the figures of the machine beside those of the plan."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from tal_repro.doctor.container import engine_folder, has_image
from tal_repro.doctor.finding import Finding, fail, ok, warn
from tal_repro.doctor.needs import ARCHIVE_BESIDE, LAYOUT_BYTES, Needs
from tal_repro.doctor.probes import Probes
from tal_repro.machine.host import GIB, MIB, Disk
from tal_repro.run.room import RUN_MEMORY_BYTES, RUN_SHARED_BYTES

RESERVE_BYTES = 2 * GIB  # a disk that is full to the last GiB troubles everybody on it
INODES_A_RUN = 40
IMAGE_BYTES = {"cpu": 4 * GIB, "cuda": 16 * GIB}  # environment and the stage it is built in
DAY_SECONDS = 86400.0


def findings(needs: Needs, probes: Probes) -> Iterator[Finding]:
    """Check disk by file system, memory, shared memory, cores and the clock."""
    yield from _disks(needs, probes)
    yield from sharing(needs, probes)
    yield _clock(probes)


def sharing(needs: Needs, probes: Probes) -> Iterator[Finding]:
    """Check what runs that go on at a time share: memory, shared memory, cores."""
    yield _memory(needs, probes)
    if needs.loader_workers:
        yield _shared_memory(needs, probes)
    yield _cores(needs, probes)


def _wanted(needs: Needs, probes: Probes) -> list[tuple[str, Path, int]]:
    """Return what will be written: name, folder, bytes."""
    places = [("results", needs.results, needs.results_bytes)]
    if needs.needs_data and not needs.makes_data and needs.data is not None:
        places.append(("data", needs.data, data_bytes(needs)))
    folder = engine_folder(needs, probes)
    if folder is not None and not has_image(needs, probes):
        variant = "cuda" if needs.cuda else "cpu"
        places.append(("image", folder, IMAGE_BYTES[variant]))
    return places


def data_bytes(needs: Needs) -> int:
    """Return what fetching the layouts that are missing will take, archive and files."""
    from tal_repro.data.layouts import find_layouts

    assert needs.data is not None
    there = {layout.name for layout in find_layouts(needs.data)} if needs.data.is_dir() else set()
    missing = [name for name in needs.layouts or ("actionformer",) if name not in there]
    if not needs.layouts and there:  # the native engine takes either
        missing = []
    return ARCHIVE_BESIDE * sum(LAYOUT_BYTES[name] for name in missing)


def _disks(needs: Needs, probes: Probes) -> Iterator[Finding]:
    """Add up by file system: results and data often share one."""
    by_device: dict[int, tuple[Disk, list[tuple[str, Path, int]]]] = {}
    for name, folder, size in _wanted(needs, probes):
        disk = probes.disk(folder)
        by_device.setdefault(disk.device, (disk, []))[1].append((name, folder, size))
    for disk, uses in by_device.values():
        need = sum(size for _, _, size in uses)
        parts = " + ".join(f"{name} {_gib(size)}" for name, _, size in uses)
        name = f"disk of {uses[0][0]}"
        figures = {"needed_bytes": need, "free_bytes": disk.free_bytes}
        what = f"{parts} needed, {_gib(disk.free_bytes)} of {_gib(disk.total_bytes)} free"
        other = f"free {_gib(need - disk.free_bytes)} there, or use another disk: --results DIR, --data DIR"
        if disk.free_bytes < need:
            yield fail(name, what, other, **figures)
        elif 0 <= disk.free_inodes < INODES_A_RUN * max(needs.pending, 1):
            yield fail(
                name,
                f"{disk.free_inodes} files can still be made there",
                "make room for files there: df -i shows it",
                **figures,
            )
        elif disk.free_bytes < need + RESERVE_BYTES:
            yield warn(name, f"{what}: little is left then", "free some, or watch it", **figures)
        else:
            yield ok(name, what, **figures)


def _memory(needs: Needs, probes: Probes) -> Finding:
    total, available = probes.memory()
    need = needs.jobs * RUN_MEMORY_BYTES
    at_once = f"{needs.jobs} run{'s' * (needs.jobs != 1)} at a time"
    what = f"{_gib(available)} of {_gib(total)} available, {_gib(need)} are enough for {at_once}"
    figures = {"needed_bytes": need, "available_bytes": available, "total_bytes": total}
    if available >= need:
        return ok("memory", what, **figures)
    if total >= need:
        return warn("memory", what, "end other programs, or fewer at a time: --jobs 1", **figures)
    return warn("memory", what, "expect the largest models to be killed; use a larger machine", **figures)


def _shared_memory(needs: Needs, probes: Probes) -> Finding:
    free = probes.shared_memory()
    need = needs.jobs * RUN_SHARED_BYTES
    runs = f" of {needs.jobs} runs each" if needs.jobs > 1 else ""
    what = f"{_gib(free)} free in /dev/shm for {needs.loader_workers} loader workers{runs}"
    if free < 0:
        return warn("shared memory", "there is no /dev/shm: loader workers may fail", "mount a tmpfs there")
    if free < need:
        asked = f"in a container: --shm-size {need // GIB}g or more (docker/kit.sh gives 4g)"
        return warn("shared memory", what, asked, free_bytes=free)
    return ok("shared memory", what, free_bytes=free)


def _cores(needs: Needs, probes: Probes) -> Finding:
    cores = probes.cores()
    needed = max(2, needs.loader_workers + 1 if needs.cuda else 2)
    if cores < needed:
        why = f"{cores}; a training and its loader workers use {needed}: the GPU will wait, and times with it"
        return warn("cores", why, "take times on a machine with more cores", cores=cores)
    return ok("cores", f"{cores} usable, a training uses {needed}", cores=cores)


def _clock(probes: Probes) -> Finding:
    clock = probes.clock()
    date = time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(clock.now))
    behind = (clock.newest_file - clock.now) / DAY_SECONDS
    if behind > 1:
        what = f"{date} is {behind:.0f} days before the newest file of the kit was written"
        return fail("clock", what, "set it: sudo timedatectl set-ntp true; downloads fail with a wrong date")
    if clock.synchronised is False:
        return warn("clock", f"{date}, not synchronised", "sudo timedatectl set-ntp true")
    return ok("clock", f"{date}{', synchronised' if clock.synchronised else ''}")


def _gib(size: int) -> str:
    """Write bytes as GiB; under a tenth as MiB."""
    return f"{size / GIB:.1f} GiB" if abs(size) >= GIB / 10 else f"{size / MIB:.0f} MiB"


def write_access(needs: Needs, probes: Probes) -> Iterator[Finding]:
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

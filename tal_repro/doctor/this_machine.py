"""The real probes: this machine as it is now. Nothing here judges, raises or changes anything."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import sys
import time
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from tal_repro import kit
from tal_repro.doctor.probes import Clock, Probes, Torch
from tal_repro.engines.upstream.requirements import normalised
from tal_repro.machine import host
from tal_repro.machine.gpus import read_gpus
from tal_repro.machine.host import run

if TYPE_CHECKING:
    from tal_repro.engines.upstream.checkout import Status

IMPORT_SECONDS = 180.0  # torch from a cold network disk
DATED = ("env/light.lock", "Makefile", ".git/index", "tal_repro/__init__.py")  # written when the kit was put here
ASK_TORCH = """
import json, torch
problem = ""
try:
    torch.cuda.init()
except Exception as error:
    problem = str(error).splitlines()[0] if str(error) else type(error).__name__
print(json.dumps([torch.__version__, torch.cuda.is_available(), torch.cuda.get_arch_list(), problem]))
"""


def this_machine() -> Probes:
    """Return the probes of the machine this runs on."""
    return Probes(
        environment=os.environ,
        which=shutil.which,
        run=run,
        gpus=cache(partial(read_gpus, run)),
        torch=ask_torch,
        disk=host.disk,
        disk_file=Path.is_file,
        shared_memory=host.shared_memory,
        obstacle=host.obstacle,
        memory=host.memory,
        cores=host.cores,
        installed=cache(installed),
        layers=layers,
        clock=clock,
        checkout=_checkout,
        copy_files=copy_files,
    )


def ask_torch() -> Torch | None:
    """Ask torch in a process of its own: a broken one cannot take this one along."""
    answer = run([sys.executable, "-c", ASK_TORCH], IMPORT_SECONDS)
    try:
        version, available, architectures, problem = json.loads(answer.out.strip().splitlines()[-1])
    except (ValueError, IndexError):
        return None
    return Torch(str(version), bool(available), tuple(map(str, architectures)), str(problem))


def installed() -> dict[str, str]:
    """Return what this interpreter imports from, by normalised name."""
    names = ((package.metadata["Name"], package.version) for package in importlib.metadata.distributions())
    return {normalised(name): version for name, version in names if name}


def layers() -> frozenset[str]:
    """Return the marks that env/setup.py left in this environment."""
    return frozenset(path.name[1:] for path in Path(sys.prefix).glob(".*") if path.is_file())


def clock() -> Clock:
    """Return the time, that of the newest of a few files, and what systemd says of synchronisation."""
    newest = max((path.stat().st_mtime for path in map(kit.IMPORT_ROOT.joinpath, DATED) if path.exists()), default=0.0)
    answer = run(["timedatectl", "show", "--property=NTPSynchronized", "--value"])
    synchronised = {"yes": True, "no": False}.get(answer.out.strip()) if answer.code == 0 else None
    return Clock(time.time(), newest, synchronised)


def _checkout(model: str) -> Status:
    from tal_repro.engines.upstream.checkout import status

    return status(model)


def copy_files(model: str) -> dict[str, str]:
    """Return the state of each patched file, and of each changed one, in a model's copy ({} where there is none)."""
    from tal_repro.engines.upstream.checkout import MARK, changed_files, prepared_folder
    from tal_repro.engines.upstream.patches import file_states, model_patches
    from tal_repro.models.registry import model_entry

    folder = prepared_folder(model_entry(model))
    if not (folder / MARK).is_file():
        return {}
    states: dict[str, str] = dict.fromkeys(changed_files(folder), "changed")
    return states | file_states(folder, model_patches(kit.patches(model)))

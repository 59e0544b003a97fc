"""The extra packages that a model's code needs (patches/<model>/requirements.lock): are they in this environment?

`make setup-upstream` and the image's build install them, each under its hash; a run only looks.
"""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

from tal_repro import kit
from tal_repro.errors import InputError

REMEDY = "make setup-upstream installs it (in a container: make image TARGET=upstream FORCE=1)"


def check_packages(model: str) -> int:
    """Return how many extra packages a model has; raise InputError where one is not here at the version it was locked.

    0 where the kit is an installed wheel: it holds no locks, and the authors' code does not run from it either.
    """
    if kit.checkout() is None:
        return 0
    lock = kit.patches(model) / kit.MODEL_LOCK
    needed = locked(lock) if lock.exists() else []
    for requirement in needed:
        try:
            here = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            here = ""
        if not requirement.specifier.contains(here or "0", prereleases=True) or not here:
            raise InputError(f"{requirement} is needed, here is {here or 'none'}", lock, REMEDY)
    return len(needed)


def locked(lock: Path) -> list[Requirement]:
    """Return what a lock pins for this Python and platform; raise InputError naming a line that is none."""
    found = []
    for number, line in enumerate(lock.read_text(encoding="utf-8").splitlines(), 1):
        text = line.partition("#")[0].strip().rstrip("\\").strip()
        if not text or text.startswith("--hash="):
            continue
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            raise InputError(f"line {number}: {text!r}", lock, "write it with make lock") from None
        if requirement.marker is None or requirement.marker.evaluate():
            found.append(requirement)
    return found

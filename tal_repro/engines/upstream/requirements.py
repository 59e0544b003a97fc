"""Locks of packages, and the extra packages that a model's code needs (patches/<model>/requirements.lock).

`make setup-upstream` and the image's build install those, each under its hash; a run only looks whether they are here.
"""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

from tal_repro import kit
from tal_repro.errors import InputError
from tal_repro.files import is_there
from tal_repro.untrusted.reading import decode, read_bytes

REWRITE = "write it with make lock"
REMEDY = "make setup-upstream installs it (in a container: make image TARGET=upstream FORCE=1)"


def check_packages(model: str) -> int:
    """Return how many extra packages a model has; raise InputError where one is not here at the version it was locked.

    0 where the kit is an installed wheel: it holds no locks, and the authors' code does not run from it either.
    """
    pins = extra_pins(model)
    for name, version in pins.items():
        try:
            here = metadata.version(name)
        except metadata.PackageNotFoundError:
            here = ""
        if release(here) != version:
            what = f"{name} {version} is needed, here is {here or 'none'}"
            raise InputError(what, kit.patches(model) / kit.MODEL_LOCK, REMEDY)
    return len(pins)


def extra_pins(model: str) -> dict[str, str]:
    """Return package -> version of what a model's code needs besides ({} where it brings no lock)."""
    if kit.checkout() is None:
        return {}
    lock = kit.patches(model) / kit.MODEL_LOCK
    return read_pins(lock) if is_there(lock) else {}


def read_pins(lock: Path) -> dict[str, str]:
    """Return normalised name -> version of what a lock installs on this Python and platform.

    Raises InputError naming a line that pins no package.
    """
    from packaging.requirements import InvalidRequirement, Requirement

    pins = {}
    for number, line in enumerate(decode(read_bytes(lock), lock, REWRITE).splitlines(), 1):
        text = line.partition("#")[0].strip().rstrip("\\").strip()
        if not text or text.startswith("--hash="):
            continue
        try:
            requirement = Requirement(text)
            (pin,) = requirement.specifier
            if pin.operator != "==" or pin.version.endswith("*"):
                raise ValueError
        except (InvalidRequirement, ValueError):
            raise InputError(f"line {number}: {text!r} pins no package", lock, REWRITE) from None
        if requirement.marker is None or requirement.marker.evaluate():
            pins[normalised(requirement.name)] = pin.version
    return pins


def normalised(name: str) -> str:
    """Return a package's name as indexes compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def release(version: str) -> str:
    """Return a version without its local part: 2.13.0+cpu is the lock's 2.13.0."""
    return version.partition("+")[0]

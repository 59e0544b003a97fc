"""Where the kit lies: in a clone of its repository, or installed as a package alone. No other module counts folders.

A clone also holds the patches, the authors' code, the locked environments and the runs shipped for comparison.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from tal_repro.errors import InputError

IMPORT_ROOT = Path(__file__).resolve().parents[1]  # what Python must search to import this package
CLONE_MARKS = ("pyproject.toml", "patches")  # beside the package in every clone and image, never in site-packages
MODEL_LOCK = "requirements.lock"  # beside a model's patches: packages that its authors' code needs besides
CLONE = "clone the repository, and there: make setup"


def checkout() -> Path | None:
    """Return the clone (or the image's copy of it) that this package is part of; None where a wheel was installed."""
    return IMPORT_ROOT if all((IMPORT_ROOT / mark).exists() for mark in CLONE_MARKS) else None


def require_checkout(what: str) -> Path:
    """Return the clone; raise InputError saying that `what` cannot be done without one."""
    folder = checkout()
    if folder is None:
        what += " needs a clone of the kit's repository, and this is an installed package"
        raise InputError(what, None, CLONE)
    return folder


def patches(model: str) -> Path:
    """Return the folder of a model's patches."""
    return require_checkout("patching the authors' code") / "patches" / model


def reference_folder() -> Path:
    """Return the folder of the runs and reports that the kit ships: of the clone, else below the working directory."""
    return (checkout() or Path()) / "results" / "reference"


def child_environment(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return an environment in which a child process, whatever its folder, imports the package that runs here."""
    if IMPORT_ROOT.name in ("site-packages", "dist-packages"):  # any Python of this environment searches it
        return dict(environment)
    paths = [str(IMPORT_ROOT), *filter(None, environment.get("PYTHONPATH", "").split(os.pathsep))]
    return {**environment, "PYTHONPATH": os.pathsep.join(paths)}

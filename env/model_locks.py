"""The extra packages of models beyond the four: patches/<model>/requirements.lock, installed with the layer `upstream`.

Standard library only, as everything that runs before the environment is there.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ENV = Path(__file__).resolve().parent
PATCHES = ENV.parent / "patches"
NAME = "requirements.lock"
# The kit's own packages; cuda12.lock differs from base.lock in torch alone.
KIT_LOCKS = ("light", "base", "cuda", "upstream", "slurm")


def model_locks(patches: Path = PATCHES) -> list[Path]:
    """Return the locks of all models, checked; end the program where one would change a package of the kit.

    Two models may ask for one package, at one version: they share an environment.
    """
    locks = sorted(patches.glob(f"*/{NAME}"))
    ours = [ENV / f"{name}.lock" for name in KIT_LOCKS]
    held = {name: (pin, f"env/{lock.name}") for lock in ours if lock.exists() for name, pin in pins(lock).items()}
    for lock in locks:
        short = str(lock.relative_to(patches.parent))
        for name, version in pins(lock).items():
            other, holder = held.setdefault(name, (version, short))
            if other != version:
                sys.exit(f"setup: {short} pins {name} {version}, {holder} pins {other}\n"
                         f"  remedy: take {name} {other} in {short}, or leave it out: one environment runs all models; "
                         "what needs the other version is a shim")  # fmt: skip
    return locks


def pins(lock: Path) -> dict[str, str]:
    """Return package -> version of a lock; its names as pip compares them. Ends the program at any other line."""
    found: dict[str, str] = {}
    for line in lock.read_text(encoding="utf-8").splitlines():
        requirement = line.partition("#")[0].partition(";")[0].strip().rstrip("\\").strip()
        if not requirement or requirement.startswith("--hash="):
            continue
        name, pinned, version = requirement.partition("==")
        if not pinned or not re.fullmatch(r"[A-Za-z0-9._-]+", name) or not re.fullmatch(r"[\w.+!-]+", version):
            sys.exit(f"setup: {lock}: {requirement!r} is no package at a version\n"
                     "  remedy: NAME==VERSION with its hashes, as `make lock` writes it")  # fmt: skip
        found[re.sub(r"[-_.]+", "-", name).lower()] = version
    return found

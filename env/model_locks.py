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
_HASH = re.compile(r"--hash=sha256:[0-9a-f]+")


def model_locks(patches: Path = PATCHES) -> list[Path]:
    """Return the locks of all models, checked; end the program where one would change a package of the kit.

    Two models may ask for one package, at one version: they share an environment.
    """
    locks = sorted(patches.glob(f"*/{NAME}"))
    ours = [ENV / f"{name}.lock" for name in KIT_LOCKS]
    held: dict[str, tuple[set[str], str]] = {}
    for lock in filter(Path.exists, ours):
        for name, versions in pins(lock).items():
            held[name] = (versions | held.get(name, (set(), ""))[0], f"env/{lock.name}")
    for lock in locks:
        short = str(lock.relative_to(patches.parent))
        for name, versions in pins(lock).items():
            others, holder = held.setdefault(name, (versions, short))
            if strange := sorted(versions - others):
                other = " or ".join(sorted(others))
                sys.exit(f"setup: {short} pins {name} {strange[0]}, {holder} pins {other}\n"
                         f"  remedy: take {name} {other} in {short}, or leave it out: one environment runs all models; "
                         "what needs the other version is a shim")  # fmt: skip
    return locks


def pins(lock: Path) -> dict[str, set[str]]:
    """Return package -> its versions in a lock (several where markers choose); its names as pip compares them.

    Ends the program at any other line: pip takes options after a line's hash, such as --index-url, too.
    """
    found: dict[str, set[str]] = {}
    for number, line in enumerate(lock.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        text = line.partition("#")[0].strip().removesuffix("\\").strip()
        if not text or _HASH.fullmatch(text):
            continue
        requirement = text.partition(";")[0].strip()
        name, pinned, version = requirement.partition("==")
        if not pinned or not re.fullmatch(r"[A-Za-z0-9._-]+", name) or not re.fullmatch(r"[\w.+!-]+", version):
            sys.exit(f"setup: {lock}, line {number}: {text!r} is no package at a version\n"
                     "  remedy: NAME==VERSION with its hashes, as `make lock` writes it")  # fmt: skip
        found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), set()).add(version)
    return found

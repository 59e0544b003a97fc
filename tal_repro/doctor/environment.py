"""Python and its packages: is what is installed what env/*.lock says."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from tal_repro import kit
from tal_repro.doctor.finding import Finding, fail, ok, warn
from tal_repro.doctor.gpu import CUDNN, builds
from tal_repro.doctor.needs import Needs
from tal_repro.doctor.probes import Probes
from tal_repro.engines.upstream.requirements import extra_pins, read_pins, release

LAYERS = ("light", "full", "dev", "upstream", "slurm", "browser")
OWN = frozenset({"pip", "tal-repro", "wheel"})  # beside the locks in every environment of the kit
SHOWN = 3


def findings(needs: Needs, probes: Probes) -> Iterator[Finding]:
    """Compare the installed packages with the locks of the layers that were set up."""
    folder = kit.checkout()
    if folder is None:
        yield ok("locks", "not compared: the kit is installed as a package, without its locks")
        return
    yield _locks(needs, probes, folder / "env")
    for model in needs.upstream:
        if pins := extra_pins(model):
            yield _extra(model, pins, probes.installed())


def _extra(model: str, pins: Mapping[str, str], installed: Mapping[str, str]) -> Finding:
    """Compare what a model beyond the four brings with what is installed."""
    name = f"packages of {model}"
    if wrong := _different(pins, installed):
        return fail(name, "; ".join(wrong[:SHOWN]), "make setup-upstream")
    return ok(name, f"{len(pins)} equal patches/{model}/{kit.MODEL_LOCK}", packages=len(pins))


def _different(pins: Mapping[str, str], installed: Mapping[str, str]) -> list[str]:
    return [
        f"{name} {installed.get(name, 'is missing') or '?'}, locked {version}"
        for name, version in sorted(pins.items())
        if release(installed.get(name, "")) != version
    ]


def _locks(needs: Needs, probes: Probes, env: Path) -> Finding:
    layers, installed = probes.layers(), probes.installed()
    if not layers & set(LAYERS):
        if needs.runtime != "none":
            return ok("locks", "not compared: the image brings its own packages")
        return warn("locks", f"{sys.prefix} was not made by the kit: nothing to compare with", "make setup")
    names = lock_names(layers, installed)
    pins: dict[str, str] = {}
    for name in names:
        pins |= read_pins(env / f"{name}.lock")
    wrong = _different(pins, installed)
    compared = f"env/{{{','.join(names)}}}.lock" if len(names) > 1 else f"env/{names[0]}.lock"
    if wrong:
        listed = "; ".join(wrong[:SHOWN]) + (f"; {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else "")
        remedy = f"python3 env/setup.py {'full' if 'base' in names or 'cuda12' in names else 'light'}"
        return fail("locks", f"{len(wrong)} of {len(pins)} packages differ from {compared}: {listed}", remedy)
    locks = [*env.glob("*.lock"), *env.parent.glob(f"patches/*/{kit.MODEL_LOCK}")]
    every = {name for path in locks for name in read_pins(path)}
    surplus = sorted(set(installed) - every - OWN)
    if surplus:
        listed = ", ".join(surplus[:SHOWN]) + (f" and {len(surplus) - SHOWN} more" if len(surplus) > SHOWN else "")
        what = f"{len(pins)} packages equal {compared}; beside them, in no lock: {listed}"
        return warn("locks", what, "fine if you put them there; else: make distclean setup", packages=len(pins))
    return ok("locks", f"{len(pins)} packages equal {compared}", packages=len(pins))


def lock_names(layers: frozenset[str], installed: Mapping[str, str]) -> list[str]:
    """Return the locks of an environment: those of its layers, with the torch build that is in it."""
    names = ["light"]
    if layers & {"full", "dev"}:
        build = next((mark.removeprefix("torch-") for mark in layers if mark.startswith("torch-")), "")
        build = build or next((name for package, name in CUDNN.items() if package in installed), "cpu")
        names += builds().get(build, builds()["cpu"]).locks
    extra = {"upstream", "slurm", "dev"} if "dev" in layers else set()
    return names + [name for name in ("upstream", "slurm", "dev", "browser") if name in layers | extra]

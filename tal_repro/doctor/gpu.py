"""Driver, GPUs and the torch builds that the kit locks: do they fit each other, and is the device free and alone."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any, Protocol

from tal_repro import kit
from tal_repro.doctor.finding import Finding, fail, ok, warn
from tal_repro.doctor.needs import Needs
from tal_repro.doctor.probes import Probes, Torch
from tal_repro.errors import InputError
from tal_repro.machine.gpus import Gpu, Gpus


class Build(Protocol):
    """One locked build of torch (env/torch_builds.py)."""

    torch: str
    cuda: str
    driver: str
    capability: tuple[int, int]
    locks: tuple[str, ...]


def builds() -> dict[str, Build]:
    """Return the builds by the name that TORCH takes."""
    locked: dict[str, Build] = _module().BUILDS
    return locked


def choose(driver: str, capabilities: Sequence[tuple[int, int]]) -> tuple[str, str]:
    """Return the build for a driver and its GPUs, and why ("" where none fits)."""
    name, reason = _module().choose(driver, capabilities)
    return str(name), str(reason)


def refusal(name: str, driver: str, capabilities: Sequence[tuple[int, int]]) -> str:
    """Say why a build does not run under a driver and on its GPUs ("" where it does)."""
    return str(_module().refusal(builds()[name], driver, capabilities))


@cache
def _module() -> Any:
    path = kit.require_checkout("choosing a build of torch") / "env" / "torch_builds.py"
    spec = importlib.util.spec_from_file_location("tal_repro_torch_builds", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise InputError("is missing", path, "run the kit from its repository: make setup")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


NEWEST_DRIVER = "580"
UPDATE = f"install NVIDIA driver {NEWEST_DRIVER} or newer from your distribution and start the machine again"
ELSEWHERE = "run it on a machine with an NVIDIA GPU, on a cluster (--executor slurm), or slowly: --set device=cpu"
IN_CONTAINER = "give the container the GPUs: docker/kit.sh --gpu, or make ... GPU=1; or --set device=cpu"
PAPER_GPUS = ("A10", "V100S")  # Table 2's times are of these
IDLE_MIB = 700.0  # a display or a monitor; more than that is somebody's model
FREE_MIB = 8 * 1024.0  # a training of the largest model takes less
BUSY_PERCENT = 10.0
CUDNN = {"nvidia-cudnn-cu13": "cuda", "nvidia-cudnn-cu12": "cuda12"}


def findings(needs: Needs, probes: Probes) -> Iterator[Finding]:
    """Check the driver, the torch build and every GPU that a run may use."""
    state = probes.gpus()
    if kit.checkout() is None:
        yield from _without_locks(needs, probes, state)
        return
    build, reason = choose(state.driver if state.gpus else "", state.capabilities)
    yield _driver(needs, state, build, reason, bool(probes.environment.get("TAL_REPRO_CONTAINER")))
    yield _torch(needs, probes, state, build, reason)
    if needs.cuda:
        yield from (_gpu_finding(needs, gpu) for gpu in state.gpus)


def _without_locks(needs: Needs, probes: Probes, state: Gpus) -> Iterator[Finding]:
    """Check an installed package, which holds no list of torch builds: what torch itself says must do."""
    if needs.cuda and not state.gpus:
        yield _driver(needs, state, "", "", inside=False)
        return
    torch = probes.torch()
    if needs.cuda:
        yield asked(torch, state)
        yield from (_gpu_finding(needs, gpu) for gpu in state.gpus)
    elif torch is None and needs.pending:
        yield fail("torch", f"not installed, and {needs.pending} runs are left", "pip install 'tal-repro[torch]'")
    else:
        yield ok("torch", torch.version if torch else "not installed, and no run is left that needs it")


def _driver(needs: Needs, state: Gpus, build: str, reason: str, inside: bool) -> Finding:
    name = "driver"
    if not state.gpus:
        said = f" ({state.problem})" if state.problem else ""
        if not needs.cuda:
            return ok(name, f"no NVIDIA GPU answers here{said}; no run that is left needs one")
        if "mismatch" in state.problem.lower():
            return fail(name, state.problem, "start the machine again: the driver was updated under way")
        return fail(
            name, f"study {needs.study} needs a GPU and none answers here{said}", IN_CONTAINER if inside else ELSEWHERE
        )
    seen = f"{state.driver}, {len(state.gpus)} GPU{'s' * (len(state.gpus) != 1)} (by {state.source})"
    if not build:
        return fail(name, f"{seen}: {reason}", f"{UPDATE}; or --set device=cpu", driver=state.driver)
    chosen = builds()[build]
    why = f"TORCH={build}: torch {chosen.torch} for CUDA {chosen.cuda}, because {reason}"
    return ok(name, f"{seen}; {why}", driver=state.driver, torch_build=build)


def _torch(needs: Needs, probes: Probes, state: Gpus, build: str, reason: str) -> Finding:
    name, choice = "torch", probes.environment.get("TORCH", "").replace("auto", "")
    fits = f"TORCH={build}" if build else "TORCH=cpu"
    setup = f"make setup {fits}" if state.gpus else "make setup"  # which looks for a CPU wheel first
    if choice and choice not in builds():
        return fail(name, f"TORCH={choice} is not known", f"use one of: {', '.join(builds())}")
    if choice and state.gpus and (refused := refusal(choice, state.driver, state.capabilities)):
        return fail(name, f"TORCH={choice} is asked for: {refused}", f"use {fits}")
    if needs.runtime != "none":
        image = choice or build or "cpu"
        return ok(name, f"comes with the image, TORCH={image} ({reason or 'asked for'})", torch_build=image)
    version, packages = probes.installed().get("torch", ""), probes.installed()
    if not version and not needs.pending:
        return ok(name, "not installed, and no run is left that needs it")
    if not version:
        left = f"study {needs.study} has {needs.pending} runs to do"
        return fail(name, f"not installed (the light environment), and {left}", setup)
    here = next((name for package, name in CUDNN.items() if package in packages), "cpu")
    if version.partition("+")[0] != builds()[here].torch:
        return warn(name, f"{version} is none of the locked builds", f"make setup {fits}", version=version)
    if needs.cuda and state.gpus:
        if here == "cpu":
            return fail(name, f"{version} is a build for the CPU, the study runs on a GPU", setup)
        if refused := refusal(here, state.driver, state.capabilities):
            return fail(name, f"{version} is installed: {refused}", setup if build else UPDATE)
        return asked(probes.torch(), state)
    return ok(name, f"{version}, build TORCH={here}", version=version, torch_build=here)


def asked(torch: Torch | None, state: Gpus) -> Finding:
    """Judge what torch itself says: a fitting driver is not yet a working CUDA."""
    name = "torch"
    if torch is None:
        return fail(name, "cannot be imported", "make setup; read the message of: python -c 'import torch'")
    if not torch.available:
        return fail(name, f"{torch.version} sees no GPU ({torch.problem or 'no reason given'})", "check nvidia-smi")
    lacking = [gpu for gpu in state.gpus if gpu.capability != (0, 0) and not has_kernels(torch, gpu.capability)]
    if lacking:
        lack = f"capability {lacking[0].capability[0]}.{lacking[0].capability[1]}"
        return fail(name, f"{torch.version} has no kernels for {lacking[0].name} ({lack})", "make setup TORCH=cuda12")
    return ok(name, f"{torch.version} sees the GPU and has kernels for it", version=torch.version)


def has_kernels(torch: Torch, capability: tuple[int, int]) -> bool:
    """Tell whether a wheel serves a GPU: kernels of its generation and not newer, or PTX that is not newer."""
    for name in torch.architectures:
        kind, _, digits = name.rstrip("af").partition("_")
        if not digits.isdecimal():
            continue
        capability_built = (int(digits[:-1]), int(digits[-1]))
        if capability_built <= capability and (kind == "compute" or capability_built[0] == capability[0]):
            return True
    return False


def _gpu_finding(needs: Needs, gpu: Gpu) -> Finding:
    name = f"gpu cuda:{gpu.index}"
    free = gpu.total_mib - gpu.used_mib
    figures = {"total_mib": round(gpu.total_mib), "free_mib": round(free)}
    others = [process for process in gpu.processes if process.pid != os.getpid()]
    seen = f"{gpu.name}, {free / 1024:.1f} of {gpu.total_mib / 1024:.1f} GiB free"
    if others:
        who = ", ".join(f"{other.pid} {other.name} ({other.memory_mib:.0f} MiB)" for other in others[:3])
        more = f" and {len(others) - 3} more" if len(others) > 3 else ""
        what = f"{seen}; not alone: {who}{more}"
        if needs.alone:
            end = "end what runs there, or wait until it has ended"
            return fail(name, f"{what}; timed runs do not start beside others", end, **figures)
        return _shared_finding(needs, name, what, free, figures)
    if gpu.used_mib > IDLE_MIB or gpu.utilisation_percent > BUSY_PERCENT:
        what = f"{seen}, {gpu.utilisation_percent:.0f} % busy: somebody uses it whom this process cannot see"
        return _shared_finding(needs, name, what, free, figures)
    if free < FREE_MIB:
        return warn(
            name,
            f"{seen}; {FREE_MIB / 1024:.0f} GiB are enough for every run",
            "use a freer GPU or a smaller batch, or expect runs that are out of memory",
            **figures,
        )
    paper = any(model in gpu.name.replace("-", " ").split() for model in PAPER_GPUS)
    judged = "the paper's GPU" if paper else "times are judged as ratios: the paper's are of an A10 and a V100S"
    return ok(name, f"{seen}, alone; {judged}", **figures)


def _shared_finding(needs: Needs, name: str, what: str, free_mib: float, figures: dict[str, int]) -> Finding:
    if free_mib < FREE_MIB:
        return fail(name, f"{what}; {FREE_MIB / 1024:.0f} GiB are wanted free", "end what runs there", **figures)
    if needs.alone:
        return warn(name, f"{what}; times taken now are doubtful", "end what runs there, or wait", **figures)
    return warn(name, what, "expect slower runs, or wait", **figures)

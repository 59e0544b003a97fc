"""The container engine that RUNTIME asks for: there, answering, with a GPU runtime, and the image built."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tal_repro import __version__
from tal_repro.doctor.finding import Finding, fail, ok, warn
from tal_repro.doctor.gpu import choose
from tal_repro.doctor.needs import Needs
from tal_repro.doctor.probes import Probes
from tal_repro.machine.host import Answer

INFO = {
    "docker": ("docker", "info", "--format", "{{json .}}"),
    "podman": ("podman", "info", "--format", "json"),
    "apptainer": ("apptainer", "--version"),
}
TOOLKIT = "install the NVIDIA Container Toolkit"
DOCKER_GPU = f"{TOOLKIT}, then: sudo nvidia-ctk runtime configure --runtime=docker && sudo systemctl restart docker"
PODMAN_GPU = f"{TOOLKIT}, then: sudo nvidia-ctk cdi generate --output=/etc/cdi/nvidia.yaml"


def findings(needs: Needs, probes: Probes) -> Iterator[Finding]:
    """Check the engine, its GPU runtime and the image; without an engine, say where this runs."""
    name = "container"
    if needs.runtime == "none":
        image = probes.environment.get("TAL_REPRO_CONTAINER", "")
        digest = probes.environment.get("TAL_REPRO_IMAGE_DIGEST", "") or "local"
        yield ok(name, f"inside image {image} ({digest})" if image else "none wanted (RUNTIME=none)")
        return
    if probes.which(needs.runtime) is None:
        yield fail(name, f"{needs.runtime} is not installed", f"install {needs.runtime}, or choose another RUNTIME")
        return
    answer = probes.run(INFO[needs.runtime])
    engine = _parsed(needs.runtime, answer)
    if engine is None:
        yield _silent(needs.runtime, answer)
        return
    yield ok(name, f"{needs.runtime} {_version(needs.runtime, engine)} answers")
    if needs.cuda:
        yield _gpu_runtime(needs.runtime, engine, probes)
    yield _image(needs, probes)


def engine_folder(needs: Needs, probes: Probes) -> Path | None:
    """Return where the engine keeps images (None where it cannot be asked)."""
    if needs.runtime not in ("docker", "podman") or probes.which(needs.runtime) is None:
        return None
    engine = _parsed(needs.runtime, probes.run(INFO[needs.runtime])) or {}
    store = engine.get("store")
    folder = engine.get("DockerRootDir") or (store.get("graphRoot") if isinstance(store, dict) else None)
    return Path(folder) if isinstance(folder, str) and folder else None


def has_image(needs: Needs, probes: Probes) -> bool:
    """Tell whether the image that the study needs is built."""
    image = image_name(needs, probes)
    if needs.runtime == "apptainer":
        return probes.disk_file(Path(image))
    return probes.run((needs.runtime, "image", "inspect", "--format", "{{.Id}}", image)).code == 0


def image_name(needs: Needs, probes: Probes) -> str:
    """Return the image that docker/kit.sh would run."""
    if given := probes.environment.get("IMAGE", ""):
        return given
    if needs.runtime == "apptainer":
        return f"tal-repro-{__version__}-{variant(probes)}.sif"
    return f"localhost/tal-repro-{needs.target}:{__version__}-{variant(probes)}"


def variant(probes: Probes) -> str:
    """Return the image variant: the one asked for, else by the driver as docker/kit.sh has it ("auto": no GPU here)."""
    if asked := probes.environment.get("TORCH", ""):
        return asked
    state = probes.gpus()
    if not state.driver or not state.gpus:
        return "auto"
    return choose(state.driver, state.capabilities)[0] or "cuda12"


def _parsed(runtime: str, answer: Answer) -> dict[str, Any] | None:
    """Return what the engine says of itself, None where it does not answer or answers with an error."""
    if answer.code != 0:
        return None
    if runtime == "apptainer":
        return {"version": answer.out.split()[-1] if answer.out.split() else "?"}
    try:
        parsed = json.loads(answer.out)
    except ValueError:
        return None
    # docker info exits 0 without its daemon and says so in this field alone
    return parsed if isinstance(parsed, dict) and not parsed.get("ServerErrors") else None


def _silent(runtime: str, answer: Answer) -> Finding:
    said = (answer.err.strip() or answer.out.strip()).splitlines()
    reason = f" ({said[-1][:120]})" if said and answer.err.strip() else ""
    if "permission denied" in answer.err.lower() or "permission denied" in answer.out.lower():
        group = f"sudo usermod -aG {runtime} $USER, then log in again; or RUNTIME=podman"
        return fail("container", f"you may not use {runtime}{reason}", group)
    start = f"sudo systemctl start {runtime}" if runtime == "docker" else f"read what `{runtime} info` says"
    return fail("container", f"{runtime} does not answer{reason}", start)


def _version(runtime: str, engine: dict[str, Any]) -> str:
    version = engine.get("ServerVersion") if runtime == "docker" else engine.get("version", "")
    return str(version.get("Version", "?") if isinstance(version, dict) else version or "?")


def _gpu_runtime(runtime: str, engine: dict[str, Any], probes: Probes) -> Finding:
    name = "gpu in containers"
    if runtime == "apptainer":
        return ok(name, "apptainer --nv takes the driver of this machine")
    devices = probes.run(("nvidia-ctk", "cdi", "list"))
    by_cdi = devices.code == 0 and "nvidia.com/gpu" in devices.out
    if runtime == "podman":
        return ok(name, "podman, by CDI") if by_cdi else fail(name, "podman has no CDI device of NVIDIA", PODMAN_GPU)
    runtimes = engine.get("Runtimes")
    if isinstance(runtimes, dict) and "nvidia" in runtimes:
        return ok(name, "docker has the nvidia runtime")
    if probes.which("nvidia-container-runtime-hook"):
        return ok(name, "docker --gpus finds NVIDIA's hook")
    return fail(name, "docker has no NVIDIA runtime: --gpus would be refused", DOCKER_GPU)


def _image(needs: Needs, probes: Probes) -> Finding:
    image = image_name(needs, probes)
    if has_image(needs, probes):
        return ok("image", f"{image} is built")
    make = f"make image TARGET={needs.target} RUNTIME={needs.runtime} TORCH={variant(probes)}"
    return warn("image", f"{image} is not built yet", make)

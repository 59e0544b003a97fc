"""The container engine: absent, silent, forbidden, without a GPU runtime, without the image."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from machines import gpu, gpus, machine, needs

from tal_repro import __version__
from tal_repro.doctor.container import engine_folder, findings, image_name
from tal_repro.machine.gpus import Gpus
from tal_repro.machine.host import Answer

DOCKER = json.dumps({"ServerVersion": "29.1", "Runtimes": {"nvidia": {}, "runc": {}}, "DockerRootDir": "/srv/docker"})
PLAIN = json.dumps({"ServerVersion": "29.1", "Runtimes": {"runc": {}}})
PODMAN = json.dumps({"version": {"Version": "4.3.1"}, "store": {"graphRoot": "/srv/podman"}})
CDI = Answer(0, "INFO\nnvidia.com/gpu=0\nnvidia.com/gpu=all\n")
BUILT = Answer(0, "sha256:1\n")


def look(
    runtime: str, answers: dict[str, Answer], programs: tuple[str, ...] | None = None, **changes: Any
) -> list[Any]:
    probes = machine(answers, (runtime,) if programs is None else programs, **changes)
    return list(findings(needs(runtime=runtime), probes))


@pytest.mark.parametrize(
    ("runtime", "answers"),
    [
        ("docker", {"docker info": Answer(0, DOCKER), "docker image": BUILT}),
        ("podman", {"podman info": Answer(0, PODMAN), "nvidia-ctk cdi list": CDI, "podman image": BUILT}),
    ],
)
def test_an_engine_that_is_well(runtime, answers):
    found = look(runtime, answers)
    assert [(one.check, one.status) for one in found] == [
        ("container", "ok"), ("gpu in containers", "ok"), ("image", "ok"),
    ]  # fmt: skip
    assert f"localhost/tal-repro-upstream:{__version__}-cuda" in found[2].what


@pytest.mark.parametrize(
    ("answer", "said", "remedy"),
    [
        (Answer(1, "", "Cannot connect to the Docker daemon"), "does not answer", "systemctl start docker"),
        (Answer(1, "", "dial unix: permission denied"), "you may not use docker", "usermod -aG docker"),
        (Answer(0, json.dumps({"ServerErrors": ["no daemon"]})), "does not answer", "systemctl start docker"),
        (Answer(0, "not json"), "does not answer", "systemctl start docker"),
        (Answer(-1, "", "timed out"), "timed out", "systemctl start docker"),
    ],
)
def test_an_engine_that_is_not(answer, said, remedy):
    (found,) = look("docker", {"docker info": answer})
    assert found.status == "fail"
    assert said in found.what
    assert remedy in found.remedy


def test_an_engine_that_is_not_installed():
    (found,) = look("podman", {}, ())
    assert (found.status, found.what) == ("fail", "podman is not installed")


@pytest.mark.parametrize(
    ("runtime", "answers", "remedy"),
    [
        ("docker", {"docker info": Answer(0, PLAIN)}, "nvidia-ctk runtime configure"),
        ("podman", {"podman info": Answer(0, PODMAN)}, "nvidia-ctk cdi generate"),
        ("podman", {"podman info": Answer(0, PODMAN), "nvidia-ctk": Answer(0, "found 0 devices")}, "cdi generate"),
    ],
)
def test_an_engine_without_a_gpu_runtime(runtime, answers, remedy):
    found = {one.check: one for one in look(runtime, answers)}["gpu in containers"]
    assert found.status == "fail"
    assert remedy in found.remedy


def test_nvidias_hook_serves_docker_too():
    found = look(
        "docker", {"docker info": Answer(0, PLAIN), "docker image": BUILT}, ("docker", "nvidia-container-runtime-hook")
    )
    assert [one.status for one in found] == ["ok", "ok", "ok"]


def test_an_image_that_is_not_built_is_a_warning_with_the_command():
    found = look("docker", {"docker info": Answer(0, DOCKER)}, gpus=lambda: gpus("535.1"))[-1]
    assert (found.check, found.status) == ("image", "warn")
    assert found.remedy == "make image TARGET=upstream RUNTIME=docker TORCH=cuda12"


@pytest.mark.parametrize("runtime", ["docker", "podman", "apptainer"])
@pytest.mark.parametrize(
    ("rows", "state"),
    [
        ("580.95.05, 8.6", gpus()),
        ("535.183.01, 8.6", gpus("535.183.01")),
        ("580.95.05, 7.0", gpus("580.95.05", gpu(capability=(7, 0)))),
        ("", Gpus()),
    ],
)
def test_the_image_is_the_one_that_the_script_runs(tmp_path, runtime, rows, state):
    """docker/kit.sh chooses and names it in bash: both must say the same."""
    smi = tmp_path / "nvidia-smi"
    smi.write_text(f'#!/bin/sh\n[ -n "{rows}" ] && echo "{rows}"\n')
    smi.chmod(0o755)
    script = Path(__file__).resolve().parents[2] / "docker" / "kit.sh"
    command = ["bash", str(script), "--print", "--target", "upstream", "--", "run"]
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "RUNTIME": runtime, "HOME": "/"}
    printed = subprocess.run(command, capture_output=True, text=True, env=environment, check=True).stdout.splitlines()
    assert image_name(needs(runtime=runtime), machine(gpus=lambda: state)) in printed


def test_apptainer_and_no_engine():
    version = {"apptainer --version": Answer(0, "apptainer version 1.3.4\n")}
    found = look("apptainer", version, disk_file=lambda path: path == Path(f"tal-repro-{__version__}-cuda.sif"))
    assert [one.status for one in found] == ["ok", "ok", "ok"]
    assert "1.3.4" in found[0].what
    assert look("apptainer", version)[-1].status == "warn"
    (none,) = findings(needs(), machine())
    assert none.what == "none wanted (RUNTIME=none)"
    (inside,) = findings(
        needs(), machine(environment={"TAL_REPRO_CONTAINER": "kit", "TAL_REPRO_IMAGE_DIGEST": "sha256:7"})
    )
    assert inside.what == "inside image kit (sha256:7)"


def test_where_an_engine_keeps_its_images():
    assert engine_folder(needs(runtime="docker"), machine({"docker info": Answer(0, DOCKER)}, ("docker",))) == Path(
        "/srv/docker"
    )
    assert engine_folder(needs(runtime="podman"), machine({"podman info": Answer(0, PODMAN)}, ("podman",))) == Path(
        "/srv/podman"
    )
    assert engine_folder(needs(runtime="docker"), machine({"docker info": Answer(1)}, ("docker",))) is None
    assert engine_folder(needs(), machine()) is None

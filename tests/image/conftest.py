"""The real engine and its images, for the tests of marker `image`."""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import pytest

from tal_repro import __version__

ROOT = Path(__file__).resolve().parents[2]
ENGINE = [os.environ.get("RUNTIME", "docker"), *shlex.split(os.environ.get("ENGINE_ARGS", ""))]
# Root runs as somebody else, because root would own and may write everything anyway.
CALLER = (os.getuid(), os.getgid()) if os.getuid() else (4321, 4321)


class Kit(Protocol):
    """Starts docker/kit.sh with folders of its own, as the caller."""

    name: str  # of a container that is named

    def __call__(
        self, *words: str, target: str = "kit", before: tuple[str, ...] = (), run_args: str = "", named: bool = False
    ) -> subprocess.Popen[str]: ...


def image_name(target: str) -> str:
    return f"localhost/tal-repro-{target}:{__version__}-cpu"


def skip_without(target: str) -> None:
    """Skip, saying what to do, where the engine or the image is missing."""
    make = "make image TORCH=cpu RUNTIME=podman" + (" TARGET=upstream" if target == "upstream" else "")
    how = f"{make}, then RUNTIME=podman (CONTRIBUTING.md; without a registry: .ci/run)"
    try:
        found = subprocess.run([*ENGINE, "image", "inspect", image_name(target)], capture_output=True, check=False)
    except OSError:
        pytest.skip(f"{ENGINE[0]} is not installed: {how}")
    if found.returncode:
        pytest.skip(f"no image {image_name(target)}: {how}")


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, said = process.communicate(timeout=1500)
    return process.returncode, out, said


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    for name in ("results", "data"):
        (tmp_path / name).mkdir()
        os.chown(tmp_path / name, *CALLER)
    name = f"tal-repro-test-{os.getpid()}"
    as_caller = f"{os.environ.get('RUN_ARGS', '')} --user {CALLER[0]}:{CALLER[1]}"

    def start(
        *words: str, target: str = "kit", before: tuple[str, ...] = (), run_args: str = "", named: bool = False
    ) -> subprocess.Popen[str]:
        settings = {"RESULTS_DIR": str(tmp_path / "results"), "DATA_DIR": str(tmp_path / "data"), "TORCH": "cpu"}
        settings |= {"RUN_ARGS": f"{as_caller} {run_args}"} | ({"NAME": name} if named else {})
        return subprocess.Popen(
            [str(ROOT / "docker" / "kit.sh"), "--target", target, *before, "--", *words],
            env={**os.environ, **settings}, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip

    start.name = name  # type: ignore[attr-defined]
    yield start
    subprocess.run([*ENGINE, "rm", "--force", name], capture_output=True, check=False)

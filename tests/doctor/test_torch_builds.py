"""Which torch build a driver and its GPUs get, and why: env/torch_builds.py, as setup and doctor use it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tal_repro.doctor import gpu
from tal_repro.engines.upstream.requirements import read_pins

ENV = Path(__file__).resolve().parents[2] / "env"
A10, V100S, T4, H100, B200, P100 = (8, 6), (7, 0), (7, 5), (9, 0), (10, 0), (6, 0)


@pytest.mark.parametrize(
    ("driver", "capabilities", "build", "said"),
    [
        ("580.65.06", [A10], "cuda", "580 or newer"),
        ("595.10", [H100, B200], "cuda", "580 or newer"),
        ("580.65.06", [T4], "cuda", "580"),
        ("579.99", [A10], "cuda12", "CUDA 13 needs driver 580 or newer, here is 579.99"),
        ("535.183.01", [A10], "cuda12", "here is 535.183.01"),
        ("525.60.13", [A10], "cuda12", "here is 525.60.13"),
        ("525.60.11", [A10], "", "CUDA 12 needs driver 525.60.13 or newer"),
        ("470.82", [A10], "", "here is 470.82"),
        ("580.65.06", [V100S], "cuda12", "no kernels for Volta (capability 7.0)"),
        ("595.10", [A10, V100S], "cuda12", "Volta"),
        ("580.65.06", [P100], "", "Pascal (capability 6.0)"),
        ("580.65.06", [], "cuda", "580"),
        ("", [], "cpu", "no NVIDIA driver"),
    ],
)
def test_the_newest_build_that_every_gpu_can_run_is_chosen(driver, capabilities, build, said):
    chosen, reason = gpu.choose(driver, capabilities)
    assert chosen == build
    assert said in reason


def test_the_locks_hold_what_the_table_says():
    for name, build in gpu.builds().items():
        pins: dict[str, str] = {}
        for lock in build.locks:
            pins |= read_pins(ENV / f"{lock}.lock")
        assert pins["torch"] == build.torch, name
        major = build.cuda.partition(".")[0]
        packages = {
            package for package in pins if package.startswith(("nvidia-", "triton")) and package != "nvidia-ml-py"
        }
        assert bool(packages) == bool(major), name
        assert {p for p in packages if re.search(r"-cu\d+$", p)} == {p for p in packages if p.endswith(f"-cu{major}")}


def test_the_two_cuda_locks_differ_in_torch_and_cuda_alone():
    newer = read_pins(ENV / "base.lock") | read_pins(ENV / "cuda.lock")
    older = read_pins(ENV / "cuda12.lock")
    cuda = re.compile(r"^(torch|triton|cuda-.*|nvidia-(?!ml-py).*)$")
    assert {k: v for k, v in newer.items() if not cuda.match(k)} == {
        k: v for k, v in older.items() if not cuda.match(k)
    }


@pytest.mark.parametrize("lock", sorted(ENV.glob("*.lock")), ids=lambda path: path.name)
def test_every_locked_package_carries_a_hash_and_no_address(lock):
    text = lock.read_text()
    entries = re.split(r"\n(?=\S)", text.strip())
    assert all(re.search(r"--hash=sha256:[0-9a-f]{64}", entry) for entry in entries)
    assert "://" not in text and "--index" not in text


def smi(folder: Path, body: str) -> dict[str, str]:
    script = folder / "nvidia-smi"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)
    return {"PATH": f"{folder}:/usr/bin:/bin"}


def ask_setup(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Let setup choose without installing anything."""
    code = "import setup; setup.cpu_wheel_at_hand = lambda: True; print(setup.torch_choice())"
    command = [sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ENV, check=False)


@pytest.mark.parametrize(
    ("body", "torch", "said"),
    [
        ('echo "535.183.01, 8.6"', "", ("('cuda12', ", "here is 535.183.01", "cuda12.lock")),
        ('echo "580.95.05, 7.0"; echo "580.95.05, 8.6"', "", ("('cuda12', ", "Volta")),
        ('echo "580.95.05, 8.6"', "", ("('cuda', ", "base.lock", "cuda.lock")),
        ('echo "580.95.05, 8.6"', "cuda12", ("('cuda12', ", "TORCH=cuda12")),
        ('echo "535.1, 8.6"', "cuda", ("('cuda', ", "will not run on this machine", "535.1")),
        ('case "$*" in *compute_cap*) exit 2;; esac; echo "550.54.14"', "", ("('cuda12', ",)),
        ("exit 9", "", ("('cpu', ", "cpu.txt", "no NVIDIA driver answers")),
        ("exit 9", "cuda12", ("('cuda12', ", "no NVIDIA driver answers here")),
    ],
)
def test_setup_chooses_by_the_driver_and_says_why(tmp_path, body, torch, said):
    answer = ask_setup({**smi(tmp_path, body), "TORCH": torch})
    assert answer.returncode == 0, answer.stderr
    for words in said:
        assert words in answer.stdout


@pytest.mark.parametrize("body", ["exit 9", 'echo "535.1, 8.6"'], ids=["no driver", "an older driver"])
def test_an_image_for_another_machine_is_not_said_not_to_run_on_this_one(tmp_path, body):
    answer = ask_setup({**smi(tmp_path, body), "TORCH": "cuda", "ELSEWHERE": "1"})
    assert "('cuda', " in answer.stdout and "will not run" not in answer.stdout


def test_setup_refuses_a_gpu_that_no_locked_torch_serves_and_an_unknown_build(tmp_path):
    answer = ask_setup(smi(tmp_path, 'echo "470.82, 8.6"'))
    assert answer.returncode == 1
    assert "here is 470.82" in answer.stderr and "remedy: update the NVIDIA driver" in answer.stderr
    assert "use TORCH=cuda, TORCH=cuda12, TORCH=cpu" in ask_setup({"TORCH": "rocm", "PATH": "/bin"}).stderr


def test_the_document_tells_the_builds_as_they_are():
    text = (ENV.parent / "docs" / "doctor.md").read_text()
    for name, build in gpu.builds().items():
        row = next(line for line in text.splitlines() if line.startswith(f"| `{name}` |"))
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[1:3] == [build.torch, build.cuda or "-"]
        assert build.driver in cells[3] and ", ".join(f"`{lock}`" for lock in build.locks) == cells[5]
        assert not build.cuda or "{}.{}".format(*build.capability) in cells[4]

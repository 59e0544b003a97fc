"""Make the virtual environment .venv from the hash-locked requirements: `make setup`, `make setup-light`.

Standard library only, so that it runs before anything is installed. It chooses the torch build by itself, says what
it chose and why, and obeys TORCH=cpu|cuda.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import time
import venv
from pathlib import Path

ENV = Path(__file__).resolve().parent
ROOT = ENV.parent
VENV = Path(os.environ.get("VENV", ROOT / ".venv"))
PYTHONS = ((3, 11), (3, 12), (3, 13))
# Each layer installs these locks on top of the one before it.
LAYERS = {"light": ("light",), "full": ("light", "base"), "dev": ("light", "base", "upstream", "slurm", "dev")}
EXTRAS = ("upstream", "slurm", "browser")
KIT = "kit"  # the kit itself, editable, without touching the index


def pip(*arguments: str, quiet: bool = True) -> int:
    """Run the environment's pip; return its exit code."""
    python = VENV / "bin" / "python"
    command = [str(python), "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, stdout=subprocess.DEVNULL if quiet else None, check=False).returncode


def has_nvidia_gpu() -> bool:
    """Tell whether a driver answers with at least one GPU."""
    if shutil.which("nvidia-smi") is None:
        return False
    answer = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return answer.returncode == 0 and "GPU " in answer.stdout


def cpu_wheel_at_hand() -> bool:
    """Tell whether pip can find the CPU build of torch (in a folder it is set up to look in)."""
    wanted = (ENV / "cpu.txt").read_text().split()[0]
    python = VENV / "bin" / "python"
    command = [str(python), "-m", "pip", "install", "--dry-run", "--quiet", "--no-deps", "--ignore-installed", wanted]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def torch_choice() -> tuple[list[str], str]:
    """Return pip's arguments for the torch build, and the reason in words."""
    wanted = os.environ.get("TORCH", "")
    if wanted not in ("", "cpu", "cuda"):
        sys.exit(f"setup: TORCH={wanted} is not known; use TORCH=cpu or TORCH=cuda")
    cuda = ["-r", str(ENV / "cuda.lock")]
    cpu = ["-c", str(ENV / "cpu.txt")]
    if platform.system() != "Linux":
        return [], "the index's wheel (not Linux: it has no CUDA packages)"
    if wanted == "cuda" or (not wanted and has_nvidia_gpu()):
        return cuda, f"CUDA 13 build ({'TORCH=cuda' if wanted else 'an NVIDIA GPU is here'}; TORCH=cpu overrides)"
    if cpu_wheel_at_hand():
        return cpu, f"CPU build ({'TORCH=cpu' if wanted else 'no NVIDIA GPU, and pip finds a CPU wheel'})"
    if wanted == "cpu":
        sys.exit("setup: TORCH=cpu, but pip finds no wheel of " + (ENV / "cpu.txt").read_text().strip()
                 + "; put it in a folder and set PIP_FIND_LINKS to that folder")  # fmt: skip
    return cuda, "the index's build with its CUDA packages, about 3 GB (no GPU here, but no CPU wheel is at hand)"


def install(layer: str) -> None:
    """Install a layer's locks, then the kit itself (unless LOCKS_ONLY is set, as in an image's early layers)."""
    hashed = ["install", "--require-hashes", "--only-binary", ":all:"]
    # The first lock brings the setuptools that builds the kit and two source distributions: nothing unlocked runs.
    steps = [[*hashed, "-r", str(ENV / f"{layer if layer in EXTRAS else 'light'}.lock")]] if layer != KIT else []
    if layer in ("full", "dev"):
        torch_arguments, reason = torch_choice()
        print(f"setup: torch: {reason}", file=sys.stderr)
        sources = ["--no-binary", "fvcore,iopath", "--no-build-isolation", "--use-pep517"]
        locks = [argument for name in LAYERS[layer][1:] for argument in ("-r", str(ENV / f"{name}.lock"))]
        steps.append([*hashed, *sources, *locks, *torch_arguments])
    if layer == KIT or (layer in LAYERS and "LOCKS_ONLY" not in os.environ):
        steps.append(["install", "--no-deps", "--no-build-isolation", "--no-index", "-e", str(ROOT)])
    for step in steps:
        if code := pip(*step):
            sys.exit(f"setup: pip failed ({code}) at: pip {' '.join(step)}\n"
                     "  remedy: read pip's message above; offline? see REPRODUCE.md, 'Without a network'")  # fmt: skip


def main() -> None:
    """Create .venv if need be and bring it to the wanted layer."""
    layer = sys.argv[1] if len(sys.argv) == 2 else ""
    if layer not in (*LAYERS, *EXTRAS, KIT):
        sys.exit(f"usage: python3 env/setup.py {'|'.join((*LAYERS, *EXTRAS, KIT))}")
    if sys.version_info[:2] not in PYTHONS:
        found = ".".join(map(str, sys.version_info[:2]))
        sys.exit(f"setup: Python {found} is not locked for; use 3.11 to 3.13: make setup PYTHON=python3.11")
    start = time.monotonic()
    if not (VENV / "bin" / "python").exists():
        print(f"setup: making {VENV}", file=sys.stderr)
        venv.EnvBuilder(with_pip=True, symlinks=True).create(VENV)
    install(layer)
    (VENV / f".{layer}").touch()
    print(f"setup: {layer} environment ready in {time.monotonic() - start:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()

"""Make the virtual environment .venv from the hash-locked requirements: `make setup`, `make setup-light`.

Standard library only, so that it runs before anything is installed. It chooses the torch build by itself, says what
it chose and why, and obeys TORCH=cpu|cuda|cuda12. BUNDLE=DIR takes packages from an offline bundle and nowhere else.
ELSEWHERE=1 says that another machine will use it (an image is built): what this one's driver runs is no concern.
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

from bundle_files import check
from model_locks import model_locks
from torch_builds import BUILDS, choose, refusal

ENV = Path(__file__).resolve().parent
ROOT = ENV.parent
VENV = Path(os.environ.get("VENV", ROOT / ".venv"))
PYTHONS = ((3, 11), (3, 12), (3, 13))
# Each layer installs these locks on top of the one before it; "base" stands for the locks of the chosen torch build.
LAYERS = {"light": ("light",), "full": ("light", "base"), "dev": ("light", "base", "upstream", "slurm", "dev")}
EXTRAS = ("upstream", "slurm", "browser")
MODELS = "models"  # of `upstream` the extra packages of models alone, below PREFIX where that is set (in an image)
KIT = "kit"  # the kit itself, editable, without touching the index


def here() -> dict[str, str]:
    """Return what wheels are made for: Python and platform."""
    version = ".".join(map(str, sys.version_info[:2]))
    return {"python": version, "platform": f"{platform.system()} {platform.machine()}".lower()}


def open_bundle(folder: str) -> list[str]:
    """Check an offline bundle, let pip take packages from it alone, and return the torch builds it holds."""
    manifest = check(Path(folder), "wheels/")
    for name, found in here().items():
        if manifest.get(name) != found:
            sys.exit(f"setup: {folder} was made for {name} {manifest.get(name)}, this is {found}\n"
                     "  remedy: make the bundle with the same Python on a machine of the same kind")  # fmt: skip
    # an address, because pip splits a path at spaces
    os.environ.update(PIP_NO_INDEX="1", PIP_FIND_LINKS=(Path(folder) / "wheels").resolve().as_uri())
    print(f"setup: packages from {folder}, every file as it was put in", file=sys.stderr)
    return list(manifest["torch"])


def pip(*arguments: str, quiet: bool = True) -> int:
    """Run the environment's pip; return its exit code."""
    python = VENV / "bin" / "python"
    command = [str(python), "-m", "pip", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, stdout=subprocess.DEVNULL if quiet else None, check=False).returncode


def nvidia_gpus() -> tuple[str, list[tuple[int, int]]]:
    """Return the driver's version ("" where none answers with a GPU) and the compute capability of each GPU."""
    if shutil.which("nvidia-smi") is None:
        return "", []
    query = ["nvidia-smi", "--format=csv,noheader", "--query-gpu=driver_version"]
    for columns in (",compute_cap", ""):  # a very old driver does not know the second
        answer = subprocess.run([*query[:2], query[2] + columns], capture_output=True, text=True, check=False)
        if answer.returncode == 0 and answer.stdout.strip():
            rows = [[cell.strip() for cell in line.split(",")] for line in answer.stdout.strip().splitlines()]
            pairs = [row[1].split(".") for row in rows if len(row) > 1]
            return rows[0][0], [(int(pair[0]), int(pair[1])) for pair in pairs if len(pair) == 2]
    return "", []


def cpu_wheel_at_hand() -> bool:
    """Tell whether pip can find the CPU build of torch (in a folder it is set up to look in)."""
    wanted = (ENV / "cpu.txt").read_text().split()[0]
    python = VENV / "bin" / "python"
    command = [str(python), "-m", "pip", "install", "--dry-run", "--quiet", "--no-deps", "--ignore-installed", wanted]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def torch_choice() -> tuple[str, list[str], str]:
    """Return the torch build, pip's arguments for it, and the reason in words."""
    wanted = os.environ.get("TORCH", "")
    if wanted not in ("", *BUILDS):
        sys.exit(f"setup: TORCH={wanted} is not known; use TORCH={', TORCH='.join(BUILDS)}")
    if platform.system() != "Linux":
        return "cpu", locked("base"), "the index's wheel (not Linux: it has no CUDA packages)"
    driver, capabilities = nvidia_gpus()
    found, reason = choose(driver, capabilities)
    if wanted.startswith("cuda") or (not wanted and found.startswith("cuda")):
        return cuda_build(wanted or found, "" if wanted else reason, driver, capabilities)
    if not found and not wanted:
        sys.exit(f"setup: no locked torch runs on this machine's GPU: {reason}\n"
                 "  remedy: update the NVIDIA driver to 580 or newer, or do without the GPU: TORCH=cpu")  # fmt: skip
    if cpu_wheel_at_hand():
        arguments = [*locked("base"), "-c", str(ENV / "cpu.txt")]
        return "cpu", arguments, f"CPU build ({'TORCH=cpu' if wanted else f'{reason}, and pip finds a CPU wheel'})"
    if wanted == "cpu":
        sys.exit("setup: TORCH=cpu, but pip finds no wheel of " + (ENV / "cpu.txt").read_text().strip()
                 + "; put it in a folder and set PIP_FIND_LINKS to that folder")  # fmt: skip
    why = "the index's build with its CUDA packages, about 3 GB (no GPU here, but no CPU wheel is at hand)"
    return "cuda", locked("base", "cuda"), why


def cuda_build(name: str, reason: str, driver: str, capabilities: list[tuple[int, int]]) -> tuple[str, list[str], str]:
    """Return a CUDA build as torch_choice does; one that was asked for and cannot run here is installed, and said."""
    build = BUILDS[name]
    if not reason:
        refused = refusal(build, driver, capabilities) if driver else "no NVIDIA driver answers here"
        here_too = not refused or "ELSEWHERE" in os.environ
        reason = f"TORCH={name}" + ("" if here_too else f"; it will not run on this machine: {refused}")
    return name, locked(*build.locks), f"{build.torch} for CUDA {build.cuda} ({reason}; TORCH=... overrides)"


def locked(*names: str) -> list[str]:
    """Return pip's arguments for locks."""
    return [argument for name in names for argument in ("-r", str(ENV / f"{name}.lock"))]


def clear_other_builds(build: str) -> None:
    """Take out another build that was here before: pip would take its torch for this one's; CUDA packages weigh GB."""
    keep = {line.split("==")[0] for name in BUILDS[build].locks for line in lock_lines(name)}
    others = {line.split("==")[0] for name in ("cuda", "cuda12") for line in lock_lines(name)} - keep
    others = {name for name in others if name.startswith(("nvidia-", "cuda-", "triton"))} - {"nvidia-ml-py"}
    if marks := [mark for mark in VENV.glob(".torch-*") if mark.name != f".torch-{build}"]:
        pip("uninstall", "--yes", "torch", *sorted(others))
        for mark in marks:
            mark.unlink()


def lock_lines(name: str) -> list[str]:
    """Return the lines of a lock that pin a package."""
    return [line for line in (ENV / f"{name}.lock").read_text().splitlines() if line and not line[0].isspace()]


def make_environment() -> None:
    """Create the environment with pip in it; one that broke on the way is deleted, or the next call would take it."""
    print(f"setup: making {VENV}", file=sys.stderr)
    new, whole = not VENV.exists(), False
    try:
        venv.EnvBuilder(with_pip=True, symlinks=True).create(VENV)
        whole = True
    except subprocess.CalledProcessError:  # ensurepip, which Debian and Ubuntu keep in a package of its own
        version = here()["python"]
        sys.exit(f"setup: {sys.executable} cannot make an environment with pip in {VENV}\n"
                 f"  remedy: sudo apt install python{version}-venv (Debian, Ubuntu), or another Python: "
                 "make setup PYTHON=...")  # fmt: skip
    except OSError as error:
        sys.exit(f"setup: {VENV} cannot be made: {error}\n  remedy: free space, or another folder: VENV=DIR")
    finally:
        if not whole and new:
            shutil.rmtree(VENV, ignore_errors=True)
        elif not whole:  # somebody's folder: only what says that an environment is there
            (VENV / "bin" / "python").unlink(missing_ok=True)


def install(layer: str, held: list[str]) -> None:
    """Install a layer's locks, then the kit itself (unless LOCKS_ONLY is set, as in an image's early layers)."""
    hashed = ["install", "--require-hashes", "--only-binary", ":all:"]
    if layer == "light" and not sys.dont_write_bytecode:
        hashed.append("--no-compile")  # most of its time; Python compiles what is used when it first is
    # The first lock brings the setuptools that builds the kit and two source distributions: nothing unlocked runs.
    marks: list[str] = []
    first = layer if layer in EXTRAS else "light"
    steps = [[*hashed, *locked(first)]] if layer not in (KIT, MODELS) else []
    if layer in ("upstream", MODELS):  # one call each: the lock that fails is named
        elsewhere = ["--prefix", os.environ["PREFIX"]] if os.environ.get("PREFIX") else []
        steps += [[*hashed, *elsewhere, "-r", str(lock)] for lock in model_locks()]
    if layer in ("full", "dev"):
        build, torch_arguments, reason = torch_choice()
        if build not in held:
            sys.exit(f"setup: the bundle holds torch for {', '.join(held)}, chosen is {build} ({reason})\n"
                     f"  remedy: TORCH={held[0] if held else build}, or a bundle made with TORCH={build}")  # fmt: skip
        print(f"setup: torch: {reason}", file=sys.stderr)
        clear_other_builds(build)
        sources = ["--no-binary", "fvcore,iopath", "--no-build-isolation", "--use-pep517"]
        steps.append([*hashed, *sources, *torch_arguments, *locked(*LAYERS[layer][2:])])
        marks.append(f".torch-{build}")
    if layer == KIT or (layer in LAYERS and "LOCKS_ONLY" not in os.environ):
        steps.append(["install", "--no-deps", "--no-build-isolation", "--no-index", "-e", str(ROOT)])
    for number, step in enumerate(steps, 1):
        print(f"setup: step {number} of {len(steps)}: {_what(step)}", file=sys.stderr, flush=True)
        if code := pip(*step):
            sys.exit(f"setup: pip failed ({code}) at: pip {' '.join(step)}\n"
                     "  remedy: read pip's message above; offline? see REPRODUCE.md, 'Without a network'")  # fmt: skip
    for mark in (*marks, f".{layer}"):
        (VENV / mark).touch()


def _what(step: list[str]) -> str:
    """Say what a call of pip installs."""
    if str(ROOT) in step:
        return "the kit itself"
    locks = [Path(word) for word in step if word.endswith(".lock")]
    names = [lock.name if lock.parent == ENV else str(lock.relative_to(ROOT)) for lock in locks]
    return f"the packages of {', '.join(names)}" + (", some minutes" if "base.lock" in names else "")


def _next() -> str:
    """Say how to call what was set up, and what to do first."""
    try:
        tool = (VENV / "bin" / "tal-repro").relative_to(Path.cwd())
    except ValueError:
        tool = VENV / "bin" / "tal-repro"
    return (
        f"setup: call it as {tool}, or: source {tool.parent / 'activate'}\n"
        "setup: next: make verify (seconds), make demo (minutes), make help (everything)"
    )


def main() -> None:
    """Create .venv if need be and bring it to the wanted layer."""
    layer = sys.argv[1] if len(sys.argv) == 2 else ""
    if layer not in (*LAYERS, *EXTRAS, MODELS, KIT):
        sys.exit(f"usage: python3 env/setup.py {'|'.join((*LAYERS, *EXTRAS, MODELS, KIT))}")
    if sys.version_info[:2] not in PYTHONS:
        found = ".".join(map(str, sys.version_info[:2]))
        sys.exit(f"setup: Python {found} is not locked for; use 3.11 to 3.13: make setup PYTHON=python3.11")
    start = time.monotonic()
    held = open_bundle(os.environ["BUNDLE"]) if os.environ.get("BUNDLE") else list(BUILDS)
    if not (VENV / "bin" / "python").exists():
        make_environment()
    install(layer, held)
    print(f"setup: {layer} environment ready in {time.monotonic() - start:.0f} s", file=sys.stderr)
    if layer in LAYERS:
        print(_next(), file=sys.stderr)


if __name__ == "__main__":
    main()

"""Resolve env/*.in into hash-locked requirements: `make lock` (needs `uv` on PATH, metadata only, seconds).

patches/<model>/requirements.in of a model beyond the four becomes its requirements.lock, beside what env/ pins:
`make lock MODEL=<model>` writes that alone.

One resolution of everything keeps the files consistent; each layer then holds only what the layers it builds on do
not. CUDA packages carry no marker that a CPU-only machine could use, so they get a file of their own. cuda12.lock takes
the place of base.lock and cuda.lock on an older driver or GPU: the same packages with an older torch.
"""

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from model_locks import KIT_LOCKS
from torch_builds import BUILDS

ENV = Path(__file__).parent
LAYERS = ("light", "base", "upstream", "slurm", "browser", "dev")
# The CPU wheel of the same torch release, for Python 3.11 on x86_64: its hash is accepted beside the index's.
TORCH_CPU_HASH = "sha256:6746dbcbeb526eb61330b76b41ff1b4eb848951103a892eeb080dfa2b264667b"
CUDA = re.compile(r"^(nvidia-(?!ml-py)|cuda-|triton)")
OLDER = re.compile(CUDA.pattern + r"|^torch==")  # what another build of torch brings along


def compile_requirements(source: Path, constraints: Path | None, target: Path, override: Path | None = None) -> None:
    """Write the universal, hashed resolution of `source` to `target`, without host names."""
    command = [
        "uv",
        "pip",
        "compile",
        "--quiet",
        "--universal",
        "--python-version",
        "3.11",
        "--generate-hashes",
    ]
    command += ["--no-header", "--no-emit-index-url", "--no-annotate", str(source), "-o", str(target)]
    if constraints:
        command += ["-c", str(constraints)]
    if override:
        command += ["--override", str(override)]
    subprocess.run(command, check=True)


def entries(lock: Path) -> dict[str, str]:
    """Map each requirement line (name, version, marker) to its whole entry with hashes."""
    found, current = {}, ""
    for line in lock.read_text().splitlines():
        if line and not line[0].isspace():
            current = line
            found[current] = line
        elif current:
            found[current] += "\n" + line
    return found


def with_cpu_hash(entry: str) -> str:
    """Let torch's entry accept the CPU wheel too."""
    return f"{entry} \\\n    --hash={TORCH_CPU_HASH}" if entry.startswith("torch==") else entry


def older_torch(pins: Path, base: dict[str, str], scratch: Path) -> dict[str, str]:
    """Resolve the base layer with the torch of CUDA 12; every other package keeps the version it has in base.lock."""
    override, others, target = scratch / "torch.in", scratch / "others.lock", scratch / "cuda12"
    override.write_text(f"torch=={BUILDS['cuda12'].torch}\n")
    others.write_text("".join(f"{entry}\n" for key, entry in entries(pins).items() if not OLDER.match(key)))
    compile_requirements(ENV / "base.in", others, target, override)
    found = entries(target)
    if strangers := sorted(key for key in found if key not in base and not OLDER.match(key)):
        sys.exit(f"lock: torch {BUILDS['cuda12'].torch} needs what base.lock does not hold: {', '.join(strangers)}")
    return found


def lock_model(source: Path) -> None:
    """Write the lock of a model's extra packages: what the kit's own locks hold keeps its version and stays out."""
    with tempfile.TemporaryDirectory() as scratch:
        held = {key: entry for name in KIT_LOCKS for key, entry in entries(ENV / f"{name}.lock").items()}
        constraints, target = Path(scratch) / "kit.lock", Path(scratch) / "model.lock"
        constraints.write_text("".join(f"{entry}\n" for entry in held.values()))
        compile_requirements(source, constraints, target)
        packages = {key.partition("==")[0] for key in held}
        found = {key: entry for key, entry in entries(target).items() if key.partition("==")[0] not in packages}
    source.with_suffix(".lock").write_text("".join(f"{entry}\n" for entry in found.values()))
    print(f"{source.with_suffix('.lock').relative_to(ENV.parent)}: {len(found)} packages", file=sys.stderr)


def main() -> int:
    """Rewrite every lock file, or those of the models named; print what each holds."""
    sources = sorted((ENV.parent / "patches").glob("*/requirements.in"))
    if sys.argv[1:]:
        sources = [source for source in sources if source.parent.name in sys.argv[1:]]
        if not sources:
            sys.exit(f"lock: patches/{sys.argv[1]}/requirements.in is not there\n  remedy: write the names into it")
    else:
        lock_kit()
    for source in sources:
        lock_model(source)
    return 0


def lock_kit() -> None:
    """Rewrite the locks of the kit itself."""
    with tempfile.TemporaryDirectory() as scratch:
        everything = Path(scratch) / "everything.in"
        everything.write_text("".join(f"-r {ENV / layer}.in\n" for layer in LAYERS))
        pins = Path(scratch) / "everything.lock"
        compile_requirements(everything, None, pins)
        locked: dict[str, dict[str, str]] = {}
        for layer in LAYERS:
            compile_requirements(ENV / f"{layer}.in", pins, Path(scratch) / layer)
            locked[layer] = entries(Path(scratch) / layer)
        older = older_torch(pins, locked["base"], Path(scratch))
    cuda = {key: entry for key, entry in locked["base"].items() if CUDA.match(key)}
    files = {"cuda": cuda, "cuda12": older, "light": locked["light"]}
    files["base"] = {k: with_cpu_hash(e) for k, e in locked["base"].items() if k not in cuda}
    for layer in LAYERS[2:]:
        files[layer] = {k: e for k, e in locked[layer].items() if k not in locked["base"]}
    for name, content in files.items():
        (ENV / f"{name}.lock").write_text("".join(f"{entry}\n" for entry in content.values()))
        print(f"env/{name}.lock: {len(content)} packages", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())

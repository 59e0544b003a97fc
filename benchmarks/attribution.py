"""What a training step of each model under each engine waits for: python -m benchmarks.attribution [--out DIR].

Full-size models on made-up videos of THUMOS14's usual lengths; the steps are those of a training, the data are not
THUMOS14's. One `tal-repro bench attribution` each, in a process of its own. Upstream needs the checkouts.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tempfile
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import skeleton
from tal_repro.engines.registry import engine_version, engines_of
from tal_repro.models.registry import MODELS
from tal_repro.run.system import machine_name

VIDEOS = {"videos": "24", "test": "20", "seconds": "80-240"}


def main() -> int:
    """Attribute the chosen pairs; print a verdict each and write one JSON file each. Exit 1 if one failed."""
    parser = skeleton.parser(__doc__, models=list(MODELS), out="folder of the JSON files")
    parser.add_argument("--engines", nargs="+", default=["native", "upstream"], choices=["native", "upstream"])
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--steps", type=int, default=3)
    options = parser.parse_args()
    failed = 0
    with tempfile.TemporaryDirectory() as scratch:
        data = make_data(Path(scratch) / "data")
        for model in options.models:
            for engine in (one for one in options.engines if one in engines_of(model)):
                found = attribute(model, engine, data, options.device, options.steps)
                failed += found is None
                if found is not None and options.out:
                    skeleton.write(options.out / f"{model}-{engine}.json", found)
    return 1 if failed else 0


def make_data(out: Path) -> Path:
    """Write synthetic videos in both layouts."""
    words = ["--videos", VIDEOS["videos"], "--test", VIDEOS["test"], "--set", f"seconds={VIDEOS['seconds']}"]
    command = [sys.executable, "-m", "tal_repro", "data", "synth", *words, "--out", str(out)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return out


def attribute(model: str, engine: str, data: Path, device: str, steps: int) -> dict[str, Any] | None:
    """Return the answer of `bench attribution` with what it depends on; None (and its words) where it failed."""
    before = os.getloadavg()[0]
    command = [sys.executable, "-m", "tal_repro", "bench", "attribution", "--model", model, "--engine", engine]
    command += ["--data", str(data), "--device", device, "--steps", str(steps), "--json"]
    answer = subprocess.run(command, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        print(f"{model} {engine}: {answer.stderr.strip()[-500:]}")
        return None
    found: dict[str, Any] = json.loads(answer.stdout)
    print(f"{found['verdict']}; {found['step_ms']:.0f} ms a step", flush=True)
    return {**found, "synthetic": True, "measured": about(model, engine, device, before)}


def about(model: str, engine: str, device: str, load: float) -> dict[str, Any]:
    """Name what the figures depend on."""
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine_name(device),
        "load_before": round(load, 2),
        "threads": os.environ.get("OMP_NUM_THREADS", "all cores"),
        "engine_version": engine_version(model, engine, "training"),
        "data": f"synthetic: {VIDEOS['videos']} training videos of {VIDEOS['seconds']} s, 2048 features a step",
        "recipe": "the paper's, at full size",
        "python": platform.python_version(),
        "torch": version("torch"),
    }


if __name__ == "__main__":
    sys.exit(main())

"""Figures of the runner: chaos (kill -9), shared work, scale (100 000 finished runs), overhead of one-second runs.

    python benchmarks/runner.py chaos|chaos-native|share|scale|overhead|all [--kills 100] [--out FILE.json]

Made-up runs by the stand-in adapter; nothing here says anything about a model.
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import hashlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
STAND_IN = {"TAL_REPRO_STAND_IN": "standin", "PYTHONPATH": f"{HERE}:{HERE.parent}"}

from benchmarks import skeleton  # noqa: E402
from tal_repro.run.plan import make_plan  # noqa: E402
from tal_repro.runs.folder import FORMAT  # noqa: E402
from tal_repro.runs.store import RunStore  # noqa: E402
from tal_repro.study import load_study  # noqa: E402

MOST_REPORTED = 10_000  # runs on a page
STEPS = ("plan", "status", "table", "report")  # of scale, each in a process of its own


def write_study(folder: Path, percentages: list[float], repeats: int, models: str = '["tadtr"]') -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "study.toml"
    path.write_text(
        'schema = "tal-repro/study/1"\nname = "made-up"\n'
        '[data]\nname = "made-up"\nsynthetic = true\n'
        f'[[experiments]]\nexperiment = "data_sweep"\nmodels = {models}\n'
        f"percentages = {percentages}\nrepeats = {repeats}\n"
    )
    return path


def start(study: Path, results: Path, stand_in: dict[str, Any] | None, jobs: int = 2) -> subprocess.Popen[bytes]:
    """Start a runner; `stand_in` None: the native engine itself trains."""
    environment = dict(os.environ)
    environment.pop("TAL_REPRO_STAND_IN", None)
    if stand_in is not None:
        environment |= {**STAND_IN, "TAL_REPRO_STAND_IN_PLAN": json.dumps(stand_in)}
    command = [sys.executable, "-m", "tal_repro", "run", "--study", str(study), "--results", str(results)]
    return subprocess.Popen(
        [*command, "--jobs", str(jobs)], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def chaos(folder: Path, kills: int = 100, runs: int = 100, seed: int = 0) -> dict[str, Any]:
    """Kill runner, workers or both at random moments; then rerun once and compare with an undisturbed study."""
    random.seed(seed)
    stand_in = {"epochs": 4, "epoch_seconds": 0.05 + 0.1 * random.random()}
    return _chaos(write_study(folder, [10], runs), folder, stand_in, kills, (0.05, 1.2))


def chaos_native(folder: Path, kills: int = 12, seed: int = 0) -> dict[str, Any]:
    """Do the same to the native engine training miniature models: the results must have the same bits."""
    random.seed(seed)
    demo = (HERE.parent / "tal_repro" / "studies" / "demo.toml").read_text()
    head, _, rest = demo.partition("[[experiments]]")
    recipes = rest[rest.index("\n[recipes.") :]
    sweep = '[[experiments]]\nexperiment = "data_sweep"\npercentages = [20]\nrepeats = 1\n'
    folder.mkdir(parents=True, exist_ok=True)
    study = folder / "study.toml"
    study.write_text(head + sweep + recipes)
    return _chaos(study, folder, None, kills, (2.0, 16.0))


def _chaos(
    study: Path, folder: Path, stand_in: dict[str, Any] | None, kills: int, pause: tuple[float, float]
) -> dict[str, Any]:
    disturbed, calm = folder / "disturbed", folder / "calm"
    victims: Counter[str] = Counter()
    process: subprocess.Popen[bytes] | None = None
    finished = 0
    while sum(victims.values()) < kills:
        if process is None or process.poll() is not None:
            if process is not None and process.returncode == 0:  # done before the kills were: begin another study
                shutil.rmtree(disturbed)
                finished += 1
            process = start(study, disturbed, stand_in)
        time.sleep(random.uniform(*pause))
        target = random.choice(["runner", "worker", "both"])
        if target in ("worker", "both") and not _kill_worker(disturbed):
            continue  # nobody to kill at this moment
        if target in ("runner", "both"):
            process.kill()
            process.wait()
        victims[target] += 1
    if process is not None and process.poll() is None:
        process.kill()
        process.wait()
    statuses = [start(study, results, stand_in).wait() for results in (disturbed, calm)]
    there, expected = _results(disturbed), _results(calm)
    whole = sum(not record.damaged() for record in RunStore(disturbed).records())
    return {
        "engine": "native" if stand_in is None else "stand-in",
        "kills": sum(victims.values()),
        "victims": dict(victims),
        "studies_finished_meanwhile": finished,
        "rerun_exit_status": statuses[0],
        "runs": len(expected),
        "whole": whole,
        "identical": sum(there.get(run_id) == content for run_id, content in expected.items()),
        "leftovers": len(list(RunStore(disturbed).leftovers())),
        "resumed": sum(record.status["attempts"] > 1 for record in RunStore(disturbed).records()),
    }


def _kill_worker(results: Path) -> bool:
    """Kill one living worker; return whether there was one."""
    pids = []
    for path in results.glob("*/*/*.partial/status.json"):
        with contextlib.suppress(OSError, ValueError, KeyError):
            pids.append(json.loads(path.read_text())["pid"])
    random.shuffle(pids)
    for pid in pids:
        with contextlib.suppress(OSError):
            if b"forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes():  # it is still that worker
                os.kill(pid, signal.SIGKILL)
                return True
    return False


def _results(root: Path) -> dict[str, bytes]:
    """Return all that does not tell time: mAP rows, steps, losses and every detection, byte by byte."""
    found = {}
    for record in RunStore(root).records():
        metrics = {key: value for key, value in record.metrics.items() if "seconds" not in key}
        kept = [json.dumps(metrics, sort_keys=True).encode()]
        if record.paths.detections.exists():
            kept.append(record.paths.detections.read_bytes())
        if record.paths.epochs.exists():
            rows = csv.DictReader(record.paths.epochs.read_text().splitlines())
            kept += [repr([(k, v) for k, v in row.items() if "seconds" not in k]).encode() for row in rows]
        found[record.folder.name] = b"\n".join(kept)
    return found


def share(folder: Path, runners: int = 4, runs: int = 200) -> dict[str, Any]:
    """Start several runners on one results folder; count what was done and whether anything was done twice."""
    study = write_study(folder, [10], runs)
    began = time.monotonic()
    processes = [start(study, folder / "runs", {"epochs": 1, "epoch_seconds": 0.02}, jobs=1) for _ in range(runners)]
    statuses = [process.wait() for process in processes]
    records = list(RunStore(folder / "runs").records())
    logs = [record.paths.log.read_text().count("# attempt") for record in records]
    return {
        "runners": runners,
        "runs": runs,
        "done": len(records),
        "twice": sum(count > 1 for count in logs),
        "exit_statuses": statuses,
        "wall_seconds": round(time.monotonic() - began, 2),
    }


def scale(folder: Path, runs: int = 100_000) -> dict[str, Any]:
    """Make up finished runs; time planning and tabling them in fresh processes, with their peak memory."""
    made = 100 * (runs // 100)
    study_path = write_study(
        folder, list(range(1, 51)), made // 200, '["tadtr", "actionformer", "tridet", "temporalmaxer"]'
    )
    store = RunStore(folder / "runs")
    study = load_study(str(study_path))
    began = time.monotonic()
    for number, spec in enumerate(study.runs("core")):
        _make_up(store, spec, number)
    making = time.monotonic() - began
    plan = _timed("plan", study_path, store.root)
    status = _timed("status", study_path, store.root)
    table = _timed("table", study_path, store.root)
    report = _timed("report", study_path, store.root) if made <= MOST_REPORTED else None
    steps = {"plan": plan, "status": status, "table": table, "report": report}
    return {"runs": number + 1, "making_seconds": round(making, 1), **steps}


def _make_up(store: RunStore, spec: Any, number: int) -> None:
    spec = dataclasses.replace(spec, data_digest="d" * 64)
    folder = store.folder(spec)
    folder.mkdir(parents=True)
    rows = [
        {
            "epoch": 14,
            "selection": s,
            "weights": "raw",
            "protocol": "tadtr-210",
            "tiou": t,
            "ap": 0.5 + number % 97 / 1e3,
        }
        for s in ("last", "best-on-test")
        for t in (0.3, 0.4, 0.5, 0.6, 0.7)
    ]
    metrics = {"schema": "tal-repro/metrics/1", "optimizer_steps": 10, "seconds": {"total": 400.0}}
    metrics |= {"table2_seconds": 400.0, "table2_definition": "made up", "flags": [], "rows": rows}
    contents = {"spec": spec.to_json(), "metrics": metrics, "system": {"machine": "made up", "alone": True}}
    contents["data"] = {"schema": "tal-repro/data/1", "digest": spec.data_digest}
    digests = {}
    for name, value in contents.items():
        text = json.dumps(value).encode()
        (folder / f"{name}.json").write_bytes(text)
        digests[f"{name}.json"] = hashlib.sha256(text).hexdigest()
    status = {"format": FORMAT, "state": "done", "seconds": 400.0, "attempts": 1, "machine": "made up"}
    (folder / "status.json").write_text(json.dumps({**status, "digests": digests}))


def _timed(what: str, study: Path, results: Path) -> dict[str, Any]:
    """Run one step in a fresh process; return its wall seconds and peak memory."""
    began = time.monotonic()
    output = subprocess.run(
        [sys.executable, __file__, f"_{what}", "--study", str(study), "--results", str(results)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **STAND_IN},
    )
    if output.returncode:
        return {"error": output.stderr.strip().splitlines()[-1]}
    return {"wall_seconds": round(time.monotonic() - began, 2), **json.loads(output.stdout)}


def _step(what: str, study_path: str, results: str) -> dict[str, Any]:
    store = RunStore(results)
    study = load_study(study_path)
    if what == "_plan":
        plan = make_plan(study, store, "core")
        counted = plan.counts["done"]
        json.dumps(plan.to_json())
    elif what == "_status":
        from tal_repro.commands.status import read_status

        counted = read_status(study, store, study.runs("core"))["counts"]["done"]
    else:
        from tal_repro.commands.report import Source, write_page
        from tal_repro.paper.measured_tables import measured_tables
        from tal_repro.planned import planned
        from tal_repro.runs.load import load_runs

        if what == "_report":
            counted = len(write_page(Source(results, study_path), Path(results).parent / "report")[1].runs)
        else:
            runs = load_runs(results, planned(store.root, study_path))
            assert len(measured_tables(runs.runs)["learning_curves"])
            counted = len(runs.runs)
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = round(used.ru_utime + used.ru_stime, 2)  # what the wall would show on an idle machine
    return {"runs": counted, "cpu_seconds": cpu, "peak_mib": round(used.ru_maxrss / 1024)}


def overhead(folder: Path, runs: int = 120, workers: int = 2) -> dict[str, Any]:
    """Time a study of one-second runs: what of workers x wall time no run spent in its own train().

    The clock starts with the first run and stops with the runner's process.
    """
    study = write_study(folder, [10], runs)
    process = start(study, folder / "runs", {"epochs": 1, "epoch_seconds": 0.0, "train_seconds": 1.0}, jobs=workers)
    while not list((folder / "runs").glob("*/*/*.partial")):
        time.sleep(0.001)
    began = time.monotonic()
    assert process.wait() == 0
    wall = time.monotonic() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)  # runner, fork server, every run
    inside = [record.status["seconds"] for record in RunStore(folder / "runs").records()]
    return {
        "runs": runs,
        "workers": workers,
        "wall_seconds": round(wall, 3),
        "overhead_percent": round(100 * (workers * wall / (runs * 1.0) - 1), 2),
        "cpu_ms_a_run": round(1000 * (used.ru_utime + used.ru_stime) / runs, 1),
        "load_average": os.getloadavg()[0],
        "run_seconds_mean": round(sum(inside) / len(inside), 4),
    }


@contextlib.contextmanager
def workplace(memory: bool) -> Iterator[Path]:
    """Make a folder that is gone afterwards; `memory`: in RAM where there is such a place (400 000 small files)."""
    shared = Path("/dev/shm")
    room = memory and shared.is_dir() and shutil.disk_usage(shared).free > 4 << 30
    folder = Path(tempfile.mkdtemp(prefix="tal-repro-runner-", dir=shared if room else None))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = skeleton.parser(__doc__)
    parser.add_argument(
        "what",
        choices=("chaos", "chaos-native", "share", "scale", "overhead", "all", "_plan", "_status", "_table", "_report"),
    )
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--runs", type=int, default=100_000, help="of scale")
    parser.add_argument("--study", default="")
    parser.add_argument("--results", default="")
    options = parser.parse_args()
    os.environ.update(STAND_IN)
    if options.what.startswith("_"):
        print(json.dumps(_step(options.what, options.study, options.results)))
        return
    calls = {
        "chaos": lambda folder: chaos(folder, options.kills),
        "chaos-native": chaos_native,
        "share": share,
        "scale": lambda folder: scale(folder, options.runs),
        "overhead": overhead,
    }
    report = {}
    for name in calls if options.what == "all" else (options.what,):
        with workplace(name == "scale") as folder:
            report[name] = calls[name](folder)
        print(json.dumps({name: report[name]}, indent=1), flush=True)
    skeleton.write(options.out, {"schema": "tal-repro/bench-runner/1", **report})


if __name__ == "__main__":
    main()

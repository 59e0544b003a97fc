"""A minute of training for each (model, engine): scales published times to this machine before anything starts."""

from __future__ import annotations

import json
import shutil
import signal
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tal_repro.engines.registry import warm_modules
from tal_repro.errors import InputError
from tal_repro.run import costs
from tal_repro.run.devices import find_devices
from tal_repro.run.executors.local import LocalPool
from tal_repro.run.job import Job
from tal_repro.run.outcomes import DONE, STOPPED, read_outcome
from tal_repro.run.selection import select
from tal_repro.runs.folder import RunPaths
from tal_repro.runs.record import read_json
from tal_repro.runs.store import RunStore
from tal_repro.spec import RunSpec
from tal_repro.study import Study

PROBE_SECONDS = 60.0
LEAVE_SECONDS = 20.0


def probe_study(
    study: Study, scope: str, only: str, data: str | None, say: Callable[[str], None], seconds: float = PROBE_SECONDS
) -> dict[tuple[str, str], tuple[float, int]]:
    """Train each (model, engine) of a study for a minute; return the factors over published times.

    Raise InputError where there is no data set. A pair that cannot be probed is told and left out.
    """
    specs = select(study.runs(scope), only)
    longest: dict[tuple[str, str], RunSpec] = {}
    for spec in specs:
        key = (spec.model, spec.engine)
        if costs.kind_of(spec) == "training" and _percent(spec) >= _percent(longest.get(key, spec)):
            longest[key] = spec
    if data is None:
        raise InputError("a probe trains, so it needs a data set", "--probe", "give its folder: --data DIR")
    factors: dict[tuple[str, str], tuple[float, int]] = {}
    for (model, engine), spec in longest.items():
        say(f"probing {model} ({engine}) for {seconds:g} s")
        seconds_or_reason = _probe(spec, Path(data), seconds, study)
        if isinstance(seconds_or_reason, str):
            say(f"  not probed: {seconds_or_reason}")
        else:
            factor = seconds_or_reason / costs.published_seconds(spec, study.run_seconds).seconds
            factors["training", f"{model}/{engine}"] = (factor, 0)
            say(f"  a full run takes about {seconds_or_reason:.0f} s here, {factor:.2f} times the estimate before")
    return factors


def _probe(spec: RunSpec, data: Path, seconds: float, study: Study) -> float | str:
    """Return the seconds a whole run would take, or why that cannot be told."""
    root = Path(tempfile.mkdtemp(prefix="tal-repro-probe-"))
    store, pool = RunStore(root), LocalPool(warm_modules(spec.engine))
    try:
        device = find_devices([spec], 1)[0].name
        pool.start(0, Job(spec.to_json(), str(root), str(data.resolve()), device, study.given))
        status = _wait(pool, seconds)
        if status is None:
            pool.signal(0, signal.SIGTERM)
            status = _wait(pool, LEAVE_SECONDS)
        if status == DONE:
            return float(read_json(RunPaths(store.folder(spec)).status)["seconds"])
        if status not in (STOPPED, None):
            return read_outcome(store, spec) or f"it ended with status {status}"
        return extrapolate(RunPaths(store.partial(spec)), spec)
    finally:
        pool.close()
        shutil.rmtree(root, ignore_errors=True)


def extrapolate(paths: RunPaths, spec: RunSpec) -> float | str:
    """Return the seconds of a whole run from the rate of the iterations that a stopped one made."""
    times = []
    try:
        for line in paths.events.read_text(encoding="utf-8").splitlines():
            event = json.loads(line)
            if event.get("kind") == "iteration" and event.get("phase") == "end":
                times.append(float(event["time"]))
        units = len(read_json(paths.subset)["ids"])
    except (OSError, ValueError, KeyError) as error:
        return f"its events cannot be read ({error})"
    if len(times) < 3:
        return "it made fewer than three iterations"
    steps = int(spec.recipe["epochs"]) * (units // int(spec.recipe["batch_size"]))
    a_step = (times[-1] - times[0]) / (len(times) - 1)
    return a_step * steps / (1 - costs.FIXED_SHARE)


def _wait(pool: LocalPool, seconds: float) -> int | None:
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        for _, status in pool.poll(min(left, 0.5)):
            if status is not None:
                return status
    return None


def _percent(spec: RunSpec) -> float:
    return spec.subset.percent if spec.subset else 0.0

"""Training steps of the authors' code, for the account of what a step waits for: their script runs, and is ended."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tal_repro.engines.adapter import RunContext
from tal_repro.engines.registry import get_adapter
from tal_repro.engines.upstream import own_set, probe
from tal_repro.engines.upstream.checkout import prepare
from tal_repro.engines.upstream.job import Job, fresh_work_folder
from tal_repro.errors import InputError

WARMUP = 2
PROFILED = 3
LAST_LINES = 3


def attribute_steps(run: RunContext, steps: int, scratch: Path) -> dict[str, Any]:
    """Return the attribution of `steps` training steps, as plain values; the script's output goes to the run's log.

    Raises InputError where the training failed, or ended before enough steps.
    """
    if run.data_dir is None:
        raise InputError("training needs a data set", remedy="name one with --data DIR")
    adapter: Any = get_adapter(run.spec.model, "upstream")
    source, tree = own_set.source_of(run.data_dir, run.spec.model), prepare(run.spec.model).resolve()
    recipe, work = adapter.recipe(run), fresh_work_folder(run)
    layout = own_set.lay_out(source, run, recipe, run.subset_ids, work / own_set.FOLDER)
    job = Job(run, recipe, tree, layout, work, log=run.record.paths.log)
    out = scratch.resolve() / "attribution.json"
    asked = {"out": str(out), "device": run.device, "warmup": WARMUP, "steps": steps, "profiled": PROFILED}
    os.environ[probe.VARIABLE] = json.dumps(asked)
    try:
        adapter.run_scripts(job)
    except (ValueError, RuntimeError) as error:  # an InputError is a ValueError
        if not out.exists():  # else it is only that the training did not go on to its end
            raise InputError(str(error), "the authors' training", f"its last words: {_last_words(run)}") from None
    finally:
        del os.environ[probe.VARIABLE]
    if not out.exists():
        raise InputError("the training ended before enough steps", "--steps", "ask for fewer, or give more data")
    attributed: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return attributed


def _last_words(run: RunContext) -> str:
    lines = run.record.paths.log.read_text(encoding="utf-8", errors="replace").splitlines()
    return " | ".join(lines[-LAST_LINES:])

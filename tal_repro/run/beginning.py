"""What a run has before it works: its status and system, its data and units, its output and environment."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tal_repro import hooks
from tal_repro.engines.registry import STAND_IN_VARIABLE
from tal_repro.errors import InputError
from tal_repro.files import is_there
from tal_repro.run.bfloat16 import warnings_of
from tal_repro.run.job import Job
from tal_repro.run.outcomes import now
from tal_repro.run.system import describe_system, machine_name
from tal_repro.runs.folder import FORMAT
from tal_repro.runs.record import read_json
from tal_repro.runs.store import RunStore
from tal_repro.runs.writer import RunWriter
from tal_repro.spec import RunSpec

if TYPE_CHECKING:
    from tal_repro.run.inputs import Inputs

ROW_DIGITS = 16  # of the digest of a whole data set


def begin(writer: RunWriter, job: Job) -> dict[str, Any]:
    """Write system.json and the status of a run under way; return what stays true to its end."""
    device = job.device
    attempts = 1
    with contextlib.suppress(InputError, TypeError, ValueError):  # there is no status yet, or a spoilt one
        attempts += int(read_json(writer.paths.status).get("attempts", 0))
    status = {
        "study": job.study,
        "settings": list(job.settings),
        "host": socket.gethostname(),
        "machine": machine_name(device),
        "device": device,
        "started": now(),
        "attempts": attempts,
    }
    doubtful = _earlier_doubts(writer)
    about = {**describe_system(device, job.alone and not doubtful), "surroundings": {"doubtful": doubtful}}
    writer.write_json("system", about)
    writer.write_json("status", {"format": FORMAT, "state": "running", "pid": os.getpid(), **status})
    print(f"# attempt {attempts}, {status['started']}, {status['host']}, {device}", file=sys.stderr, flush=True)
    for warning in warnings_of([writer.spec], [device]):
        print(warning, file=sys.stderr, flush=True)
    writer.beat()
    return status


def _earlier_doubts(writer: RunWriter) -> list[str]:
    """Return what disturbed an earlier attempt of this run: its time is part of the run's."""
    try:
        return [str(reason) for reason in read_json(writer.paths.system)["surroundings"]["doubtful"]]
    except (InputError, KeyError, TypeError):
        return []


def open_inputs(spec: RunSpec, store: RunStore, data_dir: Path | None) -> Inputs | None:
    """Return the run's data, as long as it is what the run was started for; None where it reads none."""
    if spec.data is None or os.environ.get(STAND_IN_VARIABLE):
        return None
    if data_dir is None:
        raise InputError("this run needs a data set", remedy="give its folder: --data DIR")
    from tal_repro.run.inputs import Inputs

    inputs = Inputs(data_dir, store.root)
    inputs.check(spec)
    return inputs


def note_data(writer: RunWriter, inputs: Inputs | None) -> dict[str, str]:
    """Write data.json: what the run is made from; return what of it a reader needs first."""
    spec = writer.spec
    named: dict[str, Any] = {"schema": "tal-repro/data/1", "digest": spec.data_digest}
    if inputs is None:
        if spec.data_digest:  # a stand-in reads none, and is named after them all the same
            writer.write_json("data", named)
        return {}
    state = inputs.note(spec.model)
    about = {"layout": state.layout, "data_set": state.digest[:ROW_DIGITS]}
    facts = {"annotation_hash": state.annotation_hash, "feature_dim": state.dim, **inputs.lengths(spec.model)}
    writer.write_json("data", named | about | facts)
    return about


def draw_units(writer: RunWriter, inputs: Inputs | None) -> tuple[str, ...]:
    """Draw the run's training units from its data, of which it may read none, and record them."""
    if inputs is None:
        return ()
    spec = writer.spec
    from tal_repro.data import draw_subset
    from tal_repro.data.windows import Slicing
    from tal_repro.run.datasets import open_dataset

    dataset = open_dataset(inputs.data_dir, spec)  # whole trainings, too, are checked against what they declare
    if (drawn_by := spec.subset) is None:
        return ()
    slicing = Slicing.of(spec.recipe)
    subset = draw_subset(
        dataset, drawn_by.unit, drawn_by.policy, drawn_by.percent, drawn_by.seed, model=spec.model, slicing=slicing
    )
    writer.write_json("subset", subset.to_json())
    return subset.ids


class hooked:
    """Tell `tal_repro.hooks` where this run's events go and which subset it trains on."""

    def __init__(self, writer: RunWriter) -> None:
        self.variables = {hooks.EVENTS_VARIABLE: str(writer.paths.events)}
        if is_there(writer.paths.subset):
            self.variables[hooks.SUBSET_VARIABLE] = str(writer.paths.subset)

    def __enter__(self) -> None:
        hooks.reset()
        os.environ.update(self.variables)

    def __exit__(self, *exception: object) -> None:
        hooks.reset()
        for name in self.variables:
            os.environ.pop(name, None)


def set_threads(threads: int) -> None:
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(threads)


def redirect_output(path: Path) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def end_output(log: bool) -> None:
    """Let nothing more reach the log: its digest is about to be taken."""
    sys.stdout.flush()
    sys.stderr.flush()
    if log:
        descriptor = os.open(os.devnull, os.O_WRONLY)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        os.close(descriptor)

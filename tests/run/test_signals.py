"""What a worker that is asked to stop ends with: schedulers and other workers read the number."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable

import pytest

from tal_repro.run.job import Job
from tal_repro.run.signals import StopFlag
from tal_repro.run.worker import run_job
from tal_repro.runs.store import RunStore
from tal_repro.study import Study


def test_a_worker_that_is_told_to_stop_exits_143(mini: Study, store: RunStore, stand_in: Callable[..., None]) -> None:
    stand_in(epochs=400, epoch_seconds=0.05)
    child = os.fork()
    if child == 0:
        os._exit(run_job(Job(mini.runs()[0].to_json(), str(store.root), None, "cpu")))
    end = time.monotonic() + 20
    while not list(store.root.glob("*/*/*.partial/checkpoint.pt")):
        assert time.monotonic() < end, "the worker should have written a checkpoint"
        time.sleep(0.02)
    os.kill(child, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 143


@pytest.mark.parametrize(
    ("signals", "wish"),
    [
        ((signal.SIGINT,), "epoch"),
        ((signal.SIGINT, signal.SIGINT), "now"),
        ((signal.SIGTERM,), "now"),
        ((signal.SIGTERM, signal.SIGINT), "now"),
    ],
)
def test_a_second_wish_never_weakens_the_first(signals: tuple[int, ...], wish: str) -> None:
    flag = StopFlag()
    for number in signals:
        flag._on_signal(number, None)
    assert flag() == wish

"""The processes on a card: what they tell, what is told of one that fails, and the samples taken meanwhile."""

from __future__ import annotations

import sys
import time
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tal_repro.gpu_check import evidence as module
from tal_repro.gpu_check import exercise, judge
from tal_repro.gpu_check.evidence import Task, collect, run_task
from tests.measure.fake_nvml import write_module


def words(code: str) -> tuple[str, ...]:
    return (sys.executable, "-c", code)


def test_the_kits_own_models_tell_a_line_each() -> None:
    lines = run_task(Task("native", words("print('noise'); print('{\"did\": \"product\"}')")))
    assert lines == [{"did": "product"}]
    (problem,) = run_task(Task("native", words("raise SystemExit('no kernel image')")))
    assert (problem["did"], problem["problem"]) == ("native", "no kernel image")


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("print('{\\n \"step_ms\": 7.5\\n}')", {"step_ms": 7.5}),
        ("import sys; print('a\\nb\\nlast', file=sys.stderr); sys.exit(3)", {"problem": "a | b | last"}),
        ("import os; os._exit(9)", {"problem": "it ended with status 9 and no message"}),
        ("pass", {"problem": "it ended with status 0 and no message"}),
    ],
)
def test_authors_code_tells_its_step_or_its_last_words(code: str, told: dict[str, Any]) -> None:
    (line,) = run_task(Task("authors tadtr", words(code)))
    assert {key: line[key] for key in told} == told
    assert line["did"] == "authors tadtr" and line["started"] <= line["ended"]


def test_what_hangs_is_ended_and_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TASK_SECONDS", 0.2)
    (line,) = run_task(Task("authors tadtr", words("import time; time.sleep(60)")))
    assert "did not end" in line["problem"]


def test_samples_of_a_stand_in_card_are_those_of_each_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pynvml that the sampler's process imports; its card's memory follows a file that the task writes."""
    used = tmp_path / "used"
    used.write_text("100")
    write_module(tmp_path, used)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def run(task: Task) -> list[dict[str, Any]]:
        started = time.time()
        used.write_text("900")
        time.sleep(0.4)
        line = {"did": "native tadtr", "started": started, "ended": time.time(), "step_ms": 1.0}
        used.write_text("100")
        return [line]

    seen = collect("cuda:0", 0, [], lambda line: None, run=run)
    assert judge.step_mib(seen) == {"native": {"tadtr": 800.0}}
    assert max(seen.samples["gpu_percent"]) == 50.0
    assert seen.sampler["samples"] >= 3 and "gpu" in seen.sampler["energy_joules"]


def test_a_native_step_on_the_stand_in_card_trains_and_detects(monkeypatch: pytest.MonkeyPatch) -> None:
    """The device is a CPU here: the same code as on a card, at a model's miniature size."""
    clock = SimpleNamespace(perf_counter=count(0.0, 0.25).__next__)  # a quarter of a second at each look
    monkeypatch.setattr(exercise, "time", clock)
    found = exercise.native_step("temporalmaxer", "cpu", small=True)
    assert found["step_ms"] == 250.0
    assert len(set(found["losses"])) == exercise.STEPS
    assert found["score_difference"] == 0.0 and found["detections"] == found["detections_cpu"] > 0
    monkeypatch.setattr(exercise, "SIDE", 64)
    assert 0 < exercise.product("cpu")["relative_error"] < judge.PRODUCT_ERROR


def test_a_model_that_fails_is_a_line_and_the_rest_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def out_of_memory() -> dict[str, Any]:
        raise RuntimeError("CUDA out of memory\nmore")

    works = [("native tadtr", out_of_memory), ("product", lambda: {"relative_error": 0.0})]
    monkeypatch.setattr(exercise, "_works", lambda device, small: works)
    monkeypatch.setattr(sys, "argv", ["exercise", "cpu"])
    exercise.main()
    first, second = module._lines(capsys.readouterr().out)
    assert first["problem"] == "CUDA out of memory" and second["relative_error"] == 0.0

"""Attribution against profiles whose answer is known: sleeping loaders, sleeping Python, made-up device events."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from tal_repro.measure.attribution import (
    Span,
    StepTime,
    attribute,
    profile,
    sampled_stacks,
    spans_of,
    time_steps,
    verdict,
    what_if,
)


def span(name: str, start: float, end: float, on_device: bool = False, self_time: float | None = None) -> Span:
    return Span(name, start, end, on_device, end - start if self_time is None else self_time)


def test_two_accounts_of_a_step_on_a_gpu() -> None:
    spans = [
        span("aten::mm", 0, 30),
        span("cudaStreamSynchronize", 60, 100),
        span("kernel_a", 10, 50, on_device=True),
        span("kernel_b", 40, 70, on_device=True),  # overlaps the first: 60 covered together
        span("Memcpy HtoD", 70, 80, on_device=True),
    ]
    found = attribute([StepTime(0.25, 0.75), StepTime(0.25, 0.75)], spans)
    assert found.step_ms == 1000
    assert found.samples_ms == ((250, 750), (250, 750))
    expected = {"data_wait": 0.25, "synchronisation": 0.3, "operators": 0.225, "python": 0.225}
    assert found.host == pytest.approx(expected)
    assert found.device == pytest.approx({"kernels": 0.45, "copies": 0.075, "idle": 0.475})
    assert sum(found.host.values()) == pytest.approx(1)
    assert verdict(found) == "30 % waiting for the device, whose kernels run 45 % of the step"
    estimates = what_if(found, core=1.5, gpu=2)
    assert estimates["core_1.5x"] == pytest.approx(0.3 + 0.7 / 1.5)  # more than the 0.525 that the device is busy
    assert estimates["gpu_2x"] == pytest.approx(1 - 0.225)  # half the kernels' time, all of it waited for


def test_a_faster_gpu_saves_no_more_than_is_waited_for() -> None:
    spans = [span("aten::mm", 0, 95), span("cudaDeviceSynchronize", 95, 100), span("kernel", 0, 90, on_device=True)]
    found = attribute([StepTime(0.0, 1.0)], spans)
    assert what_if(found)["gpu_2x"] == pytest.approx(0.95)
    assert verdict(found).startswith("95 % dispatching operators")


def test_a_faster_core_leaves_the_device_its_time() -> None:
    spans = [span("aten::mm", 0, 95), span("cudaDeviceSynchronize", 95, 100), span("kernel", 0, 90, on_device=True)]
    found = attribute([StepTime(0.0, 1.0)], spans)
    assert what_if(found)["core_1.5x"] == pytest.approx(0.9)  # not 0.05 + 0.95 / 1.5: the kernels take 0.9


def test_a_copy_that_blocks_is_waited_for() -> None:
    spans = [span("aten::copy_", 0, 50, self_time=10), span("cudaMemcpyAsync", 10, 50), span("aten::mm", 50, 100)]
    assert attribute([StepTime(0.0, 1.0)], spans).host["synchronisation"] == pytest.approx(0.4)


def test_an_annotation_is_no_work() -> None:
    """Torch puts one around each optimizer step: on a device it covers the gaps between kernels too."""

    def event(name: str, start: float, end: float, own: float, kind: str = "cpu", annotates: bool = False) -> Any:
        return SimpleNamespace(
            name=name, time_range=SimpleNamespace(start=start, end=end), device_type=kind, self_cpu_time_total=own,
            is_user_annotation=annotates,
        )  # fmt: skip

    events = [
        event("Optimizer.step", 0, 100, 80, annotates=True),
        event("aten::add", 10, 30, 20),
        event("Optimizer.step", 20, 90, 0, "cuda", annotates=True),
        event("kernel", 20, 40, 0, "cuda"),
        event("kernel", 80, 90, 0, "cuda"),
    ]
    found = attribute([StepTime(0.0, 1.0)], spans_of(events, "cpu"))
    assert found.host == pytest.approx({"data_wait": 0, "synchronisation": 0, "operators": 0.2, "python": 0.8})
    assert found.device == pytest.approx({"kernels": 0.3, "copies": 0, "idle": 0.7})
    assert found.operators == (("aten::add", 1.0),)


def test_torchs_own_annotations_are_recognised() -> None:
    weight = torch.nn.Parameter(torch.ones(4))
    optimizer = torch.optim.SGD([weight], lr=0.1)
    weight.grad = torch.ones(4)
    optimizer.step()
    spans = profile(optimizer.step, "cpu")
    steps = [one for one in spans if one.name.startswith("Optimizer.step")]
    assert steps
    assert all(one.self_time == 0 for one in steps)


def test_a_slow_loader_is_called_one_with_its_function() -> None:
    def slow() -> Iterator[int]:
        for number in itertools.count():
            time.sleep(0.06)
            yield number

    times = time_steps(slow(), lambda batch: time.sleep(0.02), 5, lambda: None)
    found = attribute(times, [], {}, Counter({"samples.window": 9, "other": 1}))
    assert found.host["data_wait"] == pytest.approx(0.75, abs=0.05)
    assert found.device == {}
    words = verdict(found)
    assert "waiting for the loader: most in samples.window (90 % of that)" in words
    assert set(what_if(found)) == {"core_1.5x"}


def test_python_and_operators_are_told_apart_by_a_real_profile() -> None:
    matrix = torch.ones(400, 400)

    def work() -> None:
        for _ in range(4):
            torch.mm(matrix, matrix)
            time.sleep(0.03)
            torch.mm(matrix, matrix)

    found = attribute([StepTime(0.0, 1.0)], profile(work, "cpu"))
    assert found.host["python"] > 0.5  # it slept between operators
    assert found.host["operators"] > 0
    assert found.operators[0][0] == "aten::mm"
    assert found.device == {}


def sleeping_function() -> None:
    time.sleep(0.2)


def test_the_function_a_thread_is_in_is_found() -> None:
    with sampled_stacks(0.005) as stacks:
        sleeping_function()
    counts = stacks["MainThread"]
    assert counts.most_common(1)[0][0] == "test_attribution.sleeping_function"
    assert counts.total() > 5


def test_real_training_steps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import json

    import jsonschema
    from click.testing import CliRunner

    import tal_repro
    from tal_repro.cli import main
    from tal_repro.data.synthetic import write_synthetic
    from tal_repro.data.synthetic_annotations import SyntheticConfig

    schema = json.loads((Path(tal_repro.__file__).parent / "schemas" / "attribution.json").read_text())
    data = write_synthetic(tmp_path / "d", SyntheticConfig(20, 20, 16, 20, (20.0, 25.0), difficulty=0.1, seed=4))
    tiny = ("hidden_dim=32", "ffn_dim=32", "encoder_layers=1", "decoder_layers=1", "batch_size=2")
    settings = [part for setting in tiny for part in ("--set", setting)]
    command = ["bench", "attribution", "--model", "tadtr", "--data", str(data), "--steps", "2", "--json", *settings]
    monkeypatch.setattr("tal_repro.measure.surroundings.look_around", lambda *_: {"cpu_mean_percent": 80.0})
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    jsonschema.validate(answer, schema)
    assert sum(answer["host"].values()) == pytest.approx(1)
    assert answer["verdict"].startswith("tadtr native on cpu: ")
    assert answer["doubtful"][0] == "others use 80 % of the CPU"
    assert [len(answer["samples_ms"]), answer["step_ms"]] == [2, pytest.approx(sum(map(sum, answer["samples_ms"])) / 2)]
    diverging = [*command, "--set", "learning_rate=2e9"]
    for arguments, words in (
        (diverging, "error: --set: the training diverges (cannot match sample"),
        (["bench", "attribution"], "nothing to look at"),
        (["bench", "attribution", "--run", str(tmp_path / "none")], "is not a run of training"),
    ):
        refused = CliRunner().invoke(main, arguments)
        assert refused.exit_code == 2
        assert words in refused.stderr

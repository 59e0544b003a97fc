"""`tal-repro train` end to end on a tiny synthetic set."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from tal_repro.cli import main
from tal_repro.commands.train import read_settings
from tal_repro.data.synthetic import write_synthetic
from tal_repro.data.synthetic_annotations import SyntheticConfig
from tal_repro.errors import InputError
from tal_repro.run import locks
from tal_repro.run.inputs import Inputs
from tal_repro.run.outcomes import BUSY, DISK_FULL
from tal_repro.run.training import plan_training
from tal_repro.runs.record import read_json

Start = Callable[..., "subprocess.Popen[str]"]
SMALL = ["embed_dim=16", "head_dim=16", "levels=3", "regression_ranges=[[0,8],[8,32],[32,10000]]", "max_seq_len=256",
         "epochs=2", "warmup_epochs=1", "batch_size=4", "max_detections=10"]  # fmt: skip


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "tiny"
    return write_synthetic(out, SyntheticConfig(20, 20, 16, 20, (20.0, 25.0), difficulty=0.1, seed=4))


def call(data_dir: Path, out: Path, *arguments: str) -> Result:
    given = {word.partition("=")[0] for word in arguments}
    settings = [part for setting in SMALL if setting.partition("=")[0] not in given for part in ("--set", setting)]
    base = ["train", "--model", "temporalmaxer", "--data", str(data_dir), "--out", str(out)]
    return CliRunner().invoke(main, [*base, *settings, *arguments])


def test_train_prints_both_selections_and_is_reused(data_dir: Path, tmp_path: Path) -> None:
    first = call(data_dir, tmp_path, "--percent", "40")
    assert first.exit_code == 0, first.output
    assert "optimizer steps: 4" in first.output  # 8 videos, batches of 4, 2 epochs
    first_epoch, last_epoch = (line for line in first.stderr.splitlines() if line.startswith("epoch "))
    assert first_epoch.startswith("epoch 1 of 2: 2 optimizer steps, loss ")
    assert "mAP (synthetic data) " in last_epoch and last_epoch.endswith("at most 0 s left")
    for selection in ("last", "best-on-test"):
        for weights in ("raw", "ema"):
            assert f"average mAP (synthetic data), {selection}, {weights} weights, af-212: " in first.output
    assert "reused:" not in first.output
    again = call(data_dir, tmp_path, "--percent", "40")
    assert "reused:" in again.output
    (subset,) = tmp_path.rglob("subset.json")
    assert f"tal-repro show {subset.parent.name} --results " in again.output  # other data leave runs of the same id
    subset.write_text("{}")
    mended = call(data_dir, tmp_path, "--percent", "40")
    assert "damaged, set aside and run again: " in mended.output and "reused:" not in mended.output
    assert subset.read_text() != "{}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--set", "no_such=1"), "unknown hyper-parameter 'no_such'"),
        (("--set", "epochs=many"), "epochs = 'many'"),
        (("--set", "epochs=-1"), "--set: epochs = -1"),
        (("--set", "learning_rate=nan"), "--set: learning_rate = nan"),
        (("--set", "levels=4"), "3 regression_ranges for 4 levels"),
        (("--set", "epochs"), "not KEY=VALUE"),
        (("--set", "epochs=1", "--set", "epochs=2"), "epochs is given twice"),
        (("--percent", "0"), "percentage 0.0"),
        (("--engine", "upstream", "--precision", "bf16"), "float32 only"),
    ],
)
def test_bad_arguments_exit_2_with_a_remedy(
    data_dir: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    result = call(data_dir, tmp_path, *arguments)
    assert result.exit_code == 2, result.output
    assert message in result.output and "remedy" in result.output


def draw(data_dir: Path, out: Path, *arguments: str) -> str:
    drawn = CliRunner().invoke(main, ["subset", "--data", str(data_dir), "--out", str(out), *arguments])
    assert drawn.exit_code == 0, drawn.output
    return str(out)


@pytest.mark.parametrize("unit", ["video", "slice"])
def test_a_drawn_subset_is_trained_on(data_dir: Path, tmp_path: Path, unit: str) -> None:
    file = draw(data_dir, tmp_path / "s.json", "--percent", "45", "--policy", "stratified", "--unit", unit)
    result = call(data_dir, tmp_path / "runs", "--subset", file, "--set", "epochs=1")
    assert result.exit_code == 0, result.output
    (folder,) = (tmp_path / "runs").glob("*/*/*")
    assert read_json(folder / "subset.json")["ids"] == read_json(Path(file))["ids"]
    wanted = {"unit": unit, "policy": "stratified", "percent": 45.0, "seed": 1}
    assert {key: read_json(folder / "spec.json")["subset"][key] for key in wanted} == wanted


def test_a_full_disk_is_told_with_its_place_and_what_frees_it(
    data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tal_repro.run.worker.execute", lambda *_, **__: DISK_FULL)
    result = call(data_dir, tmp_path / "runs")
    assert result.exit_code == DISK_FULL
    assert f"error: disk full: {tmp_path / 'runs'}: " in result.stderr and "MiB are free now" in result.stderr
    assert "another folder: --out DIR" in result.stderr


def test_a_subset_of_other_data_is_refused(data_dir: Path, tmp_path: Path) -> None:
    file = Path(draw(data_dir, tmp_path / "s.json", "--percent", "45"))
    content = read_json(file)
    content["ids"][0] = "video_validation_7777777"
    file.write_text(json.dumps(content))
    result = call(data_dir, tmp_path / "runs", "--subset", str(file))
    assert result.exit_code == 2 and "Traceback" not in result.output
    assert "2 differ, the first: video_validation_" in result.stderr and "tal-repro subset" in result.stderr
    both = call(data_dir, tmp_path / "runs", "--subset", str(file), "--percent", "45")
    assert both.exit_code == 2 and "a subset file states its own percentage" in both.stderr


def test_bf16_is_a_run_of_its_own(data_dir: Path, tmp_path: Path) -> None:
    for precision in ("fp32", "bf16"):
        result = call(data_dir, tmp_path, "--percent", "40", "--precision", precision, "--set", "epochs=1")
        assert result.exit_code == 0, result.output
        assert "reused" not in result.output
    specs = [read_json(path) for path in tmp_path.glob("*/*/*/spec.json")]
    assert {spec["precision"] for spec in specs} == {"fp32", "bf16"}


def test_a_refused_run_says_why(data_dir: Path, tmp_path: Path) -> None:
    result = call(data_dir, tmp_path, "--percent", "10")
    assert result.exit_code == 2
    assert result.stderr.count("zero optimizer steps") == 1 and "Traceback" not in result.output
    (failed,) = tmp_path.glob("*/*/*.failed")
    assert "zero optimizer steps" in (failed / "log.txt").read_text()
    assert "zero optimizer steps" in read_json(failed / "status.json")["reason"]


def test_a_share_without_a_unit_is_refused_like_any_input(data_dir: Path, tmp_path: Path) -> None:
    result = call(data_dir, tmp_path, "--percent", "1")
    assert result.exit_code == 2 and "remedy" in result.stderr and "Traceback" not in result.output
    assert "1 % of 20 training videos is none" in result.stderr
    assert not list(tmp_path.glob("*/*/*")), "its data cannot even be named: no run was begun"


def test_a_second_start_says_who_is_at_the_run_and_leaves_it_alone(data_dir: Path, tmp_path: Path) -> None:
    planned = plan_training("temporalmaxer", data_dir, "native", 40.0, 0, read_settings(tuple(SMALL)))
    (spec,) = Inputs(data_dir, tmp_path).with_digests([planned])
    code = "import sys; from pathlib import Path; from tal_repro.run import locks\n"
    code += "lock = locks.acquire(Path(sys.argv[1])); print(flush=True); input()"  # a lock is a process's own
    command = [sys.executable, "-c", code, str(locks.lock_path(tmp_path, spec.name))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None and first.stdout.readline() == "\n"
        result = call(data_dir, tmp_path, "--percent", "40")
        assert result.exit_code == BUSY == 75
        assert f"process {first.pid} on " in result.stderr and "is at this run" in result.stderr
        assert not list(tmp_path.glob("training/*/*"))
        first.communicate("\n")


def test_a_stopped_training_goes_on_where_it_was(
    data_dir: Path, tmp_path: Path, start: Start, stand_in: Callable[..., None]
) -> None:
    stand_in(epochs=100, epoch_seconds=0.1)
    words = ("train", "--model", "temporalmaxer", "--data", str(data_dir), "--out", str(tmp_path / "runs"))
    process = start(*words)
    end = time.monotonic() + 60
    while not list(tmp_path.glob("runs/training/*/*.partial/checkpoint.pt")):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    said, _ = process.communicate(timeout=20)
    assert process.returncode == 143, said
    assert "stopped at a checkpoint; the same command goes on from here" in said
    stand_in(epochs=2, epoch_seconds=0.0)
    again = start(*words)
    said, _ = again.communicate(timeout=60)
    assert again.returncode == 0 and "(resumed)" in said, said


def test_settings_are_read_as_toml_or_words() -> None:
    assert read_settings(("epochs=3", "crop_ratio=[0.8, 1.0]", "budget=steps", "early_stop = true")) == {
        "epochs": 3, "crop_ratio": [0.8, 1.0], "budget": "steps", "early_stop": True,
    }  # fmt: skip
    with pytest.raises(InputError, match="KEY=VALUE"):
        read_settings(("__import__('os')=1",))

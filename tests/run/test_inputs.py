"""A run is everything that decides its numbers: each input is changed alone, and the next start is looked at."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tal_repro.data import state
from tal_repro.data.pack import pack_features
from tal_repro.data.synthetic import write_synthetic
from tal_repro.data.synthetic_config import SyntheticConfig
from tal_repro.engines import native
from tal_repro.errors import InputError
from tal_repro.run.datasets import dataset_for_unit, open_dataset
from tal_repro.run.inputs import FOLDER, Inputs
from tal_repro.run.job import Job
from tal_repro.run.outcomes import DONE
from tal_repro.run.released import _spec as released_spec
from tal_repro.run.training import plan_training
from tal_repro.run.worker import run_job
from tal_repro.runs.record import read_json
from tal_repro.runs.store import RunStore
from tal_repro.spec import RunSpec

ANNOTATIONS = Path("data", "thumos", "annotations", "thumos14.json")
FEATURES = Path("data", "thumos", "i3d_features")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny synthetic set of ActionFormer's layout and TadTR's; read only."""
    return write_synthetic(
        tmp_path_factory.mktemp("data") / "made", SyntheticConfig(8, 6, 4, 20, (10.0, 14.0), difficulty=0.1, seed=4)
    )


@pytest.fixture
def data(made: Path, tmp_path: Path) -> Iterator[Path]:
    """The same videos as a set of somebody's own: values count, no generator vouches for them."""
    folder = Path(shutil.copytree(made, tmp_path / "data"))
    edit(folder, lambda content: content.pop("synthetic"))
    yield folder
    dataset_for_unit.cache_clear()


def edit(folder: Path, change: Callable[[Any], Any]) -> None:
    path = folder / ANNOTATIONS
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def alter(folder: Path, video: str) -> None:
    """Change one value of a video's features by one."""
    path = folder / FEATURES / f"{video}.npy"
    values = np.load(path)
    values[1, 2] += 1
    np.save(path, values)


def spec_of(folder: Path, percent: float = 50, **options: Any) -> RunSpec:
    """Plan as a new process would: nothing of the folder is remembered."""
    dataset_for_unit.cache_clear()
    overrides = {"epochs": 4, "max_seq_len": 2304, **options.pop("overrides", {})}
    return plan_training("temporalmaxer", folder, "native", percent, 1, overrides, **options)


def read_videos(folder: Path, results: Path) -> tuple[str, str, str]:
    """Name a video that the run trains on, one that it does not, and one that it is scored on."""
    spec = spec_of(folder)
    read = set(Inputs(folder, results).videos(spec))
    every = {path.stem for path in (folder / FEATURES).glob("*.npy")}
    trained = min(video for video in read if "validation" in video)
    return trained, min(video for video in every - read if "validation" in video), min(v for v in read if "test" in v)


def first(video: str, name: str, value: Any) -> Callable[[Any], None]:
    def change(content: Any) -> None:
        content["database"][video][name] = value

    return change


def shift(video: str) -> Callable[[Any], None]:
    def change(content: Any) -> None:
        content["database"][video]["annotations"][0]["segment"][1] += 0.1

    return change


# What is changed alone -> what the next start does. (folder, trained, untrained, tested) or a change of the command.
DATA_ROWS: dict[str, tuple[Callable[[Path, str, str, str], Any], str]] = {
    "nothing": (lambda d, *_: None, "reused"),
    "a feature value of a training video": (lambda d, trained, *_: alter(d, trained), "another folder"),
    "a feature value of a test video": (lambda d, a, b, tested: alter(d, tested), "another folder"),
    "a feature value of a video that is not read": (lambda d, a, other, c: alter(d, other), "reused"),
    "fps of a training video": (lambda d, trained, *_: edit(d, first(trained, "fps", 5.0)), "another folder"),
    "fps of a test video": (lambda d, a, b, tested: edit(d, first(tested, "fps", 5.0)), "another folder"),
    "fps of a video that is not read": (lambda d, a, other, c: edit(d, first(other, "fps", 5.0)), "reused"),
    "duration of a test video": (lambda d, a, b, tested: edit(d, first(tested, "duration", 20.0)), "another folder"),
    "an annotation": (lambda d, trained, *_: edit(d, shift(trained)), "another folder"),
    "touched files": (lambda d, *_: [os.utime(path) for path in (d / FEATURES).iterdir()], "reused"),
    "files written again": (lambda d, trained, *_: rewrite(d / FEATURES / f"{trained}.npy"), "reused"),
    "annotations laid out otherwise": (lambda d, *_: lay_out_anew(d), "reused"),
    "features packed": (lambda d, *_: pack_features(d, "actionformer"), "reused"),
}


def rewrite(path: Path) -> None:
    """Replace a file by one of the same values: another inode, other times, another order in memory."""
    values = np.load(path)
    path.unlink()
    np.save(path, np.asfortranarray(values))


def lay_out_anew(folder: Path) -> None:
    """Write the annotations with other spaces and their videos in another order."""
    path = folder / ANNOTATIONS
    content = json.loads(path.read_text())
    content["database"] = dict(reversed(content["database"].items()))
    path.write_text(json.dumps(content, indent=2))


def finish(folder: Path, results: Path, spec: RunSpec) -> RunSpec:
    """Write the finished run that a start with these inputs leaves; return it with its digest."""
    (done,) = Inputs(folder, results).with_digests([spec])
    store = RunStore(results)
    whole = Inputs(folder, results).note(spec.model)
    store.writer(done).finish(layout=whole.layout, data_set=whole.digest[:16])
    return done


@pytest.mark.parametrize("row", DATA_ROWS)
def test_what_of_the_data_makes_another_run(data: Path, tmp_path: Path, row: str) -> None:
    results = tmp_path / "runs"
    videos = read_videos(data, results)
    before = finish(data, results, spec_of(data))
    change, expected = DATA_ROWS[row]
    change(data, *videos)
    (now,) = Inputs(data, results).again().with_digests([spec_of(data)])
    store = RunStore(results)
    assert ("reused" if store.state(now) == "done" else "another folder") == expected
    assert (now.name == before.name) == (expected == "reused")
    assert store.folder(before).is_dir(), "nothing is overwritten"


def test_moved_and_copied_folders_are_the_same_data(data: Path, tmp_path: Path) -> None:
    results = tmp_path / "runs"
    before = finish(data, results, spec_of(data))
    for folder in (Path(shutil.copytree(data, tmp_path / "copy")), Path(shutil.move(data, tmp_path / "moved"))):
        assert Inputs(folder, results).with_digests([spec_of(folder)]) == [before]


COMMAND_ROWS: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "reused"),
    "a recipe field": ({"overrides": {"learning_rate": 1e-5}}, "another folder"),
    "the percentage": ({"percent": 75}, "another folder"),
    "the precision": ({"precision": "bf16"}, "another folder"),
    "a trace": ({"trace": True}, "another folder"),
}


@pytest.mark.parametrize("row", COMMAND_ROWS)
def test_what_of_the_command_makes_another_run(data: Path, tmp_path: Path, row: str) -> None:
    options, expected = COMMAND_ROWS[row]
    assert_next(tmp_path / "runs", data, options, expected)


@pytest.mark.parametrize("row", ["threads", "engine version", "version of another experiment", "version of the kit"])
def test_what_of_the_kit_makes_another_run(
    data: Path, tmp_path: Path, row: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "runs"
    before = finish(data, results, spec_of(data))
    if row == "threads":
        monkeypatch.setenv("OMP_NUM_THREADS", "3")
    elif row == "engine version":
        monkeypatch.setitem(native.VERSIONS, "training", "next")
    elif row == "version of another experiment":  # counting otherwise leaves trainings as they are
        monkeypatch.setitem(native.VERSIONS, "macs", "next")
    else:
        monkeypatch.setattr("tal_repro.__version__", "99.0.0")
    (now,) = Inputs(data, results).with_digests([spec_of(data)])
    assert (now.name == before.name) == (row.startswith("version"))


def assert_next(results: Path, data: Path, options: dict[str, Any], expected: str) -> None:
    finish(data, results, spec_of(data))
    (now,) = Inputs(data, results).with_digests([spec_of(data, **options)])
    assert ("reused" if RunStore(results).state(now) == "done" else "another folder") == expected


def test_a_synthetic_set_is_named_by_its_generator_until_it_is_altered(made: Path, tmp_path: Path) -> None:
    folder, results = Path(shutil.copytree(made, tmp_path / "data")), tmp_path / "runs"
    made_so = Inputs(folder, results).state("temporalmaxer")
    assert made_so.generator
    digest = made_so.digest
    alter(folder, "video_validation_0000001")
    altered = Inputs(folder, results).again().state("temporalmaxer")
    assert (altered.generator, altered.digest == digest) == ("", False)
    shutil.copy(made / FEATURES / "video_validation_0000001.npy", folder / FEATURES)
    mended = Inputs(folder, results).again().state("temporalmaxer")
    assert (mended.generator, mended.digest) == (made_so.generator, digest)


def test_what_has_changed_is_named(data: Path, tmp_path: Path) -> None:
    results = tmp_path / "runs"
    trained, _, tested = read_videos(data, results)
    before = finish(data, results, spec_of(data))
    for video in (trained, tested):
        alter(data, video)
    edit(data, first(tested, "fps", 5.0))
    inputs = Inputs(data, results).again()
    changes = inputs.changes(spec_of(data), RunStore(results).folder(before))
    assert re.fullmatch(r"fps of 1 video \([\d.]+, now 5\), features of 2 videos", changes), changes


def test_the_cache_lies_with_the_results_and_the_data_may_be_read_only(data: Path, tmp_path: Path) -> None:
    results = tmp_path / "runs"
    before = sorted(data.rglob("*"))
    folders = [data, *(path for path in before if path.is_dir())]
    for folder in folders:
        folder.chmod(0o555)
    try:
        spec = finish(data, results, spec_of(data))
        assert sorted(data.rglob("*")) == before
        assert len(list((results / FOLDER).glob("*-actionformer.json"))) == 1
        assert Inputs(data, results).with_digests([spec_of(data)]) == [spec]
    finally:
        for folder in folders:
            folder.chmod(0o755)


def test_unchanged_files_are_not_read_again(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    results = tmp_path / "runs"
    trained, *_ = read_videos(data, results)
    spec = spec_of(data)
    digest = Inputs(data, results).digest(spec)
    read: list[int] = []

    own = state.hash_values

    def hash_values(values: np.ndarray) -> str:
        read.append(len(values))
        return own(values)

    monkeypatch.setattr(state, "hash_values", hash_values)
    assert Inputs(data, results).digest(spec) == digest and read == []
    os.utime(data / FEATURES / f"{trained}.npy")
    assert Inputs(data, results).digest(spec) == digest and len(read) == 1
    (cache,) = (results / FOLDER).glob("*-actionformer.json")
    for spoilt in ("{", "[]", '{"schema": "x"}', json.dumps({**read_json(cache), "digests": {"a": 3}})):
        cache.write_text(spoilt)
        read.clear()
        assert Inputs(data, results).digest(spec) == digest and len(read) == 14


def test_a_set_of_another_kind_than_the_run_declares_is_refused(data: Path) -> None:
    spec = spec_of(data)
    assert spec.data is not None and not spec.data.synthetic
    with pytest.raises(InputError, match="is not marked synthetic, the study declares it synthetic"):
        open_dataset(data, replace(spec, data=replace(spec.data, synthetic=True)))


def test_a_budget_of_steps_reads_how_many_videos_there_are(data: Path, tmp_path: Path) -> None:
    inputs = Inputs(data, tmp_path / "runs")
    specs = [spec_of(data, overrides={"budget": budget}) for budget in ("epochs", "steps")]
    assert inputs.videos(specs[0]) == inputs.videos(specs[1]) and inputs.digest(specs[0]) != inputs.digest(specs[1])


def test_released_reads_the_test_videos_alone(data: Path, tmp_path: Path) -> None:
    results = tmp_path / "runs"
    trained, _, tested = read_videos(data, results)
    (tmp_path / "weights").write_bytes(b"x")
    spec = released_spec("temporalmaxer", tmp_path / "weights", data, "native", {"max_seq_len": 2304})
    digest = Inputs(data, results).digest(spec)
    alter(data, trained)
    assert Inputs(data, results).again().digest(spec) == digest
    alter(data, tested)
    assert Inputs(data, results).again().digest(spec) != digest


@pytest.mark.parametrize("when", ["before", "during", "not at all"])
def test_data_that_changes_under_a_run_fails_it(
    data: Path, tmp_path: Path, when: str, capsys: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "runs"
    trained, *_ = read_videos(data, results)
    (spec,) = Inputs(data, results).with_digests([spec_of(data)])
    if when == "before":
        alter(data, trained)

    def perform(*_: Any) -> None:
        if when == "during":
            alter(data, trained)

    job, store = Job(spec.to_json(), str(results), str(data), "cpu"), RunStore(results)
    if when == "not at all":
        assert run_job(job, log=False, perform=perform) == DONE
        return
    with pytest.raises(InputError, match="the data has changed since the run was started"):
        run_job(job, log=False, perform=perform)
    assert store.state(spec) == "failed" and not store.folder(spec).exists()
    assert "the data has changed" in str(read_json(store.failed(spec) / "status.json")["reason"])


def test_a_planned_id_is_free_of_data(data: Path, tmp_path: Path) -> None:
    spec = spec_of(data)
    assert replace(spec, data_digest="a" * 64).run_id == spec.run_id
    assert replace(spec, data_digest="a" * 64).name == f"{spec.run_id}-aaaaaaaa"


def test_a_pack_whose_files_were_replaced_with_their_times_kept_is_refused(data: Path, tmp_path: Path) -> None:
    results = tmp_path / "runs"
    trained, *_ = read_videos(data, results)
    pack_features(data, "actionformer")
    finish(data, results, spec_of(data))
    path = data / FEATURES / f"{trained}.npy"
    times = path.stat()
    alter(data, trained)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    with pytest.raises(InputError, match="packed from other values than its feature files hold"):
        Inputs(data, results).again().digest(spec_of(data))


@pytest.mark.parametrize("change", ['key = "flow"', 'axes = "CT"'])
def test_another_array_of_the_same_file_is_other_data(data: Path, tmp_path: Path, change: str) -> None:
    """The definition alone says which array is read, and along which axis: no file changes."""
    folder, values = tmp_path / "own", np.random.default_rng(0).normal(size=(2, 20, 20)).astype("f4")
    folder.mkdir()
    actions = {"label": "A", "segment": [1.0, 3.0]}
    videos = {name: {"subset": name, "duration": 20.0, "annotations": [actions]} for name in ("training", "validation")}
    (folder / "a.json").write_text(json.dumps({"database": videos}))
    for number, name in enumerate(videos):
        (folder / "f").mkdir(exist_ok=True)
        np.savez(folder / "f" / f"{name}.npz", rgb=values[number], flow=values[number] + 1)
    text = (
        'schema = "tal-repro/data/1"\nname = "own"\nannotations = "a.json"\n[splits]\ntrain = ["training"]\n'
        'test = ["validation"]\n[features]\npath = "f"\ntype = "npz"\nsteps_per_second = 1\nKEY\nAXES\n'
        "[time]\nfps = 25\n"
    )
    definition = folder / "my.toml"
    definition.write_text(text.replace("KEY", 'key = "rgb"').replace("AXES", 'axes = "TC"'))
    before = Inputs(definition, tmp_path / "runs").state("tadtr").digest
    name = change.split(" ", 1)[0].upper()
    other = text.replace(name, change).replace("KEY", 'key = "rgb"').replace("AXES", 'axes = "TC"')
    definition.write_text(other)
    assert Inputs(definition, tmp_path / "runs").again().state("tadtr").digest != before

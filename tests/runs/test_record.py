"""The run folder: complete or absent, readable, and never trusted when damaged."""

import dataclasses
import gzip
import json
import shutil

import pandas as pd
import pytest

from tal_repro.errors import InputError
from tal_repro.files import write_whole
from tal_repro.run import beginning
from tal_repro.runs.record import RunRecord, open_checked
from tal_repro.runs.store import RunStore


def finished(store, spec):
    writer = store.writer(spec)
    writer.write_measurements([{"quantity": "macs", "feature_length": 9, "sample": 0, "value": 1.5, "unit": "GMAC"}])
    return writer.finish(started=0.0, ended=1.0)


def test_golden_run_is_whole(golden_run, spec):
    assert golden_run.spec == RunRecord(golden_run.folder).spec
    assert golden_run.spec.run_id == spec.run_id
    assert golden_run.damaged() == []
    assert golden_run.metrics["optimizer_steps"] == 10
    assert {row["selection"] for row in golden_run.metrics["rows"]} == {"last", "best-on-test"}
    assert list(golden_run.detections.columns) == ["video_id", "start_s", "end_s", "label", "score"]


def test_a_run_is_done_only_when_finished(tmp_path, spec):
    store = RunStore(tmp_path)
    assert store.state(spec) == "todo"
    writer = store.writer(spec)
    assert store.state(spec) == "partial"
    assert list(store.records()) == []
    writer.finish()
    assert store.state(spec) == "done"
    assert [record.spec.run_id for record in store.records()] == [spec.run_id]


def test_a_failed_run_is_not_done_and_goes_when_a_rerun_finishes(tmp_path, spec):
    store = RunStore(tmp_path)
    store.writer(spec).fail("NaN loss")
    assert store.state(spec) == "failed"
    assert list(store.records()) == []
    finished(store, spec)
    assert store.state(spec) == "done"
    assert not store.failed(spec).exists()


def test_the_checkpoint_survives_reopening_and_goes_at_the_end(tmp_path, spec):
    store = RunStore(tmp_path)
    store.writer(spec).paths.checkpoint.write_bytes(b"epoch 3")
    writer = store.writer(spec)
    assert writer.paths.checkpoint.read_bytes() == b"epoch 3"
    assert not writer.finish().paths.checkpoint.exists()


@pytest.mark.parametrize("damage", ["edit", "delete"])
def test_damage_is_found_and_named(tmp_path, spec, damage):
    record = finished(RunStore(tmp_path), spec)
    if damage == "edit":
        record.paths.measurements.write_text("quantity\n")
    else:
        record.paths.measurements.unlink()
    assert record.damaged() == ["measurements.csv"]


def test_a_moved_folder_is_not_believed(golden_run, tmp_path):
    elsewhere = tmp_path / f"{'0' * 16}-{'d' * 8}"
    shutil.copytree(golden_run.folder, elsewhere)
    with pytest.raises(InputError, match="specification of run"):
        _ = RunRecord(elsewhere).spec


@pytest.mark.parametrize("number", [99, 2.0, True, "2"])
def test_a_newer_format_is_refused_by_name(golden_run, tmp_path, number):
    folder = tmp_path / golden_run.folder.name
    shutil.copytree(golden_run.folder, folder)
    status = json.loads((folder / "status.json").read_text())
    (folder / "status.json").write_text(json.dumps({**status, "format": number}))
    with pytest.raises(InputError, match=f"format '{number}', this kit reads 2"):
        _ = RunRecord(folder).status


def test_a_run_that_names_data_says_which(tmp_path, spec):
    spec = dataclasses.replace(spec, data_digest="ab" * 32)
    record = finished(RunStore(tmp_path), spec)
    with pytest.raises(InputError, match="nothing says what data the run was made from"):
        open_checked(record.folder)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"\xff\xfe", b"null"])
def test_broken_json_names_the_file(golden_run, tmp_path, content):
    folder = tmp_path / golden_run.folder.name
    shutil.copytree(golden_run.folder, folder)
    (folder / "metrics.json").write_bytes(content)
    with pytest.raises(InputError, match=r"metrics\.json"):
        _ = RunRecord(folder).metrics


def test_detections_have_the_same_bytes_for_the_same_table(tmp_path, spec):
    table = pd.DataFrame([("v", 0.1, 0.2, "Diving", 0.5)], columns=["video_id", "start_s", "end_s", "label", "score"])
    contents = []
    for name in ("a", "b"):
        writer = RunStore(tmp_path / name).writer(spec)
        writer.write_detections(table)
        contents.append(writer.paths.detections.read_bytes())
    assert contents[0] == contents[1]
    assert gzip.decompress(contents[0]).startswith(b"video_id,")


def test_unknown_metric_columns_are_refused(tmp_path, spec):
    with pytest.raises(InputError, match="colour"):
        RunStore(tmp_path).writer(spec).write_metrics(
            [{"colour": 1}], optimizer_steps=1, seconds={}, table2_seconds=0, table2_definition=""
        )


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    target = tmp_path / "x.json"
    write_whole(target, b"old")

    def no_space(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", no_space)
    with pytest.raises(OSError, match="No space"):
        write_whole(target, b"new")
    assert target.read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_weird_paths_work(weird_path, spec):
    assert finished(RunStore(weird_path), spec).damaged() == []


def test_a_file_that_cannot_be_looked_at_is_not_taken_for_missing(golden_run, tmp_path):
    """A link to itself (ELOOP): `Path.is_file` calls that missing, and metrics would be empty."""
    folder = tmp_path / golden_run.folder.name
    shutil.copytree(golden_run.folder, folder)
    (folder / "metrics.json").unlink()
    assert RunRecord(folder).metrics == {}
    (folder / "metrics.json").symlink_to("metrics.json")
    with pytest.raises(OSError, match="symbolic links"):
        _ = RunRecord(folder).metrics
    with pytest.raises(InputError, match=r"metrics\.json"):
        _ = RunRecord(folder, checked=True).metrics


def test_a_subset_that_cannot_be_looked_at_never_trains_on_everything(tmp_path, spec):
    writer = RunStore(tmp_path).writer(spec)
    writer.paths.subset.symlink_to(writer.paths.subset.name)
    with pytest.raises(OSError, match="symbolic links"):
        beginning.hooked(writer)

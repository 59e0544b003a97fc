"""The feature store: the same rows from files and from a pack, slices alone, atomic writing, damage named."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from tal_repro.cli import main
from tal_repro.data import FeatureStore, load_dataset, open_features
from tal_repro.data.pack import pack_features
from tal_repro.data.store import available_memory_bytes, pack_path
from tal_repro.data.verify import verify
from tal_repro.errors import InputError
from tal_repro.files import write_bytes, write_whole

from .conftest import NPY


@pytest.mark.parametrize("layout", ["actionformer", "tadtr"])
@pytest.mark.parametrize("resident", [False, True, "auto"])
def test_a_pack_holds_the_rows_of_the_files(copy, layout, resident):
    files = open_features(copy, layout, packed=False)
    packed = FeatureStore.open(pack_features(copy, layout), resident)
    assert packed.video_ids == files.video_ids and len(packed.video_ids) == 65
    assert (packed.dim, packed.stride_frames) == (files.dim, files.stride_frames)
    for video_id in files.video_ids:
        rows = files.read(video_id)
        assert rows.dtype == np.float32 and rows.shape == (files.length(video_id), 16)
        assert np.array_equal(packed.read(video_id), rows)
        assert np.array_equal(packed.read(video_id, 5, 20), rows[5:20])
        assert packed.read(video_id, len(rows) - 3, len(rows) + 100).shape == (3, 16)


def test_lengths_agree_with_the_annotations(small):
    for layout in ("actionformer", "tadtr"):
        store, dataset = open_features(small, layout), load_dataset(small, layout)
        assert all(store.length(video.id) == video.feature_length for video in dataset.videos.values())


def test_read_rows_are_the_callers_own(copy):
    store = open_features(copy)
    first = store.read(store.video_ids[0])
    first[:] = -1
    assert (store.read(store.video_ids[0]) >= 0).all()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_value_that_is_no_number_is_refused_by_its_step_and_large_ones_are_not(copy, value):
    store = open_features(copy)
    path = store.file_of(store.video_ids[0])
    rows = np.full((9, 16), 3e38, np.float32)  # their sum is beyond float32
    np.save(path, rows)
    assert np.array_equal(open_features(copy).read(store.video_ids[0]), rows)
    rows[4, 2] = value
    np.save(path, rows)
    store = open_features(copy)
    assert len(store.read(store.video_ids[0], 0, 4)) == 4
    with pytest.raises(InputError, match="not finite, first at step 4"):
        store.read(store.video_ids[0], 2)


def test_float16_is_close_and_read_as_float32(copy):
    files = open_features(copy, packed=False)
    store = FeatureStore.open(pack_features(copy, dtype="float16"))
    rows = store.read(store.video_ids[3])
    assert rows.dtype == np.float32
    assert np.allclose(rows, files.read(store.video_ids[3]), rtol=1e-3, atol=1e-6)


def test_a_pack_is_used_while_it_matches_the_files(copy):
    index = pack_features(copy)
    assert open_features(copy).source == index
    (copy / NPY / "video_test_0000003.npy").unlink()
    assert open_features(copy).source == copy / NPY


def test_a_pack_is_not_used_once_a_file_is_replaced_by_one_of_equal_size(copy):
    """Other features of the same video have the same size: the pack's rows would silently be the old ones."""
    pack_features(copy)
    path = copy / NPY / "video_test_0000003.npy"
    np.save(path, np.load(path) + 1)
    os.utime(path, (path.stat().st_atime, path.stat().st_mtime + 60))
    store = open_features(copy)
    assert store.source == copy / NPY
    assert np.array_equal(store.read("video_test_0000003"), np.load(path))


def test_a_copied_data_folder_keeps_its_pack(copy, tmp_path):
    index = pack_features(copy)
    moved = Path(shutil.copytree(copy, tmp_path / "moved"))
    assert open_features(moved).source == moved / index.relative_to(copy)


def test_a_pack_is_neither_written_nor_read_through_a_link_out_of_the_folder(copy, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    pack_features(copy)
    (copy / "packed").rename(elsewhere)
    (copy / "packed").symlink_to(elsewhere)
    for use in (open_features, pack_features):
        with pytest.raises(InputError, match="a link that leads out of the data folder"):
            use(copy)


@pytest.mark.parametrize("of", ["the index", "the rows"])
def test_a_loop_of_links_in_the_place_of_a_pack_is_named_and_packing_again_replaces_it(copy, of):
    index = pack_features(copy)
    path = index if of == "the index" else next(index.parent.glob("*.bin"))
    path.unlink()
    path.symlink_to(path.name)
    with pytest.raises(InputError, match="symbolic links") as refused:
        open_features(copy)
    assert refused.value.where == str(path) and "remove this link" in refused.value.remedy
    assert [p.where for r in verify(copy, "actionformer") for p in r.problems if p.severity == "error"] == [index.name]
    pack_features(copy)
    assert open_features(copy).packed


def test_what_a_killed_packing_left_is_removed_by_the_next(copy):
    def die(done, total):
        os.kill(os.getpid(), signal.SIGKILL)

    child = os.fork()
    if child == 0:
        pack_features(copy, progress=die)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    (leftover,) = (copy / "packed").iterdir()
    assert leftover.name.startswith(".actionformer-float32.")
    index = pack_features(copy)
    assert {path.name for path in index.parent.iterdir()} == {json.loads(index.read_text())["rows_file"], index.name}


def test_a_packing_at_work_is_left_alone_by_another(copy):
    seen = []

    def pack_another(done, total):
        if done == 1 and not seen:
            seen.append(None)
            pack_features(copy)

    index = pack_features(copy, progress=pack_another)
    assert seen and FeatureStore.open(index).length("video_test_0000003") > 0
    assert len(list(index.parent.iterdir())) == 2


def test_packing_again_leaves_one_file_of_rows(copy):
    index = pack_features(copy)
    path = copy / NPY / "video_test_0000003.npy"
    np.save(path, np.load(path) + 1)
    assert pack_features(copy) == index
    assert {path.name for path in index.parent.iterdir()} == {json.loads(index.read_text())["rows_file"], index.name}
    assert np.array_equal(FeatureStore.open(index).read("video_test_0000003"), np.load(path))


def test_an_unknown_video_and_a_wrong_slice_are_refused(small):
    store = open_features(small)
    with pytest.raises(InputError, match="no features of video nobody"):
        store.read("nobody")
    with pytest.raises(ValueError, match="steps"):
        store.read(store.video_ids[0], 5, 2)


def test_one_bad_file_does_not_keep_others_from_being_read(copy):
    (copy / NPY / "video_test_0000003.npy").write_bytes(b"broken")
    store = open_features(copy)
    assert len(store.read("video_test_0000002"))
    with pytest.raises(InputError, match=r"video_test_0000003\.npy"):
        store.read("video_test_0000003")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.full((9, 16), np.nan, np.float32), "not finite"),
        (np.zeros((9, 15), np.float32), "15 channels"),
        (np.zeros((9, 16)), "float64"),
    ],
)
def test_packing_a_bad_file_names_it_and_keeps_the_pack_before(copy, rows, message):
    index = pack_features(copy)
    before = {path.name: path.read_bytes() for path in index.parent.iterdir()}
    np.save(copy / NPY / "video_test_0000003.npy", rows)
    with pytest.raises(InputError, match=message) as caught:
        pack_features(copy)
    assert "video_test_0000003.npy" in str(caught.value.where)
    assert {path.name: path.read_bytes() for path in index.parent.iterdir()} == before


def test_a_value_too_large_for_float16_is_refused(copy):
    np.save(copy / NPY / "video_test_0000003.npy", np.full((9, 16), 1e6, np.float32))
    with pytest.raises(InputError, match="not finite as float16"):
        pack_features(copy, dtype="float16")


def test_a_disk_that_fills_up_while_packing_leaves_nothing(copy, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InputError, match="No space left on device"):
        pack_features(copy)
    assert list((copy / "packed").iterdir()) == []


def test_a_pack_that_cannot_fit_is_refused_before_writing(copy, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000})())
    with pytest.raises(InputError, match=r"needs 6[4-9]\.\d MiB, 0\.0 MiB are free"):
        pack_features(copy)
    assert not (copy / "packed").exists()


def test_memory_that_caches_files_counts_as_available(monkeypatch):
    """A pass over the features leaves little memory free, but all that caches them can be had."""
    monkeypatch.setattr("tal_repro.data.store.available_mib", lambda: 8 * 1024.0)
    assert available_memory_bytes() == 8 * 2**30
    monkeypatch.setattr("tal_repro.data.store.available_mib", lambda: -5.0)  # a container beyond its limit
    assert available_memory_bytes() == 0
    monkeypatch.setattr("tal_repro.data.store.available_mib", lambda: None)  # not Linux
    assert available_memory_bytes() > 0


def damage(index, key, value):
    raw = json.loads(index.read_text())
    raw[key] = value
    index.write_text(json.dumps(raw))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("schema", "tal-repro/feature-store/0"),
        ("dtype", "object"),
        ("dim", 15),
        ("dim", "wide"),
        ("dim", 1e400),
        ("videos", {}),
        ("videos", {"a": {"offset": 0}}),
        ("videos", {"a": {"offset": 1, "length": 10}}),
        ("videos", []),
        ("rows_file", "../../secret"),
        ("rows_file", None),
        ("rows_file", "absent.bin"),
    ],
)
def test_a_damaged_index_is_refused(copy, key, value):
    index = pack_features(copy)
    damage(index, key, value)
    with pytest.raises(InputError):
        FeatureStore.open(index)


def test_half_a_pack_is_refused(copy):
    index = pack_features(copy)
    (rows,) = index.parent.glob("*.bin")
    os.truncate(rows, rows.stat().st_size - 1)
    with pytest.raises(InputError, match="the index needs"):
        FeatureStore.open(index)


def test_no_pack_and_no_features_are_named(copy):
    with pytest.raises(InputError, match="no packed feature store"):
        FeatureStore.open(pack_path(copy, "actionformer", "float32"))
    for path in (copy / NPY).iterdir():
        path.unlink()
    with pytest.raises(InputError, match="no feature files"):
        open_features(copy)


def test_a_pipe_is_written_to_and_not_replaced(tmp_path):
    """By the same way /dev/null stays a device."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        for write in (lambda: write_bytes(pipe, b"{}"), lambda: write_whole(pipe, b"{}")):
            read = pool.submit(pipe.read_bytes)
            write()
            assert read.result(10) == b"{}"
    assert pipe.is_fifo() and list(tmp_path.iterdir()) == [pipe]


def test_a_pack_without_some_videos_says_so(copy):
    (copy / NPY / "video_test_0000003.npy").unlink()
    answer = CliRunner().invoke(main, ["data", "pack", str(copy), "--layout", "actionformer"])
    assert answer.exit_code == 0
    assert "1 annotated videos have no feature file, the first: video_test_0000003" in answer.stderr

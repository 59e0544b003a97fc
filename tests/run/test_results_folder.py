"""Look at a results folder, clean it, carry its runs elsewhere: nothing is trusted, nothing in use goes."""

from __future__ import annotations

import errno
import gzip
import io
import json
import multiprocessing
import os
import shutil
import signal
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner

from tal_repro.cli import main
from tal_repro.commands.status import read_status
from tal_repro.errors import InputError
from tal_repro.run import archive, gc, locks
from tal_repro.run.progress import Progress, format_duration
from tal_repro.run.view import find_run
from tal_repro.run.watch import LifeSigns
from tal_repro.runs.store import RunStore
from tal_repro.study import Study
from tests.run.conftest import results_of
from tests.run.test_plan import schema


@pytest.fixture
def filled(mini: Study, store: RunStore) -> RunStore:
    """Three finished runs, one failed, one abandoned half way, one to do."""
    specs = mini.runs()
    for spec in specs[:3]:
        writer = store.writer(spec)
        writer.write_metrics([], optimizer_steps=1, seconds={}, table2_seconds=1.0, table2_definition="made up")
        writer.paths.log.write_text("epoch 1\n", encoding="utf-8")
        writer.finish(study="mini", seconds=1.0)
    store.writer(specs[3]).fail("out of memory (device): 20 GiB")
    writer = store.writer(specs[4])
    writer.write_json("status", {"format": 1, "state": "running", "host": "elsewhere", "pid": 1})
    writer.paths.checkpoint.write_bytes(b"half way")
    return store


def hold(path: Path, ready: Any) -> None:
    locks.acquire(path)
    ready.set()
    time.sleep(60)


@pytest.fixture
def holder() -> Any:
    """Hold a lock in another process."""
    processes = []

    def call(path: Path) -> Any:
        context = multiprocessing.get_context("fork")
        ready = context.Event()
        process = context.Process(target=hold, args=(path, ready))
        process.start()
        assert ready.wait(10)
        processes.append(process)
        return process

    yield call
    for process in processes:
        process.kill()
        process.join()


def test_a_lock_excludes_names_its_owner_and_vanishes_with_it(tmp_path: Path, holder: Any) -> None:
    path = locks.lock_path(tmp_path, "a" * 16)
    assert locks.owner(path) is None
    process = holder(path)
    owner = locks.owner(path)
    assert owner is not None and owner["pid"] == process.pid
    assert locks.acquire(path) is None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert locks.owner(path) is None
    lock = locks.acquire(path)
    assert lock is not None
    lock.release()
    assert not path.exists()


def test_status_tells_counts_runs_under_way_and_failures(filled: RunStore, mini: Study, holder: Any) -> None:
    specs = mini.runs()
    found = read_status(mini, filled, specs)
    jsonschema.validate(found, schema("status"))
    assert found["counts"] == {"done": 3, "running": 0, "partial": 1, "todo": 1, "failed": 1}
    assert found["failed"][0]["reason"].startswith("out of memory")
    holder(locks.lock_path(filled.root, specs[4].run_id))
    assert read_status(mini, filled, specs)["counts"]["running"] == 1
    assert read_status(mini, filled, specs)["running"][0]["host"] == "elsewhere"


def test_a_heartbeat_from_another_machine_counts_without_its_lock(filled: RunStore, mini: Study) -> None:
    writer = filled.writer(mini.runs()[4])
    writer.beat()
    assert read_status(mini, filled, mini.runs())["counts"]["running"] == 1
    os.utime(writer.paths.heartbeat, (1, 1))
    assert read_status(mini, filled, mini.runs())["counts"]["running"] == 0


def test_show_tells_everything_and_how_to_repeat(filled: RunStore, mini: Study) -> None:
    spec = mini.runs()[0]
    folder = filled.folder(spec)
    answer = CliRunner().invoke(main, ["show", spec.run_id[:9], "--results", str(filled.root)])
    assert answer.exit_code == 0
    assert f"run {spec.run_id}: done" in answer.output
    assert f"--only id={spec.run_id}" in answer.output
    (folder / "metrics.json").write_text("{}")
    assert (
        "DAMAGED: metrics.json" in CliRunner().invoke(main, ["show", spec.run_id, "--results", str(filled.root)]).output
    )
    assert (
        "reason: out of memory"
        in CliRunner().invoke(main, ["show", mini.runs()[3].run_id, "--results", str(filled.root)]).output
    )


def test_show_refuses_what_is_no_or_no_single_run(filled: RunStore) -> None:
    with pytest.raises(InputError, match="not a run id"):
        find_run(filled, "../etc")
    with pytest.raises(InputError, match="no run"):
        find_run(filled, "0123456789abcdef")
    model = next(filled.records()).folder.parent
    for name in ("abcabcabcabcabc1", "abcabcabcabcabc2.failed"):
        (model / name).mkdir()
    with pytest.raises(InputError, match="2 runs begin with abcabc"):
        find_run(filled, "abcabc")
    assert find_run(filled, "abcabcabcabcabc2").name == "abcabcabcabcabc2.failed"


def test_gc_lists_and_deletes_only_what_nobody_is_at(filled: RunStore, mini: Study, holder: Any) -> None:
    kinds = [item.kind for item in gc.find_rubbish(filled)]
    assert sorted(kinds) == ["failed", "partial"]
    before = gc.find_rubbish(filled)
    holder(locks.lock_path(filled.root, mini.runs()[4].run_id))
    assert [item.kind for item in gc.find_rubbish(filled)] == ["failed"]
    assert gc.delete(filled, before) > 0
    assert filled.partial(mini.runs()[4]).is_dir(), "somebody took it up between the look and the deletion"
    assert not filled.failed(mini.runs()[3]).exists()
    assert len(list(filled.records())) == 3


def test_gc_knows_runs_of_no_study_and_stale_locks(filled: RunStore, mini: Study) -> None:
    path = locks.lock_path(filled.root, "b" * 16)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("{}")
    wanted = {spec.run_id for spec in mini.runs()[:1]}
    kinds = sorted(item.kind for item in gc.find_rubbish(filled, wanted))
    assert kinds == ["failed", "lock", "orphan", "orphan", "partial"]


def test_runs_travel_as_one_archive(filled: RunStore, weird_path: Path) -> None:
    path = weird_path / "runs.tar.gz"
    assert len(archive.export_runs(filled, path)) == 3
    again = weird_path / "again.tar.gz"
    archive.export_runs(filled, again)
    assert path.read_bytes() == again.read_bytes(), "the same runs give the same bytes"
    other = RunStore(weird_path / "other")
    imported = archive.import_runs(other, path)
    assert (len(imported.added), len(imported.present)) == (3, 0)
    assert results_of(other) == results_of(filled)
    assert all(record.damaged() == [] for record in other.records())
    imported = archive.import_runs(other, path)
    assert (len(imported.added), len(imported.present)) == (0, 3)
    assert not list(other.root.glob(".import-*"))


def test_a_damaged_run_is_not_exported(filled: RunStore, tmp_path: Path) -> None:
    next(filled.records()).paths.metrics.write_text("{}")
    with pytest.raises(InputError, match=r"metrics.json is not as it was written"):
        archive.export_runs(filled, tmp_path / "x.tar.gz")
    assert not (tmp_path / "x.tar.gz").exists()


def rewrite(path: Path, change: Callable[[str, bytes], tuple[tarfile.TarInfo, bytes] | None]) -> Path:
    """Copy an archive, member by member, through `change`."""
    out = path.with_name("changed.tar.gz")
    with tarfile.open(path) as source, tarfile.open(out, "w:gz") as target:
        for member in source:
            content = source.extractfile(member).read()  # type: ignore[union-attr]
            changed = change(member.name, content)
            if changed is not None:
                info, content = changed
                info.size = len(content) if info.isreg() else 0
                target.addfile(info, io.BytesIO(content))
    return out


def renamed(name: str) -> Callable[[str, bytes], tuple[tarfile.TarInfo, bytes]]:
    return lambda old, content: (tarfile.TarInfo(name if old.endswith("metrics.json") else old), content)


def linked(old: str, content: bytes) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(old)
    if old.endswith("metrics.json"):
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return info, content


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (renamed("../../evil"), "not a file of a run"),
        (renamed("/etc/evil"), "not a file of a run"),
        (renamed("data_sweep/tadtr/0123456789abcdef/../../x"), "not a file of a run"),
        (renamed("data_sweep/tadtr/0123456789abcdef/metrics.json"), "holds metrics.json twice"),
        (linked, "not a plain file"),
        (
            lambda n, c: (tarfile.TarInfo(n), c + b" " if n.endswith("metrics.json") else c),
            "metrics.json: is not as it was written",
        ),
        (lambda n, c: None if n.endswith("metrics.json") else (tarfile.TarInfo(n), c), "metrics.json: missing"),
        (lambda n, c: None if n == "manifest.json" else (tarfile.TarInfo(n), c), "not manifest.json"),
        (
            lambda n, c: (tarfile.TarInfo(n), c.replace(b'"seed": 0', b'"seed": 9') if n.endswith("spec.json") else c),
            "spec.json: is not as it was written",
        ),
        (
            lambda n, c: (tarfile.TarInfo(n), c + b" " if n.endswith("log.txt") else c),  # which no reader looks at
            "log.txt does not match its digest",
        ),
    ],
)
def test_a_bad_archive_adds_nothing(filled: RunStore, tmp_path: Path, change: Any, message: str) -> None:
    path = tmp_path / "runs.tar.gz"
    archive.export_runs(filled, path)
    other = RunStore(tmp_path / "other")
    with pytest.raises(InputError, match=message):
        archive.import_runs(other, rewrite(path, change))
    assert not list(other.records())
    assert not other.root.exists()
    assert not (tmp_path / "evil").exists()


@pytest.mark.parametrize(
    "content",
    [b"", b"not gzip", gzip.compress(b"not tar" * 200), gzip.compress(b"")[:7]],
    ids=["empty", "not-gzip", "not-tar", "cut"],
)
def test_what_is_no_archive_is_told(filled: RunStore, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.tar.gz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"not a whole archive|empty archive|not an archive"):
        archive.import_runs(RunStore(tmp_path / "other"), path)


def test_every_cut_of_an_archive_is_refused(filled: RunStore, tmp_path: Path) -> None:
    path = tmp_path / "runs.tar.gz"
    archive.export_runs(filled, path)
    whole = path.read_bytes()
    lengths = [*range(1, len(whole) - 8, max(1, len(whole) // 25)), *range(len(whole) - 8, len(whole))]  # gzip's end
    for length in lengths:
        path.write_bytes(whole[:length])
        other = RunStore(tmp_path / f"other-{length}")
        with pytest.raises(InputError):
            archive.import_runs(other, path)
        assert not list(other.records())


def test_an_import_never_replaces_other_results(filled: RunStore, mini: Study, tmp_path: Path) -> None:
    path = tmp_path / "runs.tar.gz"
    archive.export_runs(filled, path)
    other = RunStore(tmp_path / "other")
    writer = other.writer(mini.runs()[0])
    writer.write_json("details", {"mine": True})
    writer.finish(study="mini")
    with pytest.raises(InputError, match="here already with other results"):
        archive.import_runs(other, path)
    assert len(list(other.records())) == 1


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_piped_progress_is_plain_lines_with_the_time() -> None:
    stream = io.StringIO()
    progress = Progress(2, 10.0, 1, stream)
    progress.draw(["cpu: baseline tadtr"])
    progress.ended("done abc (1.0 s)", 5.0)
    text = stream.getvalue()
    assert "\x1b" not in text and "\r" not in text
    assert text[:4].isdigit() and "1/2 done abc" in text and "ETA" in text


def test_a_terminal_gets_a_bar_with_rate_eta_and_what_runs_where() -> None:
    stream = Terminal()
    progress = Progress(2, 10.0, 1, stream)
    progress.ended("done abc (1.0 s)", 5.0)
    progress.draw(["cpu: baseline tadtr (3.0 s)"])
    last = stream.getvalue().rsplit("\r", 1)[1]
    assert "[##########..........] 1/2" in last and "/min" in last and "ETA" in last and "cpu: baseline" in last


def test_the_bar_moves_while_a_run_is_under_way() -> None:
    stream = Terminal()
    progress = Progress(2, 10.0, 1, stream)
    progress.draw(["cpu: baseline tadtr"], running_seconds=2.5)
    assert "[#####...............] 0/2" in stream.getvalue()
    before = progress.eta()
    progress._drawn = -1.0
    progress.draw(["cpu: baseline tadtr"], running_seconds=5.0)
    assert "[##########..........] 0/2" in stream.getvalue() and (before, progress.eta()) == ("ETA 7.5 s", "ETA 5.0 s")
    progress.ended("done abc (5.0 s)", 5.0)
    assert progress.running_seconds == 0.0


def test_piped_progress_says_every_minute_what_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    stream, now = io.StringIO(), [100.0]
    monkeypatch.setattr("tal_repro.run.progress.time.monotonic", lambda: now[0])
    progress = Progress(2, 600.0, 1, stream)
    for now[0] in (130.0, 159.0, 161.0, 170.0, 222.0):
        progress.draw(["cpu: baseline tadtr"], running_seconds=now[0] - 100.0)
    lines = stream.getvalue().splitlines()
    assert [line.partition(" ")[2] for line in lines] == [
        "0/2 so far; ETA 8:59 min; cpu: baseline tadtr", "0/2 so far; ETA 7:58 min; cpu: baseline tadtr"
    ]  # fmt: skip


@pytest.mark.parametrize(("seconds", "text"), [(3.14, "3.1 s"), (245, "4:05 min"), (11220, "3:07 h")])
def test_durations_read_well(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_signs_of_life_are_measured_by_our_own_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    life = LifeSigns(tmp_path)
    now[0] += 50
    assert life.silent_seconds() == pytest.approx(50)
    (tmp_path / "heartbeat").write_text("1")
    os.utime(tmp_path / "heartbeat", (5, 5))  # a clock that jumped back to 1970
    now[0] += 10
    assert life.silent_seconds() == 0


def test_json_of_show_meets_the_schema(filled: RunStore, mini: Study) -> None:
    for spec in mini.runs()[:5]:  # done, failed and partial ones
        answer = CliRunner().invoke(main, ["show", spec.run_id, "--results", str(filled.root), "--json"])
        found = json.loads(answer.stdout)
        jsonschema.validate(found, schema("show"))
        assert found["spec"]["model"] == "tadtr" and found["damaged"] == []


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("status.json", '{"format": 1, "state": "done", "digests": ["x"]}', "status.json: says nothing of a finished"),
        ("status.json", '{"format": 9}', "run folder format '9'"),
        ("status.json", "garbage", "status.json: not JSON"),
        ("metrics.json", '{"rows": [{"x": 1}]}', "metrics.json: not the metrics of a run (KeyError('tiou'))"),
        ("metrics.json", '{"rows": 3}', "metrics.json: rows and flags are not lists"),
        ("spec.json", "[]", "spec.json: not a JSON object"),
        ("system.json", "{", "system.json: not JSON"),
    ],
)
def test_show_says_what_is_wrong_and_shows_the_rest(
    filled: RunStore, mini: Study, name: str, text: str, told: str
) -> None:
    spec = mini.runs()[0]
    (filled.folder(spec) / name).write_text(text)
    answer = CliRunner().invoke(main, ["show", spec.run_id, "--results", str(filled.root)])
    assert answer.exit_code == 0 and f"run {spec.run_id}: done" in answer.output and "files: " in answer.output
    assert "DAMAGED: " in answer.output and told in answer.output
    answer = CliRunner().invoke(main, ["show", spec.run_id, "--results", str(filled.root), "--json"])
    jsonschema.validate(json.loads(answer.stdout), schema("show"))


def refuse_writing(*arguments: Any, **named: Any) -> None:
    raise OSError(errno.EROFS, "Read-only file system")


def test_clean_up_on_a_read_only_disk_is_refused(filled: RunStore, monkeypatch: pytest.MonkeyPatch) -> None:
    found = gc.find_rubbish(filled)
    monkeypatch.setattr(gc.shutil, "rmtree", refuse_writing)
    with pytest.raises(InputError, match=r"cannot be deleted \(Read-only"):
        gc.delete(filled, found)
    monkeypatch.setattr(locks.os, "open", refuse_writing)
    with pytest.raises(InputError, match=r"cannot be written \(Read-only"):
        gc.delete(filled, found)


def test_an_import_that_cannot_write_says_so_and_leaves_nothing(
    filled: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, other = tmp_path / "runs.tar.gz", RunStore(tmp_path / "new" / "other")
    archive.export_runs(filled, path)
    with monkeypatch.context() as patch, pytest.raises(InputError, match=r"other: cannot be written \(Read-only"):
        patch.setattr(archive.tempfile, "mkdtemp", refuse_writing)
        archive.import_runs(other, path)

    def fill(*arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(InputError, match=r"other: cannot be .*No space.* MiB free"):
        patch.setattr(archive.shutil, "copyfileobj", fill)
        archive.import_runs(other, path)
    with pytest.raises(InputError, match="no such file"):
        archive.import_runs(other, tmp_path / "none.tar.gz")
    with pytest.raises(InputError, match=r"cannot be read \(Is a directory"):
        archive.import_runs(other, tmp_path)
    assert not (tmp_path / "new").exists()


def break_metrics(folder: Path) -> None:
    (folder / "metrics.json").write_text("{}")


def drop_status(folder: Path) -> None:
    (folder / "status.json").unlink()


def replace_by_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_text("x")


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (break_metrics, "metrics.json is not as it was written"),
        (drop_status, "status.json: cannot be read (No such file or directory)"),
        (replace_by_file, "a file where a folder belongs"),
    ],
)
def test_an_import_replaces_a_damaged_run_and_says_so(
    filled: RunStore, tmp_path: Path, spoil: Callable[[Path], None], told: str
) -> None:
    path, folder = tmp_path / "runs.tar.gz", next(filled.records()).folder
    archive.export_runs(filled, path)
    spoil(folder)
    answer = CliRunner().invoke(main, ["results", "import", str(path), "--results", str(filled.root)])
    assert answer.exit_code == 0 and "1 run added to " in answer.stderr and ", 2 were here already" in answer.stderr
    assert f"damaged, set aside and replaced: {folder.name} ({told})" in answer.stderr
    assert all(record.damaged() == [] for record in filled.records())
    assert folder.with_name(f"{folder.name}.damaged") in [item.path for item in gc.find_rubbish(filled)]


def test_an_import_leaves_out_what_a_runner_is_at(filled: RunStore, tmp_path: Path, holder: Any) -> None:
    path, other = tmp_path / "runs.tar.gz", RunStore(tmp_path / "other")
    ids = archive.export_runs(filled, path)
    holder(locks.lock_path(other.root, ids[0]))
    answer = CliRunner().invoke(main, ["results", "import", str(path), "--results", str(other.root)])
    assert answer.exit_code == 1 and f"left out, a runner is at them: {ids[0]}" in answer.stderr
    assert sorted(record.folder.name for record in other.records()) == sorted(ids[1:])


def test_clean_up_leaves_an_import_under_way(filled: RunStore, holder: Any) -> None:
    live, dead = filled.root / ".import-live", filled.root / ".import-dead"
    for folder in (live, dead):
        folder.mkdir()
    before = [gc.Rubbish(live, "import", 0), gc.Rubbish(dead, "import", 0)]
    process = holder(live / archive.LOCK)
    assert [item.path for item in gc.find_rubbish(filled) if item.kind == "import"] == [dead]
    gc.delete(filled, before)
    assert live.is_dir() and not dead.exists()
    process.kill()
    process.join()
    assert [item.path for item in gc.find_rubbish(filled) if item.kind == "import"] == [live]


def test_an_import_holds_the_lock_of_its_staging(
    filled: RunStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, other, held = tmp_path / "runs.tar.gz", RunStore(tmp_path / "other"), []
    archive.export_runs(filled, path)
    extract = archive._extract

    def look(source: Path, staging: Path) -> list[str]:
        with multiprocessing.get_context("fork").Pool(1) as pool:  # a process does not see its own locks
            held.append(pool.apply(locks.owner, (staging / archive.LOCK,)))
        return extract(source, staging)

    monkeypatch.setattr(archive, "_extract", look)
    archive.import_runs(other, path)
    assert held[0]["pid"] == os.getpid()


def test_a_study_makes_its_data_below_its_results_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of somebody's beside the results may be called data, too."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mine").write_text("x")
    asked: list[Path | None] = []

    def only_ask(plan: Any, store: RunStore, *, data_dir: Path | None, **options: Any) -> Any:
        asked.append(data_dir)
        raise InputError("asked")

    monkeypatch.setattr("tal_repro.run.start.run_plan", only_ask)
    results = tmp_path / "runs"
    answer = CliRunner().invoke(main, ["run", "--study", "demo", "--results", str(results)])
    assert answer.exit_code == 2
    (folder,) = asked
    assert folder is not None and folder.parent == results and folder.name.startswith(".")
    folder.mkdir(parents=True)
    store = RunStore(results)
    assert not [*store.records(), *store.leftovers(), *gc.find_rubbish(store)], "its readers pass it by"

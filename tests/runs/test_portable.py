"""What travels names neither host nor user nor folders of the machine it was made on; its results stay."""

from __future__ import annotations

import dataclasses
import gzip
from pathlib import Path

import pytest

from tal_repro.paper.report.run_rows import run_rows
from tal_repro.run.archive import export_runs, import_runs
from tal_repro.runs.load import load_runs
from tal_repro.runs.portable import cleaner, portable_files
from tal_repro.runs.record import RunRecord
from tal_repro.runs.store import RunStore
from tal_repro.runs.writer import RunWriter
from tal_repro.spec import RunSpec

ROOT = Path(__file__).resolve().parents[2]
HOST, SECRETS = "node17.lab.example", ("node17", "4711", "/home", "ada", "secret")


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ('  File "/home/ada/my kit/run.py", line 3', '  File "run.py", line 3'),
        ("reads /scratch/ada/data/x.npy, writes /dev/shm/y", "reads x.npy, writes y"),
        ("see https://github.com/a/b/c.git and 3/4 of 5 steps/s, and/or/else", None),
        ("~/secret/place and file:///home/ada/x", "place and x"),
        (f"# attempt 1, {HOST}, node17: cpu on mynode17x", "# attempt 1, HOST, HOST: cpu on mynode17x"),
        ("ada@there /ada", "USER@there /USER"),
        ("<b>a</b></td> ratio 1 / 2", None),
        ("results/runs/data_sweep/tadtr", None),
    ],
)
def test_a_text_is_cleaned_and_what_is_no_path_stays(
    monkeypatch: pytest.MonkeyPatch, text: str, cleaned: str | None
) -> None:
    monkeypatch.setenv("USER", "ada")
    cleaner.cache_clear()
    assert cleaner(HOST)(text) == (text if cleaned is None else cleaned)
    cleaner.cache_clear()


@pytest.fixture
def store(tmp_path: Path, spec: RunSpec) -> RunStore:
    """A finished run and a failed one, full of names."""
    store, spec = RunStore(tmp_path / "runs"), dataclasses.replace(spec, data_digest="ab" * 32)
    writer = write_run(store, spec)
    writer.finish(host=HOST, pid=4711, study="/home/ada/secret/study.toml", settings=["a=/home/ada/x/y"], attempts=1)
    failed = write_run(store, dataclasses.replace(spec, seed=9))
    failed.fail("no file /home/ada/secret/z", host=HOST, study="/home/ada/secret/study.toml")
    return store


def write_run(store: RunStore, spec: RunSpec) -> RunWriter:
    writer = store.writer(spec)
    writer.write_metrics([], optimizer_steps=1, seconds={}, table2_seconds=1.0, table2_definition="made up")
    writer.write_json("data", {"digest": spec.data_digest})
    writer.write_json("system", {"machine": "A10", "host": HOST, "note": "/home/ada/secret/kept"})
    writer.write_json("details", {"not_attributed": "cannot open /home/ada/secret/q"})
    writer.paths.log.write_text(f"# attempt 1, {HOST}\nreading /home/ada/secret/data\n")
    return writer


def contents(archive: Path) -> str:
    return gzip.decompress(archive.read_bytes()).decode("utf-8", "replace")


def test_an_archive_names_nobody_and_is_whole(store: RunStore, tmp_path: Path) -> None:
    export_runs(store, tmp_path / "a.tar.gz")
    assert not [name for name in SECRETS if name in contents(tmp_path / "a.tar.gz")]
    elsewhere = RunStore(tmp_path / "elsewhere")
    import_runs(elsewhere, tmp_path / "a.tar.gz")
    here, there = next(store.records()), next(elsewhere.records())
    assert there.damaged() == [] and there.status["study"] == "study.toml"
    assert there.system == {"machine": "A10", "note": "kept"}
    assert there.paths.metrics.read_bytes() == here.paths.metrics.read_bytes()
    assert import_runs(store, tmp_path / "a.tar.gz").present == [here.folder.name]  # where it came from


def test_names_stay_where_they_are_asked_for(store: RunStore, tmp_path: Path) -> None:
    export_runs(store, tmp_path / "a.tar.gz", with_host=True)
    assert all(name in contents(tmp_path / "a.tar.gz") for name in SECRETS)


@pytest.mark.parametrize("with_host", [False, True])
def test_rows_of_the_page_name_nobody(store: RunStore, with_host: bool) -> None:
    rows = run_rows(load_runs(store.root), with_host)
    assert len(rows) == 2
    for row in rows:
        text = " ".join([row.study, row.why, row.repeat, row.clean(RunRecord(row.folder).paths.log.read_text())])
        assert [name for name in SECRETS if name in text] == (["node17", "/home", "ada", "secret"] if with_host else [])


def test_no_shipped_run_names_a_machine() -> None:
    folders = [path.parent for path in (ROOT / "results" / "reference").rglob("status.json")]
    assert folders
    for folder in folders:
        for name, content in portable_files(RunRecord(folder)).items():
            assert (folder / name).read_bytes() == content, f"{folder / name}: ship what `results export` writes"

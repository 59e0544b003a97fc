"""The published tables load whole, and every kind of broken row is named by file, line and column."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tal_repro.errors import InputError
from tal_repro.paper.verdicts import judge_all
from tal_repro.published.load import FOLDER, load_published, load_table
from tal_repro.published.schema import SCHEMAS
from tal_repro.published.table import spans
from tal_repro.runs.load import NO_RUNS

HEADER = "model,train_percent,map_mean,map_std,source\n"
GOOD = "tadtr,10,35.02,0.34,x\n"


def _load(path: Path, text: str | bytes) -> object:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return load_table(path, SCHEMAS["learning_curves"])


def test_every_file_has_a_schema_and_loads() -> None:
    published = load_published()
    assert {path.stem for path in FOLDER.glob("*.csv")} == set(SCHEMAS)
    assert {name: len(published[name]) for name in ("learning_curves", "sweep_runs", "sweep_subsets", "gmacs")} == {
        "learning_curves": 41, "sweep_runs": 60, "sweep_subsets": 4120, "gmacs": 45,
    }  # fmt: skip


def test_both_actionformer_series_are_there_and_differ() -> None:
    published = load_published()
    plotted = published["learning_curves"].where(model="actionformer", train_percent=60.0)
    runs = published["sweep_runs"].where(model="actionformer", train_percent=60.0)
    assert plotted["map_mean"][0] == 59.32
    assert runs["map_mean"].mean() == pytest.approx(57.768)


@pytest.mark.parametrize(
    ("row", "line", "said"),
    [
        ("tadtr,10,35.02,0.34,y\n,20,1,1,x\n", 3, "model: is empty"),
        ("tadtr,10,35.02,0.34,y\ntadtr,0,1,1,x\n", 3, "train_percent: 0 is outside"),
        ("tadtr,101,1,1,x\n", 2, "train_percent: 101 is outside"),
        ("tadtr,10,abc,1,x\n", 2, "map_mean: 'abc' is not a number"),
        ("tadtr,10,nan,1,x\n", 2, "map_mean: 'nan' is not finite"),
        ("tadtr,10,1e999,1,x\n", 2, "map_mean: '1e999' is not finite"),
        ("tadtr,10,1_0,1,x\n", 2, "map_mean: '1_0' is not a number"),
        ("tadtr,10,\u0661,1,x\n", 2, "is not a number"),
        ('tadtr,10,"35,02",1,x\n', 2, "decimal point, not a comma"),
        ("tadtr,10,35,02,1,x\n", 2, "6 cells, expected 5"),
        ("tadtr,10,1\n", 2, "3 cells, expected 5"),
        ("nobody,10,1,1,x\n", 2, "'nobody' is none of: tadtr"),
        ("tadtr,10,1,-1,x\n", 2, "map_std: -1 is outside"),
        (GOOD + GOOD, 3, "repeats line 2 (model tadtr, train_percent 10.0, source x)"),
    ],
)
def test_a_broken_row_is_named(tmp_path: Path, row: str, line: int, said: str) -> None:
    path = tmp_path / "learning_curves.csv"
    with pytest.raises(InputError) as caught:
        _load(path, HEADER + row)
    assert caught.value.where == f"{path}:{line}"
    assert said in str(caught.value)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("text", "said"),
    [("", "is empty"), ("\n", "is empty"), (HEADER, "holds no rows"), (b"\xff\xfe\x00", "not readable as CSV")],
)
def test_an_empty_or_binary_file_is_named(tmp_path: Path, text: str | bytes, said: str) -> None:
    path = tmp_path / "learning_curves.csv"
    with pytest.raises(InputError, match=f"learning_curves.*{said}") as caught:
        _load(path, text)
    assert caught.value.remedy


def test_bom_and_crlf_are_tolerated(tmp_path: Path) -> None:
    table = _load(tmp_path / "t.csv", b"\xef\xbb\xbf" + (HEADER + GOOD).replace("\n", "\r\n").encode())
    assert len(table) == 1  # type: ignore[arg-type]


def test_a_directory_or_missing_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "learning_curves.csv").mkdir()
    with pytest.raises(InputError, match="not a file"):
        load_table(tmp_path / "learning_curves.csv", SCHEMAS["learning_curves"])
    with pytest.raises(InputError, match="missing"):
        load_published(tmp_path / "learning_curves.csv")
    with pytest.raises(InputError, match="not a folder"):
        load_published(tmp_path / "nowhere")


def test_rows_remember_their_lines(weird_path: Path) -> None:
    shutil.copytree(FOLDER, weird_path / "published")
    table = load_published(weird_path / "published")["learning_curves"].where(model="tridet")
    assert spans(table) == "learning_curves.csv lines 32-36"


@pytest.mark.parametrize(
    ("file", "drop", "named"),
    [("learning_curves.csv", "tadtr,100,", "claim A2"), ("table2.csv", "tadtr,", "claim G2")],
)
def test_a_missing_row_is_named_by_claim_and_file(tmp_path: Path, file: str, drop: str, named: str) -> None:
    folder = tmp_path / "published"
    shutil.copytree(FOLDER, folder)
    lines = (folder / file).read_text().splitlines(keepends=True)
    (folder / file).write_text("".join(line for line in lines if not line.startswith(drop)))
    with pytest.raises(InputError, match=named) as raised:
        judge_all(load_published(folder), NO_RUNS, [named.split()[1]])
    assert file in str(raised.value)

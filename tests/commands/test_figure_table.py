"""`tal-repro figure` and `tal-repro table`: files, formats, captions, marks of synthetic data, bad input."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

sys.path.insert(0, str(Path(__file__).parent.parent / "paper"))
from made_up_runs import demo, measured, row, seal, trace, training

from tal_repro.cli import main
from tal_repro.paper.figures import drawer
from tal_repro.paper.figures.drawing import Material
from tal_repro.published.load import load_published
from tal_repro.runs.load import load_runs
from tal_repro.runs.store import RunStore
from tal_repro.spec import RunSpec


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo(tmp_path_factory.mktemp("figures") / "runs")


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Figures 1 to 4 from published numbers alone, drawn once."""
    out = tmp_path_factory.mktemp("drawn")
    nothing = tmp_path_factory.mktemp("no-runs")
    for number in range(1, 5):
        arguments = ["figure", str(number), "--out", str(out), "--results", str(nothing)]
        result = CliRunner().invoke(main, arguments, catch_exceptions=False)
        paths = [str(out / f"figure-{number}.{extension}") for extension in ("png", "pdf", "svg", "caption.md")]
        assert (result.exit_code, result.stdout.splitlines()) == (0, paths)
    return out


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, every_run_counts: None):  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: CliRunner().invoke(main, [str(a) for a in arguments], catch_exceptions=False)


def _png(path: Path) -> tuple[int, int, int]:
    """Return width, height and dots per inch of a PNG."""
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = (int.from_bytes(data[at : at + 4], "big") for at in (16, 20))
    at = data.index(b"pHYs") + 4
    return width, height, round(int.from_bytes(data[at : at + 4], "big") * 0.0254)


@pytest.mark.parametrize(("number", "inches"), [(1, 3.35), (2, 3.35), (3, 6.9), (4, 3.35)])
def test_published_figures_in_print_size(drawn: Path, number: int, inches: float) -> None:
    width, _, dpi = _png(drawn / f"figure-{number}.png")
    assert dpi == 300 and width == pytest.approx(300 * inches, abs=1)
    pdf = (drawn / f"figure-{number}.pdf").read_bytes()
    assert b"/FontFile2" in pdf and b"/Type3" not in pdf  # TrueType, embedded
    svg = (drawn / f"figure-{number}.svg").read_text(encoding="utf-8")
    assert "<text" not in svg and "http://www.w3.org/2000/svg" in svg
    caption = (drawn / f"figure-{number}.caption.md").read_text(encoding="utf-8")
    assert caption.startswith(f"**Figure {number}.**") and "Drawn by tal-repro" in caption


def test_the_caption_names_rows_and_exact_parameters(drawn: Path) -> None:
    caption = (drawn / "figure-3.caption.md").read_text(encoding="utf-8")
    assert "learning_curves.csv lines 2-42" in caption
    found = re.search(r'"a": (5\.\d{10,})', caption)
    assert found is not None and float(found[1]) == pytest.approx(5.67086, abs=1e-5)
    assert "oprescu2023" in caption
    assert "table2.csv line 3" in (drawn / "figure-2.caption.md").read_text(encoding="utf-8")


def test_the_same_numbers_give_the_same_bytes(call, drawn: Path, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    call("figure", 2, "--out", "again")
    for path in (tmp_path / "again").iterdir():
        assert path.read_bytes() == (drawn / path.name).read_bytes(), path.name


@pytest.mark.parametrize("number", [2, 4, 5, 6])
def test_figures_with_runs_name_them_and_mark_synthetic_data(call, tmp_path: Path, study: Path, number: int) -> None:  # type: ignore[no-untyped-def]
    assert call("figure", number, "--out", "out", "--results", study).exit_code == 0
    caption = (tmp_path / "out" / f"figure-{number}.caption.md").read_text(encoding="utf-8")
    experiment = {2: "data_sweep", 4: "inference", 5: "macs", 6: "trace"}[number]
    for folder in (study / experiment / "tadtr").iterdir():
        assert folder.name in caption
    assert ("SYNTHETIC" in caption) == (number in (2, 6))


def test_measured_curves_alone(call, tmp_path: Path, study: Path) -> None:  # type: ignore[no-untyped-def]
    assert call("figure", 2, "--out", "out", "--results", study, "--source", "measured").exit_code == 0
    caption = (tmp_path / "out" / "figure-2.caption.md").read_text(encoding="utf-8")
    assert "learning_curves.csv" not in caption and "SYNTHETIC" in caption


def test_the_mark_is_in_the_picture(study: Path) -> None:
    from tal_repro.paper.figures import drawer
    from tal_repro.paper.figures.drawing import Material
    from tal_repro.published.load import load_published
    from tal_repro.runs.load import load_runs

    for number, marked in ((2, [False, True]), (3, [False, False, True, True]), (6, [True])):
        drawing = drawer(number)(Material(load_published(), load_runs(study)))
        found = ["SYNTHETIC DATA" in {t.get_text() for t in axes.texts} for axes in drawing.figure.axes]
        assert found == marked, number


def test_figure_6_says_how_to_get_a_trace(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    result: Result = call("figure", 6, "--out", "out")
    assert result.exit_code == 2
    assert "not run" in result.stderr and "tal-repro run --only experiment=trace" in result.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("seconds", [10.0, 300.0])
def test_figure_6_for_a_short_and_a_long_trace(call, tmp_path: Path, seconds: float) -> None:  # type: ignore[no-untyped-def]
    trace(tmp_path / "runs", seconds, synthetic=False, gpu=True, step=0.5)
    assert call("figure", 6, "--out", "out", "--results", "runs").exit_code == 0
    caption = (tmp_path / "out" / "figure-6.caption.md").read_text(encoding="utf-8")
    assert f"first {min(seconds, 140):.0f} s of {seconds:.0f} s" in caption
    assert "gpu_percent" in caption and "SYNTHETIC" not in caption


def test_figure_6_says_what_is_in_it_alone(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    def caption(name: str, change: Callable[[str], str], events: bool) -> str:
        record = trace(tmp_path / name, synthetic=False)
        record.paths.trace.write_text(change(record.paths.trace.read_text()))
        if not events:
            record.paths.events.unlink()
        seal(record.folder)
        assert call("figure", 6, "--out", "out", "--results", name).exit_code == 0
        return (tmp_path / "out" / "figure-6.caption.md").read_text(encoding="utf-8")

    assert "Hatched: training; grey: evaluation. No GPU was sampled." in caption("phases", lambda text: text, True)
    assert "Hatched" not in caption("none", lambda text: text, False)
    sliced = caption("mig", lambda text: text.replace("memory_free_percent", "gpu_memory_mib"), True)
    assert "told no utilisation (a MIG slice has none of its own)" in sliced and "No GPU" not in sliced


@pytest.mark.parametrize(
    ("idle", "words"), [(1.5, "used to 1.5 %."), (60.0, "used to 60.0 %: the machine was not quiet")]
)
def test_figure_6_says_what_was_there_before(tmp_path: Path, idle: float, words: str) -> None:
    record = trace(tmp_path, synthetic=False)
    kept = {
        "baseline": {"columns": {"cpu_mean_percent": {"mean": idle}}},
        "sampler": {"own_cpu_percent_of_one_core": 0.0821, "missed": 2},
    }
    record.paths.details.write_text(json.dumps(kept))
    seal(record.folder)
    notes = drawer(6)(Material(load_published(), load_runs(tmp_path), "measured")).notes
    assert f"Before the training the CPU was {words}" in notes[-2]
    assert notes[-1] == "Sampling used 0.082 % of one core; 2 samples missed."


def _timed(root: Path, machine: str, threads: int = 1, ms: float = 1.0, **details: object) -> None:
    lengths = (100, 200, 400, 800)
    spec = RunSpec("inference", "tadtr", "native", "1", {}, feature_lengths=lengths, threads=threads)
    writer = RunStore(root).writer(spec)
    writer.write_json("system", {"machine": machine})
    writer.write_measurements([row("latency_ms", n, ms * n, i) for n in lengths for i in range(3)])
    writer.write_json("details", details)
    writer.finish()


def test_figure_4_pools_no_times_of_different_threads_and_says_who_was_not_alone(tmp_path: Path) -> None:
    name = "A Vendor(R) Processor(TM) of the Longest Name Ever Sold 8360Y @ 2.40GHz, 72 cores"
    _timed(tmp_path, name, threads=1, ms=2.0)
    _timed(tmp_path, name, threads=2, surroundings={"doubtful": ["others use 60 % of the CPU"]})
    drawing = drawer(4)(Material(load_published(), load_runs(tmp_path), "measured"))
    titles = [ax.get_title(loc="left") for ax in drawing.figure.axes]
    assert [title.partition("\n")[0] for title in titles] == [
        "(a) Measured here, native:", "(b) Measured here (not quiet), native:",
    ]  # fmt: skip
    assert [title.endswith(words) for title, words in zip(titles, ("1 thread", "2 threads"), strict=True)] == [True] * 2
    drawing.figure.draw_without_rendering()
    right = drawing.figure.bbox.width
    assert all(ax.get_tightbbox().x1 <= right for ax in drawing.figure.axes)  # no title runs out of the page
    (doubt,) = (note for note in drawing.notes if note.startswith("Doubtful"))
    assert "2 threads: the machine was not quiet (others use 60 % of the CPU)" in doubt
    slopes = [note.partition("ms + ")[2].partition(" ms")[0] for note in drawing.notes if note.startswith("Line")]
    assert [float(slope) for slope in slopes] == pytest.approx([2.0, 1.0])


def test_figure_4_draws_what_is_in_proportion_in_parallel(tmp_path: Path) -> None:
    lengths = (100, 1000, 30000)
    measured(tmp_path, "inference", "tadtr", [row("latency_ms", n, 0.1 * n) for n in lengths])
    measured(tmp_path, "macs", "tadtr", [row("gmacs", n, 0.005 * n) for n in lengths[1:]])
    drawing = drawer(4)(Material(load_published(), load_runs(tmp_path), "measured"))
    (low, high), (twin_low, twin_high) = (ax.get_ylim() for ax in drawing.figure.axes)
    assert high / low == pytest.approx(twin_high / twin_low)
    assert low <= 10 and twin_low <= 5  # nothing is cut off
    assert "MACs dotted" in drawing.caption


def test_figure_4_names_no_line_that_is_not_drawn(tmp_path: Path) -> None:
    measured(tmp_path, "inference", "tadtr", [row("latency_ms", n, 0.1 * n) for n in (100, 1000)])
    drawing = drawer(4)(Material(load_published(), load_runs(tmp_path), "measured"))
    assert len(drawing.figure.axes) == 1 and "MACs" not in drawing.caption


def test_figure_4_without_runs_is_one_panel_and_judges_its_lines(drawn: Path) -> None:
    width, _, _ = _png(drawn / "figure-4.png")
    assert width == 1005  # one column of 3.35 inches: no empty half
    caption = (drawn / "figure-4.caption.md").read_text(encoding="utf-8")
    assert "sublinear over 15 lengths" in caption and "residuals by length ---" in caption
    assert "13 degrees of freedom" in caption


def test_a_fifth_model_is_drawn_and_tabled(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    for percent in (10, 50, 100):
        training(tmp_path / "runs", "a$b_<i>", 30 + percent / 5, percent=percent)
    training(tmp_path / "runs", "a$b_<i>", 50, experiment="baseline")
    for number in (2, 3):
        assert call("figure", number, "--out", "out", "--results", "runs", "--source", "measured").exit_code == 0
    assert r"a\$b\_$<$i$>$" in call("table", 2, "--format", "latex", "--results", "runs").stdout
    assert "a$b_&lt;i>" in call("table", 2, "--results", "runs").stdout


def test_an_unwritable_place_is_named(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    (tmp_path / "file").write_text("", encoding="utf-8")
    result: Result = call("figure", 1, "--out", "file/below")
    assert result.exit_code == 2 and "cannot make this folder" in result.stderr
    assert call("table", 1, "--out", tmp_path).exit_code == 2


@pytest.mark.parametrize("kind", ["csv", "markdown", "latex"])
def test_table_1_comes_from_the_recipe(call, kind: str) -> None:  # type: ignore[no-untyped-def]
    text = call("table", 1, "--format", kind).stdout
    for part in ("# of epochs", "15", "0.0002", "0.0001", "14", "75"):
        assert part in text.replace("\\", "")


def test_table_2_puts_measured_under_published(call, study: Path) -> None:  # type: ignore[no-untyped-def]
    text = call("table", 2, "--format", "csv", "--results", study).stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["Model"], row["Source"]) for row in rows[:2]] == [("TadTR", "paper"), ("TadTR", "measured")]
    paper, measured = rows[0], rows[1]
    assert (paper["Training (s) mean"], paper["Training (s) std"], paper["mAP (%) mean"]) == ("426", "4", "55.3")
    assert measured["Data"] == "synthetic-demo (SYNTHETIC)" and measured["n"] == "2"
    assert measured["± is"] == "sample std" and len(measured["Runs"].split()) == 2
    assert rows[6]["n"] == "25 (5 stated)" and rows[6]["± is"] == "population std"


def test_table_2_without_runs_says_so(call, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    assert call("table", 2, "--out", "t/table-2.md").exit_code == 0
    text = (tmp_path / "t" / "table-2.md").read_text(encoding="utf-8")
    assert text.count("not run") == 8 and "T2.4 consistent with correction" in text


def test_there_is_no_table_3(call) -> None:  # type: ignore[no-untyped-def]
    assert call("table", 3).exit_code == 2


def test_verdicts_and_runs_are_tables_too(study: Path, every_run_counts: None) -> None:
    for name, held in (("claims", r"T2.5 & "), ("runs", r"data\_sweep & tadtr")):
        result = CliRunner().invoke(main, ["table", name, "--format", "latex", "--results", str(study)])
        assert result.exit_code == 0 and result.stdout.startswith(r"\begin{table*}") and held in result.stdout

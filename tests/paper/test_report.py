"""The report page without a browser: what it says, what it is made of, and what hostile runs can do to it (nothing)."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from made_up_runs import demo, seal, training
from pages import Page

from tal_repro.errors import InputError
from tal_repro.paper.report import markup, study
from tal_repro.paper.report.appendix import run_table, verdict_table
from tal_repro.paper.report.claims_section import severity
from tal_repro.paper.report.compare import compare
from tal_repro.paper.report.content import Content, embedded, gather
from tal_repro.paper.report.page import SECTIONS, page
from tal_repro.paper.report.run_details import tail
from tal_repro.paper.report.run_rows import LISTED, PAGE, RunRow, run_rows, runs_table
from tal_repro.paper.tables import render
from tal_repro.paper.verdicts import judge_all
from tal_repro.published.load import load_published
from tal_repro.runs.folder import RunPaths
from tal_repro.runs.load import NO_RUNS, Runs, computed, load_runs, load_system
from tal_repro.runs.store import RunStore

SCRIPT = "<script>alert(1)<"  # a model's folder cannot hold a slash
PUBLISHED = load_published()


@pytest.fixture(scope="module")
def content(demo_runs: Runs) -> Content:
    return gather(PUBLISHED, demo_runs)


@pytest.fixture(scope="module")
def text(content: Content) -> str:
    return page(content)


@pytest.fixture(scope="module")
def empty() -> Content:
    return gather(PUBLISHED, NO_RUNS)


def test_page_is_one_small_well_formed_file_that_loads_nothing(text: str) -> None:
    parsed = Page(text)
    assert parsed.problems == []
    assert len(text.encode()) < 3_000_000
    ids = parsed.ids()
    assert len(ids) == len(set(ids))
    (policy,) = (meta["content"] or "" for meta in parsed.of("meta") if "http-equiv" in meta)
    sources = {source for rule in policy.split(";") for source in rule.split()[1:]}
    assert "default-src 'none'" in policy and sources <= {"'none'", "'unsafe-inline'", "data:"}
    for _, attributes in parsed.tags:
        for name in ("src", "href", "action"):
            link = attributes.get(name) or "#"
            assert link.startswith(("#", "data:")) or link == study.LINK, link
        for name in ("aria-labelledby", "aria-controls"):
            assert set((attributes.get(name) or "").split()) <= set(ids)
    assert set(re.findall(r"url\(#([^)]+)\)", text)) <= set(ids)
    assert {a["href"][1:] for a in parsed.of("a") if (a["href"] or "").startswith("#")} | {
        (a["href"] or "#")[1:] for a in parsed.of("use")
    } <= set(ids)


def test_page_has_landmarks_captions_and_scoped_headers(text: str) -> None:
    parsed = Page(text)
    for landmark in ("header", "nav", "main", "footer"):
        assert len(parsed.of(landmark)) == 1
    assert len(parsed.of("table")) == len(parsed.of("caption"))
    assert all(head.get("scope") in ("col", "row") for head in parsed.of("th"))
    assert all(
        svg.get("aria-hidden") or (svg.get("role") == "img" and (svg.get("aria-labelledby") or svg.get("aria-label")))
        for svg in parsed.of("svg")
    )
    assert set(SECTIONS) - {"comparison", "released"} <= set(parsed.ids())


def test_page_counts_verdicts_and_shows_every_claim(text: str, content: Content) -> None:
    verdicts = sorted(judge_all(PUBLISHED, content.runs), key=severity)
    bodies = [a for a in Page(text).of("tbody") if (a.get("id") or "").startswith("claim-")]
    assert [a["id"] for a in bodies] == [f"claim-{v.claim.id}" for v in verdicts]
    assert [a["data-published"] for a in bodies] == [v.published for v in verdicts]
    for name in ("consistent", "inconsistent"):
        count = sum(v.published == name for v in verdicts)
        assert re.search(rf"<b>{count}</b> <span class=\"badge \w+\"><span[^>]*>.</span> {name}<", text)


def test_page_shows_all_figures_and_marks_synthetic_runs(text: str, content: Content) -> None:
    assert [figure.number for figure in content.figures if figure.svg] == [1, 2, 3, 4, 5, 6]
    assert f"{content.synthetic} of {len(content.runs.runs)} runs used SYNTHETIC data." in text
    assert sum(one.synthetic for one in content.forecasts) == sum(one.synthetic for one in content.overlay) == 4
    assert text.count('class="watermark"') == 2  # in the chart of the findings, and in that of the forecasts
    assert len(content.forecasts) == 8
    assert "<metadata" not in text and "rdf:" not in text


def test_claim_tells_its_whole_story_once(text: str, content: Content) -> None:
    stories = re.findall(r'<tbody[^>]*id="claim-([^"]+)".*?<pre[^>]*>(.*?)</pre>', text, re.S)
    assert len(stories) == len(content.verdicts)
    for (name, story), verdict in zip(stories, sorted(content.verdicts, key=severity), strict=True):
        readings = verdict.derivation.readings if verdict.derivation else ()
        shown = html.unescape(story)
        assert name == verdict.claim.id
        assert all(reading.label in " ".join(shown.split()) for reading in readings)
        assert not any(line.startswith(("reason ", "runs ")) for line in shown.splitlines())


def test_same_runs_give_the_same_page(empty: Content) -> None:
    assert page(empty) == page(gather(PUBLISHED, NO_RUNS))


def test_page_without_runs_says_so(empty: Content) -> None:
    text = page(empty)
    assert "Nothing was run yet" in text and "No runs yet." in text and "No trace yet" in text
    assert not Page(text).problems
    assert empty.figures[5].svg is None and "not run" in empty.figures[5].missing


def test_hostile_runs_are_text(tmp_path: Path) -> None:
    """A model called <script>, an ANSI log, NaN metrics, a broken trace and a failed run: shown, never obeyed."""
    root = tmp_path / "runs"
    for percent in (10, 50):
        training(root, SCRIPT, 40.0, percent=percent, machine="</script><img src=x onerror=alert(1)>")
    bad = training(root, "tadtr", 50.0)
    metrics = json.loads(bad.paths.metrics.read_text())
    metrics["rows"][0]["ap"] = float("nan")
    bad.paths.metrics.write_text(json.dumps(metrics))
    seal(bad.folder)
    broken = training(root, "tadtr", 50.0, experiment="trace")
    broken.paths.trace.write_text("time_s,cpu_mean_percent\n0,\x1b[31mno\n")
    seal(broken.folder)
    writer = RunStore(root).writer(replace(broken.spec, seed=9))
    writer.paths.log.write_bytes(b"\x1b[31mred\x1b[0m " + b"x" * 5000 + b"\rlast\x00 <b>\n\xff\n")
    writer.fail("out of memory & <worse>")

    made, _ = computed(load_runs(root), lambda runs: gather(PUBLISHED, runs))
    text = page(made)
    parsed = Page(text)
    assert not parsed.problems
    assert not parsed.of("img")
    assert len(parsed.of("script")) == 2  # the data and the page's own
    assert "\x1b" not in text and "\x00" not in text
    assert "out of memory &amp; &lt;worse&gt;" in text and "last\ufffd &lt;b&gt;" in text
    assert any("ap is not a finite number" in problem for problem in made.problems)
    assert any("not a trace" in problem for problem in made.problems)
    assert "things could not be read" in text
    stored = re.search(r'id="runs-data">(.*?)</script>', text, re.S)
    assert stored and SCRIPT in json.loads(stored[1])["words"]


def test_log_of_a_million_lines_is_read_from_its_end(tmp_path: Path) -> None:
    log = RunPaths(tmp_path).log
    with log.open("wb") as stream:
        stream.seek(3_000_000_000)  # sparse: reading it whole would take minutes and memory
        stream.write(b"\nlast line " + b"y" * 10_000 + b"\n")
    lines = tail(tmp_path)
    assert lines[-1].startswith("last line yyy") and len(lines[-1]) == 200


def test_ten_thousand_runs_stay_compact() -> None:
    row = RunRow(
        "0" * 16, "data_sweep", "tadtr", "native", "thumos14", 10.0, 0, 50.0, 9.0, None, "A10", "done", "paper", "",
        Path("none"), "",
    )  # fmt: skip
    rows = [
        replace(row, run_id=f"{number:016x}", seed=number, average_map=40 + number / 1000, seconds=400 + number / 10)
        for number in range(10_000)
    ]
    text = runs_table(rows)
    assert len(text) < 1_200_000
    assert text.count("<tbody ") == PAGE
    stored = json.loads(re.search(r'id="runs-data">(.*?)</script>', text, re.S)[1])  # type: ignore[index]
    assert len(stored["rows"]) == 10_000
    assert stored["words"][stored["rows"][9999][7]] == "50.00"
    assert f"{10_000 + 1} more are not listed" in runs_table([row] * (LISTED + 10_001))


def test_failed_runs_come_first_until_they_are_done(tmp_path: Path) -> None:
    done = training(tmp_path, "tadtr", 50.0)
    RunStore(tmp_path).writer(replace(done.spec, seed=3)).fail("boom", seconds=2.5, study="demo")
    rows = run_rows(load_runs(tmp_path))
    assert [(row.status, row.why, row.seconds) for row in rows] == [("failed", "boom", 2.5), ("done", "", None)]
    assert rows[0].repeat.startswith("tal-repro run --study demo ")
    assert rows[1].average_map == pytest.approx(50.0)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("<b>&\"'", "&lt;b&gt;&amp;&quot;&#x27;"),
        ("\x1b[1;31mred\x1b[0m", "red"),
        ("\x1b]0;title\x07x", "x"),
        ("a\ud800\u202eb", "a\ufffd\ufffdb"),
        (markup.Html("<i>kept</i>"), "<i>kept</i>"),
    ],
)
def test_escape(value: str, shown: str) -> None:
    assert markup.escape(value) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(None, "–"), (float("nan"), "–"), (1.234, "1.23 s"), (600, "10 min"), (9000, "2.5 h")]
)
def test_duration(seconds: float | None, shown: str) -> None:
    assert markup.duration(seconds) == shown


def test_ids_of_two_figures_never_clash() -> None:
    clip = '<defs><clipPath id="p1"/></defs>'
    svg = f'<svg width="1pt">{clip}<g id="unused"/><use xlink:href="#p1" clip-path="url(#p1)"/></svg>'
    both = embedded(svg, "f1", "A", "a") + embedded(svg, "f2", "B & <b>", "b")
    ids = Page(both).ids()
    assert len(ids) == len(set(ids)) == 6
    assert 'href="#f2-p1" clip-path="url(#f2-p1)"' in both and "B &amp; &lt;b&gt;" in both


def test_the_tables_of_an_appendix_hold_every_claim_and_run(demo_runs: Runs) -> None:
    verdicts = judge_all(PUBLISHED, demo_runs)
    made = render(verdict_table(verdicts), "markdown")
    assert all(f"| {verdict.claim.id} | " in made for verdict in verdicts)
    runs = render(run_table(demo_runs), "markdown")
    assert runs.count("| data_sweep | tadtr | native | synthetic-demo (SYNTHETIC) |") == 6


def test_compare_finds_what_two_systems_share(tmp_path: Path) -> None:
    for folder, add in (("here", 0.0), ("there", 5.0)):
        for seed in range(3):
            training(tmp_path / folder, "tadtr", 50 + add + seed, experiment="baseline", seed=seed, seconds=10 + add)
        training(tmp_path / folder, "tridet", 60, experiment="baseline", recipe={"epochs": 3 + add})
    found = compare(load_runs(tmp_path / "here"), load_system(str(tmp_path / "there"))[1])
    assert [one.key[1] for one in found] == ["tadtr"]  # TriDet's recipes differ
    assert found[0].maps and found[0].seconds and found[0].p is not None
    assert found[0].maps[0].mean - found[0].maps[1].mean == pytest.approx(-5)
    assert found[0].seconds[0].mean / found[0].seconds[1].mean == pytest.approx(10 / 15)
    assert found[0].p < 0.01
    with pytest.raises(InputError, match="no finished runs of system"):
        load_system("nowhere")


def test_demo_writes_every_experiment(tmp_path: Path) -> None:
    assert {run.experiment for run in load_runs(demo(tmp_path)).runs} == {
        "baseline", "data_sweep", "macs", "inference", "trace",
    }  # fmt: skip

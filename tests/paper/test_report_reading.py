"""What a reader of the page meets: the study, findings first, rounded numbers, plain reasons, and runs that open."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from made_up_runs import curved, training
from pages import Page

from tal_repro.paper.report import content as gathered
from tal_repro.paper.report import study
from tal_repro.paper.report.claims_section import severity
from tal_repro.paper.report.content import Content, gather
from tal_repro.paper.report.findings import sentences
from tal_repro.paper.report.page import page
from tal_repro.paper.report.run_details import details
from tal_repro.paper.report.run_rows import DETAILED, PAGE, run_rows, runs_table
from tal_repro.paper.verdict_words import NOT_JUDGED_SYNTHETIC, headline_counts, measured_word, not_judged_reasons
from tal_repro.published.load import load_published
from tal_repro.runs.load import NO_RUNS, Runs, load_runs
from tal_repro.runs.record import RunRecord

PUBLISHED = load_published()


@pytest.fixture(scope="module")
def content(demo_runs: Runs) -> Content:
    with pytest.MonkeyPatch.context() as patch:  # 2 and 3 take seconds; the browser's tests read all captions
        patch.setattr(gathered, "FIGURES", {number: gathered.FIGURES[number] for number in (4, 5)})
        return gather(PUBLISHED, demo_runs)


@pytest.fixture(scope="module")
def text(content: Content) -> str:
    return page(content)


def words(text: str) -> Iterator[str]:
    """Yield what a reader can read: text outside scripts, styles and pictures' labels."""
    yield from (said for tag, said in Page(text).text if tag not in ("script", "style"))


def test_the_study_comes_first_with_link_data_and_date(text: str, content: Content) -> None:
    head = text[text.index("<header>") : text.index("</header>")]
    assert f"<h1>{study.TITLE}</h1>" in head and f'href="{study.LINK}"' in head and str(study.YEAR) in head
    assert "THUMOS14" in head and "synthetic-demo (SYNTHETIC)" in head and content.made in head
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", content.made)


def test_findings_come_before_everything_else_and_say_no_more_than_the_verdicts(text: str, content: Content) -> None:
    assert text.index('id="findings"') < text.index('id="verdicts"') < text.index('id="claims"')
    count = headline_counts(content.verdicts)
    published, wrong, measured = sentences(content.verdicts, content.runs)
    assert published.startswith(f"Of {count['claims']} headline claims {count['consistent']} follow")
    assert wrong.startswith(f"{sum(v.published == 'inconsistent' for v in content.verdicts)} of all ")
    assert f"reproduce {count['reproduced']} of {count['claims']} headline claims" in measured
    assert measured.endswith("for their runs are of synthetic data.")
    assert sentences(content.verdicts, NO_RUNS)[2] == "Nothing was run here yet, so no claim was measured."


def test_the_overlay_holds_every_point_of_figure_2(text: str, content: Content) -> None:
    published = [one for one in content.overlay if one.published]
    points = len(PUBLISHED["learning_curves"]) + 1  # TriDet's at 100 % is in Table 2
    assert sum(len(one.marks) for one in published) == points
    assert "TadTR, published: 55.5" in text and "n = 5</title>" in text
    assert {one.synthetic for one in content.overlay if not one.published} == {True}


def test_no_number_has_more_decimals_than_a_reader_can_use(text: str) -> None:
    numbers = (number for said in words(text) for number in re.findall(r"\d+\.\d+", said))
    assert [number for number in numbers if len(number.replace(".", "").lstrip("0")) > 7] == []
    captions = re.findall(r"<figcaption>.*?</figcaption>", text, re.S)
    assert captions and not any(re.search(r"\d\.\d{5,}", caption) for caption in captions)


def test_what_was_run_and_cannot_judge_is_not_called_not_run(text: str, content: Content) -> None:
    barred = [v for v in content.verdicts if v.measured.unlike]
    assert barred and {measured_word(v) for v in barred} == {NOT_JUDGED_SYNTHETIC}
    assert text.count(f'data-measured="{NOT_JUDGED_SYNTHETIC}"') == len(barred)
    reasons = not_judged_reasons(content.verdicts)
    assert len(reasons) < 6 and sum(map(len, reasons.values())) == sum(
        v.measured.verdict == "not run" for v in content.verdicts
    )
    assert all(not v.measured.unlike for v in gather_nothing())


def gather_nothing() -> list[object]:
    from tal_repro.paper.verdicts import judge_all

    return list(judge_all(PUBLISHED, NO_RUNS))


def test_table_2_sets_paper_beside_measured_in_five_columns(text: str) -> None:
    section = text[text.index('id="tables"') : text.index('id="figures"')]
    tables = re.findall(r"<table.*?</table>", section, re.S)
    heads = [len(re.findall(r'scope="col"', table)) for table in tables]
    assert heads == [4, 5, 15]
    assert '<details class="rest">' in section
    row = re.search(r'<tr role="row"><th scope="row" role="rowheader">ActionFormer.*?</tr>', tables[1], re.S)
    assert row and "866 ± 27" in row[0] and "66.5 ± 0.0" in row[0] and "SYNTHETIC" in row[0]


def test_claims_that_do_not_follow_come_first_with_the_reason_in_their_row(text: str, content: Content) -> None:
    bodies = re.findall(r'<tbody role="rowgroup" id="claim-([^"]+)".*?<details>', text, re.S)
    ranks = {v.claim.id: severity(v) for v in content.verdicts}
    assert [ranks[name] for name in bodies] == sorted(ranks.values())
    first = re.search(rf'id="claim-{re.escape(bodies[0])}".*?<details>', text, re.S)
    assert first and '<span class="why">' in first[0]


def test_mean_average_precisions_bear_their_unit(text: str) -> None:
    claims = text[text.index('id="claims-table"') : text.index('id="tables"')]
    cells = re.findall(r'data-label="(?:Paper|Recomputed|Measured here)">([^<]*)', claims)
    assert any(cell.endswith(" % mAP") for cell in cells) and not any(re.search(r"\d mAP", cell) for cell in cells)
    assert 'id="units"' in text and "percentage points" not in "".join(cells)


def test_a_run_opens_to_curves_classes_settings_and_log(tmp_path: Path) -> None:
    curved(tmp_path)
    made = runs_table(run_rows(load_runs(tmp_path)))
    assert "Training loss by epoch (SYNTHETIC data). 1 after epoch 3" in made
    assert "raw weights: 40 after epoch 3" in made
    assert made.index("&lt;b&gt;</span><b>50.0</b>") < made.index("Diving</span><b>25.0</b>")
    assert "learning_rate <b>0.0002</b>" in made and "epoch 3 of 3</pre>" in made
    assert Page(made).problems == []


def test_a_spoilt_run_opens_all_the_same(tmp_path: Path) -> None:
    folder = curved(tmp_path)
    (folder / "epochs.csv").write_text("epoch,loss\n1\n")
    told = "".join(details(RunRecord(folder), {"ap": 3}))
    assert told.count("cannot be read") == 1 and "not recorded" in told and "Settings:" in told
    assert "".join(details(RunRecord(tmp_path / "nothing"), {})).count("cannot be read") == 1


def test_runs_beyond_the_first_hundred_are_kept_for_the_script_up_to_a_limit(tmp_path: Path) -> None:
    row = run_rows(load_runs(curved(tmp_path).parents[2]))[0]
    rows = [row] * (DETAILED + 1)
    made = runs_table(rows)
    assert made.count("<template ") == DETAILED - PAGE
    assert f"the first {DETAILED} open to curves and log" in made
    assert len(made) < DETAILED * 8000


def test_one_chart_has_all_models(text: str, content: Content) -> None:
    section = text[text.index('id="curves"') : text.index('id="runs"')]
    assert section.count('role="img"') == 1
    assert section.count('data-series="TadTR, published"') == 2  # the curve, and its entry in the legend
    assert section.count("<polygon") == sum(one.grid is not None and len(one.grid[0]) > 1 for one in content.forecasts)


def test_the_page_carries_its_tables_as_files(text: str, content: Content) -> None:
    files = {a["download"]: (a["href"] or "").partition(",")[2] for a in Page(text).of("a") if a.get("download")}
    assert set(files) == {"claims.csv", "claims.json", "table-1.csv", "table-2.csv", "learning-curves.csv"}
    read = {name: base64.b64decode(packed).decode() for name, packed in files.items() if packed and name}
    rows = list(csv.DictReader(io.StringIO(read["claims.csv"])))
    assert [row["Claim"] for row in rows] == [v.claim.id for v in content.verdicts]
    listed = json.loads(read["claims.json"])
    assert listed["synthetic_runs"] == content.synthetic and len(listed["claims"]) == len(rows)
    assert len(read["learning-curves.csv"].splitlines()) == 1 + sum(len(one.marks) for one in content.overlay)
    assert 'data-runs="csv"' in text and 'data-runs="json"' in text


def test_a_figure_that_cannot_be_drawn_names_no_folder_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training(tmp_path, "tadtr", 50.0)
    monkeypatch.setattr(gathered, "FIGURES", {6: gathered.FIGURES[6]})
    monkeypatch.setattr(gathered, "forecasts", lambda published, runs: [])
    made = gather(PUBLISHED, load_runs(tmp_path))
    assert "not run" in made.figures[0].missing and str(tmp_path) not in page(made)

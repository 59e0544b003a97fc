"""The report in a real browser, from file://: sort, filter, open, copy, print; quiet, self-contained, accessible."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tal_repro.paper.report.claims_section import severity
from tal_repro.paper.report.content import Content

pytestmark = pytest.mark.browser
CHECK = (Path(__file__).parent / "accessibility.js").read_text(encoding="utf-8")
OPEN_ALL = "document.querySelectorAll('details').forEach((one) => { one.open = true; })"
AXE = "axe-core@4.10.3"
Visit = Callable[..., Any]


def first_cells(page: Any, table: str, column: int) -> list[str]:
    bodies = "[...document.getElementById(t).tBodies].filter(b => !b.hidden)"
    found: list[str] = page.evaluate(f"([t, c]) => {bodies}.map(b => b.rows[0].cells[c].textContent)", [table, column])
    return found


def test_claims_sort_both_ways(visit: Visit, report: Path) -> None:
    with visit(report) as opened:
        page = opened.page
        header = page.locator("#claims-table thead button", has_text="Claim")
        before = first_cells(page, "claims-table", 0)
        header.focus()
        page.keyboard.press("Enter")
        up = first_cells(page, "claims-table", 0)
        assert page.locator("#claims-table th[aria-sort=ascending]").inner_text().startswith("Claim")
        header.click()
        down = first_cells(page, "claims-table", 0)
        assert sorted(before) == sorted(up) and up != before and down == up[::-1]
        assert up.index("D2") < up.index("D10") if "D10" in up else up.index("E2") < up.index("E10")


def test_claims_filter_by_verdict_section_model_and_words(visit: Visit, report: Path, content: Content) -> None:
    wrong = [v.claim.id for v in sorted(content.verdicts, key=severity) if v.published == "inconsistent"]
    with visit(report) as opened:
        page = opened.page
        page.select_option("[data-filter=published]", "inconsistent")
        assert first_cells(page, "claims-table", 0) == wrong
        assert page.inner_text("#claims-count") == f"{len(wrong)} of {len(content.verdicts)} claims"
        page.select_option("[data-filter=model]", "actionformer")
        assert {"T2.3", "T2.7"} <= set(first_cells(page, "claims-table", 0)) < set(wrong)
        page.select_option("[data-filter=published]", "")
        page.select_option("[data-filter=model]", "")
        page.select_option("[data-filter=section]", "Table 2")
        assert first_cells(page, "claims-table", 0) == [
            v.claim.id for v in sorted(content.verdicts, key=severity) if v.claim.section == "Table 2"
        ]
        page.fill("[data-filter=words]", "time of ActionFormer")
        assert first_cells(page, "claims-table", 0)[0] == "T2.3"


def test_claim_opens_to_its_derivation_and_command(visit: Visit, report: Path, content: Content) -> None:
    with visit(report) as opened:
        page = opened.page
        story = page.locator("#claim-C7 details")
        assert not story.locator("pre").is_visible()
        story.locator("summary").focus()
        page.keyboard.press("Enter")
        assert "R2 of MACs on length" in story.locator("p").first.inner_text()
        assert story.locator("pre").is_visible()
        ids = {run.run_id for v in content.verdicts if v.claim.id == "C7" for run in v.measured.runs}
        assert ids and ids == set(story.locator(".ids").inner_text().split())
        assert story.locator("code").inner_text().startswith("tal-repro verify --claim C7 --results ")


def test_command_is_copied(visit: Visit, report: Path) -> None:
    with visit(report) as opened:
        page = opened.page
        command = page.locator("#figure-2 ~ p .command")
        text = command.locator("code").inner_text()
        command.locator("button").click()
        page.wait_for_function("document.querySelector('#figure-2 ~ p .command button').textContent === 'Copied'")
        page.focus("#runs-words")
        page.keyboard.press("Control+V")
        assert page.input_value("#runs-words") == text


def test_runs_show_failures_hostile_names_and_log_tails(visit: Visit, report: Path) -> None:
    with visit(report) as opened:
        page = opened.page
        first = page.locator("#runs-table > tbody").first
        assert "failed" in first.inner_text()
        first.locator("summary").click()
        assert "out of memory" in first.inner_text()
        assert first.locator("pre").inner_text().splitlines()[-2:] == ["red", "the last line"]
        page.fill("#runs-words", "<script>alert")
        assert first_cells(page, "runs-table", 2) == ["<script>alert(1)<"]
        assert page.locator("img").count() == 0


def test_ten_thousand_runs_open_quickly_and_page(visit: Visit, crowded: Path) -> None:
    assert crowded.stat().st_size < 3_000_000
    with visit(crowded) as opened:
        page = opened.page
        took = page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
        assert 0 < took < 3000, f"{took:.0f} ms"
        assert page.inner_text("#runs-count") == "1 to 100 of 10000 runs"
        page.click("#runs-next")
        assert first_cells(page, "runs-table", 0)[0] == f"{100:016x}"
        page.locator("#runs-table thead button", has_text="mAP").click()
        page.locator("#runs-table thead button", has_text="mAP").click()
        assert first_cells(page, "runs-table", 7)[0] == "99.99"
        page.fill("#runs-words", f"{4321:016x}")
        assert first_cells(page, "runs-table", 0) == [f"{4321:016x}"]


def test_prints_to_pdf_with_every_claim(visit: Visit, report: Path, tmp_path: Path) -> None:
    with visit(report) as opened:
        content = opened.page.pdf(format="A4")
        assert content.startswith(b"%PDF")
        assert 5 <= len(re.findall(rb"/Type\s*/Page\b", content)) <= 60
        opened.page.emulate_media(media="print")
        assert not opened.page.locator("nav").is_visible()
        assert not opened.page.locator("#claims-filters").is_visible()
        assert opened.page.evaluate(CHECK)["findings"] == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 800, 390])
def test_accessible_and_never_wider_than_the_window(visit: Visit, report: Path, width: int, scheme: str) -> None:
    with visit(report, width, scheme) as opened:
        page = opened.page
        page.evaluate(OPEN_ALL)
        found = page.evaluate(CHECK)
        assert found["findings"] == []
        assert found["checked"] > 1000
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_check_sees_what_is_wrong(visit: Visit, report: Path) -> None:
    with visit(report) as opened:
        opened.page.evaluate(
            """() => { document.querySelector('main').insertAdjacentHTML('beforeend',
            '<h4>deep</h4><button></button><p id="main" style="color:#999999">faint</p>'); }"""
        )
        rules = {finding.split(":")[0] for finding in opened.page.evaluate(CHECK)["findings"]}
        assert rules == {"heading skips a level", "no name", "id twice", "contrast"}


def test_keyboard_skips_to_the_findings(visit: Visit, report: Path) -> None:
    with visit(report) as opened:
        opened.page.keyboard.press("Tab")
        assert opened.page.evaluate("document.activeElement.className") == "skip"
        opened.page.keyboard.press("Enter")
        assert opened.page.evaluate("document.activeElement.id") == "findings"


def test_says_the_same_without_scripts(visit: Visit, report: Path, content: Content) -> None:
    with visit(report, java_script_enabled=False) as opened:
        page = opened.page
        assert page.locator("#claims-table > tbody:visible").count() == len(content.verdicts)
        assert page.locator("#runs-table > tbody:visible").count() == min(100, len(content.rows))
        assert not page.locator("#claims-filters").is_visible()
        assert page.locator("button:visible").count() == 0
        assert page.locator(".downloads a:visible").count() == 5
        page.locator("#claim-E4 summary").click()
        assert "tal-repro verify --claim E4" in page.locator("#claim-E4 code").inner_text()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(visit: Visit, report: Path, scheme: str, axe: str) -> None:
    with visit(report, 1280, scheme, bypass_csp=True) as opened:
        opened.page.evaluate(OPEN_ALL)
        opened.page.add_script_tag(content=axe)
        found = opened.page.evaluate("axe.run({ resultTypes: ['violations'] })")
        told = [(v["id"], v["impact"], [node["html"][:160] for node in v["nodes"][:3]]) for v in found["violations"]]
        assert told == [], json.dumps(told, indent=1)


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return the source of axe-core, fetched by npm."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip(f"needs npm to fetch {AXE}: apt-get install --no-install-recommends npm")
    folder = tmp_path_factory.mktemp("axe")
    command = [npm, "install", "--ignore-scripts", "--no-save", "--no-audit", "--no-fund", "--prefix", str(folder), AXE]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, env=os.environ, check=False)
    if done.returncode:
        pytest.skip(f"npm could not fetch {AXE}: {done.stderr.strip().splitlines()[-1:]}")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")

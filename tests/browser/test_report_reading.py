"""Ten things a reader of the page asks for, each in a real browser: from the study's title to what a phone shows."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tal_repro.paper.report import study
from tal_repro.paper.report.claims_section import severity
from tal_repro.paper.report.content import Content
from tal_repro.paper.report.findings import sentences
from tal_repro.paper.verdict_words import NOT_JUDGED_SYNTHETIC, measured_word

pytestmark = pytest.mark.browser
Visit = Callable[..., Any]
LOAD_MS = 1000  # half a second on a quiet machine
SHOWN = "[...document.getElementById('claims-table').tBodies].filter(b => !b.hidden).map(b => b.id.slice(6))"


def test_1_the_study_comes_first(visit: Visit, report: Path, content: Content) -> None:
    with visit(report) as opened:
        head = opened.page.locator("header")
        assert opened.page.locator("h1").inner_text() == study.TITLE
        assert opened.page.title().endswith(study.TITLE)
        assert head.locator("a").get_attribute("href") == study.LINK
        assert content.made in head.inner_text() and "SYNTHETIC" in head.inner_text()
        took = opened.page.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
        assert 0 < took < LOAD_MS, f"{took:.0f} ms"


def test_2_three_findings_and_values_under_the_pointer(visit: Visit, report: Path, content: Content) -> None:
    with visit(report) as opened:
        page = opened.page
        assert page.locator(".findings li").all_inner_texts() == list(sentences(content.verdicts, content.runs))
        page.locator("[data-name=overlay]").scroll_into_view_if_needed()
        marks = page.locator("[data-name=overlay] .published .point path")
        box = marks.nth(8).bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2 + 2, box["y"] + box["height"] / 2)
        assert page.locator(".tip").is_visible()
        told = page.locator(".tip").inner_text()
        assert re.fullmatch(r".+, published: \d+\.\d\d ± \d\.\d\d % mAP at [\d.]+ % of the data, n = 5", told)
        page.mouse.move(5, 5)
        assert not page.locator(".tip").is_visible()
        entry = page.locator(".legend button").first
        entry.click()
        assert entry.get_attribute("aria-pressed") == "false"
        assert page.locator("[data-name=overlay] .off").count() == 1


def test_3_numbers_are_rounded(visit: Visit, report: Path) -> None:
    with visit(report) as opened:
        opened.page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        numbers = re.findall(r"\d+\.\d+", opened.page.locator("main").inner_text())
        assert len(numbers) > 1000
        assert [n for n in numbers if len(n.replace(".", "").lstrip("0")) > 7] == []


def test_4_what_cannot_be_judged_says_so_with_grouped_reasons(visit: Visit, report: Path, content: Content) -> None:
    barred = [v.claim.id for v in content.verdicts if measured_word(v) == NOT_JUDGED_SYNTHETIC]
    with visit(report) as opened:
        page = opened.page
        page.click(f".tiles a[data-value='{NOT_JUDGED_SYNTHETIC}']")
        assert sorted(page.evaluate(SHOWN)) == sorted(barred)
        reasons = page.locator("details", has=page.locator("summary", has_text="have no measured verdict"))
        reasons.locator("summary").click()
        assert 1 <= reasons.locator("li").count() <= 6
        assert "cannot judge a claim about THUMOS14: synthetic data" in reasons.inner_text()
        reasons.locator("li a").first.click()  # a claim that the filter hides is shown
        name = reasons.locator("li a").first.inner_text()
        assert page.locator(f"#claim-{name}").is_visible()


def test_5_table_2_in_five_columns_the_rest_on_demand(visit: Visit, report: Path) -> None:
    with visit(report) as opened:
        page = opened.page
        tables = page.locator("section[aria-labelledby=tables] table")
        assert [tables.nth(n).locator("thead th").count() for n in range(3)] == [4, 5, 15]
        assert tables.nth(1).is_visible() and not tables.nth(2).is_visible()
        page.locator("section[aria-labelledby=tables] .rest > summary").click()
        assert tables.nth(2).is_visible()


def test_6_inconsistent_first_counts_filter_and_the_address_keeps_it(
    visit: Visit, report: Path, content: Content, browser: Any
) -> None:
    wrong = [v.claim.id for v in sorted(content.verdicts, key=severity) if v.published == "inconsistent"]
    with visit(report) as opened:
        page = opened.page
        ranks = {v.claim.id: severity(v) for v in content.verdicts}
        assert [ranks[name] for name in page.evaluate(SHOWN)] == sorted(ranks.values())
        assert page.locator(f"#claim-{wrong[0]} .why").first.is_visible()
        tile = page.locator(".tiles a[data-name=published][data-value=inconsistent]")
        tile.click()
        assert tile.get_attribute("aria-pressed") == "true" and page.evaluate(SHOWN) == wrong
        page.fill("[data-filter=words]", "ActionFormer")
        address, shown = page.evaluate("location.href"), page.evaluate(SHOWN)
        assert address.endswith("#claims?published=inconsistent&words=ActionFormer") and 0 < len(shown) < len(wrong)
        tile.focus()
        page.keyboard.press(" ")  # once more: everything
        assert len(page.evaluate(SHOWN)) == len(content.verdicts) and page.evaluate("location.hash") == "#claims"
    context = browser.new_context()
    sent = context.new_page()
    sent.goto(address)
    assert sent.evaluate(SHOWN) == shown
    assert sent.input_value("[data-filter=words]") == "ActionFormer"
    context.close()


def test_7_columns_of_numbers_name_their_units(visit: Visit, report: Path) -> None:
    bare = {"n", "Runs", "Seed", "Points", "Times (count)", "Welch p", "Ratio to TadTR", "Value", "Here / there"}
    with visit(report) as opened:
        heads = opened.page.evaluate(
            "[...document.querySelectorAll('thead th.number')].map((head) => head.textContent.trim())"
        )
        assert len(heads) > 8
        unnamed = [head for head in heads if "(" not in head and head not in bare and "Authors" not in head]
        assert unnamed == []
        assert opened.page.locator("#units").count() == 1


def test_8_a_run_opens_to_curves_classes_settings_and_log(visit: Visit, trained: Path) -> None:
    with visit(trained) as opened:
        run = opened.page.locator("#runs-table > tbody").first
        run.locator("summary").click()
        pictures = run.locator("svg[role=img]")
        assert pictures.count() == 2 and pictures.first.bounding_box()["height"] > 80
        assert "Training loss" in pictures.nth(0).get_attribute("aria-label")
        assert "mAP" in pictures.nth(1).get_attribute("aria-label")
        assert run.locator(".bars li").count() == 2 and "Diving" in run.locator(".bars").inner_text()
        assert "epochs 3" in run.locator(".settings").inner_text() and "epoch 3 of 3" in run.locator("pre").inner_text()


def test_9_one_chart_of_all_models(visit: Visit, report: Path, content: Content) -> None:
    with visit(report) as opened:
        section = opened.page.locator("section[aria-labelledby=curves]")
        assert section.locator("svg[role=img]").count() == 1
        assert section.locator(".legend li").count() == len(content.forecasts)
        assert section.locator("tbody tr").count() == len(content.forecasts)


def test_10_everything_can_be_saved(visit: Visit, report: Path, content: Content) -> None:
    def saved(page: Any, button: Any) -> bytes:
        with page.expect_download() as waiting:
            button.click()
        return Path(waiting.value.path()).read_bytes()

    with visit(report) as opened:
        page = opened.page
        claims = list(csv.DictReader(io.StringIO(saved(page, page.locator("a[download='claims.csv']")).decode())))
        assert [row["Claim"] for row in claims] == [v.claim.id for v in content.verdicts]
        assert len(json.loads(saved(page, page.locator("a[download='claims.json']")))["claims"]) == len(claims)
        runs = list(csv.DictReader(io.StringIO(saved(page, page.locator("[data-runs=csv]")).decode())))
        assert [row["Run"] for row in runs] == [row.run_id for row in content.rows]
        assert len(json.loads(saved(page, page.locator("[data-runs=json]")))) == len(runs)
        for name in ("overlay", "figure-5"):
            picture = saved(page, page.locator(f"button[aria-label='Save {name} as PNG']"))
            assert picture.startswith(b"\x89PNG") and int.from_bytes(picture[16:20], "big") >= 1500
        drawn = saved(page, page.locator("button[aria-label='Save overlay as SVG']"))
        assert drawn.startswith(b"<svg") and b"rgb(" in drawn


def test_10_print_opens_what_is_on_demand_and_cuts_nothing(visit: Visit, report: Path) -> None:
    with visit(report, 720) as opened:
        page = opened.page
        page.emulate_media(media="print")
        page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
        assert page.locator("details.rest:not([open])").count() == 0
        cut = page.evaluate(
            """() => [...document.querySelectorAll('.scroll, .paper, .chart, pre')]
            .filter((box) => box.checkVisibility() && getComputedStyle(box).overflowX !== 'visible')
            .map((box) => box.className)"""
        )
        assert cut == []


def test_10_a_phone_shows_every_column_and_every_chart(visit: Visit, report: Path) -> None:
    with visit(report, 390) as opened:
        page = opened.page
        page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
        wide = page.evaluate(
            "[...document.querySelectorAll('td, th, caption')].filter(c => c.checkVisibility()"
            " && !c.closest('thead') && c.getBoundingClientRect().right > 391).map(c => c.outerHTML.slice(0, 200))"
        )
        assert wide == []
        first = page.locator("#runs-table > tbody").first
        assert "Status: " in page.evaluate(
            "(n) => getComputedStyle(n, '::before').content.replaceAll('\"', '')",
            first.locator("td[data-label=Status]").element_handle(),
        )
        text = page.locator("[data-name=overlay] text").first
        assert text.bounding_box()["height"] >= 9  # pixels: it can be read
        assert page.locator("[data-name=overlay] svg").bounding_box()["width"] <= 390

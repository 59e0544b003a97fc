"""The rule of readings: one label at a time, rounding, undetermined numbers, and the same judge for measured tables."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from benchmarks import verdict_truths
from benchmarks.tables.sentences import load_sentences
from benchmarks.verdict_calibration import sweeps
from tal_repro.measure.linearity import LINEAR_R2
from tal_repro.paper.claims import bands, readings
from tal_repro.paper.claims.bands import Band
from tal_repro.paper.claims.coverage import expected_classes, units_drawn
from tal_repro.paper.claims.derivation import Derivation
from tal_repro.paper.claims.judging import compare, judge_reading, matches
from tal_repro.paper.claims.readings import (
    LABELS,
    clipped,
    half_digit,
    mean_and_std,
    number,
    over_rounding,
    unpublished,
    vary,
)
from tal_repro.paper.claims.registered import DERIVATIONS
from tal_repro.paper.claims.settled import _runs
from tal_repro.paper.claims.statements import load_claims
from tal_repro.paper.statistics import Sample
from tal_repro.paper.verdict_words import follows_text, recomputed_with_unit
from tal_repro.paper.verdicts import derive, judge_all
from tal_repro.published.load import load_published
from tal_repro.runs.load import NO_RUNS
from tal_repro.study import load_study

PUBLISHED = load_published()
CLAIMS = {claim.id: claim for claim in load_claims()}


def test_one_label_changes_at_a_time() -> None:
    readings = vary(
        lambda points, base: number(points * base), points={"a": 1, "b": 2}, base={"itself": 10, "all": 100}
    )  # fmt: skip
    assert [(r.label, r.value, r.changed) for r in readings] == [
        ("a, itself", 10, ""), ("b", 20, "points"), ("all", 100, "base"),
    ]  # fmt: skip
    with pytest.raises(AssertionError):
        vary(lambda luck: number(luck), luck={"a": 1})


@pytest.mark.parametrize("claim_id", list(DERIVATIONS))
def test_every_reading_departs_in_one_known_label(claim_id: str) -> None:
    readings = derive(claim_id, PUBLISHED).readings  # type: ignore[union-attr]
    assert {reading.changed for reading in readings} <= {"", *LABELS}
    assert not readings[0].changed
    assert len({(r.label, r.changed, bool(r.undetermined)) for r in readings}) == len(readings)


def test_rounding_makes_an_interval() -> None:
    (reading,) = over_rounding(lambda a, b: a - b, (56.7, 0.05), (55.3, 0.05))
    assert (reading.low, reading.high) == pytest.approx((1.30, 1.50), abs=1e-6)
    assert half_digit([66.0, 55.508]) == pytest.approx(0.0005)
    assert half_digit([426.0, 2956.0]) == 0.5 and half_digit([300.0]) == 0.5  # an integer was printed without decimals


def test_five_runs_cannot_hold_the_printed_maximum() -> None:
    """Any five numbers obey the bound that A3 uses, and one choice of five reaches it."""
    values = np.random.default_rng(0).lognormal(0, 1, (200, 5))
    for ddof, factor in ((0, 2.0), (1, 4 / math.sqrt(5))):
        bound = values.mean(axis=1) + factor * values.std(axis=1, ddof=ddof)
        assert (values.max(axis=1) <= bound + 1e-9).all()
    assert max(0, 0, 0, 0, 5) == pytest.approx(1 + 2 * np.std([0, 0, 0, 0, 5]))
    assert compare(CLAIMS["A3"], derive("A3", PUBLISHED))[0] == "inconsistent"


def test_both_kinds_of_std_count_as_worded_and_clipping_ends() -> None:
    population, sample = mean_and_std([1.0, 2.0, 3.0])
    assert (population.spread, sample.spread) == pytest.approx((math.sqrt(2 / 3), 1.0))
    assert not population.changed and not sample.changed
    assert clipped(np.array([1.0, 1.1, 0.9, 1.0, 1.05, 0.95, 1.0, 9.0])).max() < 2


def test_about_grants_a_whole_unit() -> None:
    claim = CLAIMS["H3"]
    assert claim.about and claim.half_digits == (1.0,)
    assert compare(claim, Derivation(number(30.9), (), ""))[0] == "consistent"
    assert compare(claim, Derivation(number(31.2), (), ""))[0] == "inconsistent"


def test_a_reading_nobody_can_compute_forbids_inconsistent() -> None:
    readings = (*number(16, "authors"), unpublished("own", "no log"))
    assert compare(CLAIMS["T1.1"], Derivation(readings, (), ""))[0] == "not derivable"
    assert compare(CLAIMS["T1.1"], Derivation(readings[:1], (), ""))[0] == "inconsistent"


def test_what_the_paper_prints_reproduces_an_inconsistent_claim() -> None:
    assert judge_reading(CLAIMS["F6"], 0.566, 5, 24)[0] == "reproduced"
    assert judge_reading(CLAIMS["F6"], 2.709, 5, 24)[0] == "not reproduced"


def test_a_sentence_about_all_trainings_is_not_refuted_by_five_of_them() -> None:
    """ "Our best model" may be of the sweep, whose runs may hold what is printed; a larger number they cannot hold."""
    derivation = derive("A4", PUBLISHED)
    assert derivation is not None and compare(CLAIMS["A4"], derivation) == ("not derivable", None)
    larger = dataclasses.replace(CLAIMS["A4"], reference=("57.9",))
    assert compare(larger, derivation)[0] == "inconsistent"


def test_the_test_of_an_exponential_rejects_true_ones_as_often_as_it_says() -> None:
    """Sweeps around the exponential that ActionFormer's points are nearest to, each point with its own scatter."""
    random, claim = np.random.default_rng(3), CLAIMS["E16"]
    truth = verdict_truths.truths("E16")["above"]
    drawn = (next(iter(sweeps(truth, random, (5,)).values())) for _ in range(150))
    rejected = np.mean([verdict_truths.statistic(claim, table) < claim.limit for table in drawn])
    assert rejected <= 0.09  # a nominal 5 %, and two standard errors


def test_numbers_carry_their_own_units_and_do_not_print_like_their_limit() -> None:
    verdicts = {v.claim.id: v for v in judge_all(PUBLISHED, NO_RUNS, ["D5", "C7"])}
    assert recomputed_with_unit(verdicts["D5"]) == "55.970 mAP at 75 % of the data"
    assert CLAIMS["D5"].printed_with_unit == "55.97 mAP at 75 % of the data"
    assert recomputed_with_unit(verdicts["C7"]) == "0.9901 R2"


def test_wording_says_no_more_than_was_tried() -> None:
    for verdict in judge_all(PUBLISHED, NO_RUNS):
        tried = sum(not reading.undetermined for reading in verdict.readings)
        text = follows_text(verdict)
        if verdict.published == "inconsistent":
            assert (f"none of the {tried} readings tried" in text) == (tried > 1)
        else:
            assert "readings tried" not in text


def test_linear_means_one_thing() -> None:
    limits = {CLAIMS[name].limit for name in ("C1", "C7")}
    assert limits == {LINEAR_R2}


def test_every_claim_stands_alone_with_a_unit() -> None:
    for claim in CLAIMS.values():
        assert claim.unit, claim.id
        assert claim.statement.split()[0] not in ("its", "that", "this"), claim.id
        assert "same" not in claim.statement.split(), claim.id
    assert len({claim.statement for claim in CLAIMS.values()}) == len(CLAIMS)


def test_every_sentence_is_mapped_once_and_every_claim_covered() -> None:
    sentences = load_sentences()
    assert [sentence.n for sentence in sentences] == list(range(1, len(sentences) + 1))
    assert {claim for sentence in sentences for claim in sentence.claims} == set(CLAIMS)
    assert len({(s.section, s.begins) for s in sentences}) == len(sentences)


def test_class_coverage_is_exact() -> None:
    units = PUBLISHED["units_per_class"]
    for row in PUBLISHED["class_coverage"].rows():
        assert units_drawn(units, row["unit"], row["percent"]) == row["units"]
        assert expected_classes(units, row["unit"], row["units"]) == pytest.approx(row["expected_classes"], abs=6e-4)


def test_a_limit_agrees_with_itself_and_a_welch_test_is_at_five_percent() -> None:
    for rule, off in (("at-most", 60.1), ("at-least", 59.9)):
        claim = dataclasses.replace(CLAIMS["G1"], rule=rule, limit=60.0)
        assert matches(claim, *number(60.0)) and not matches(claim, *number(off))
    claim = dataclasses.replace(CLAIMS["A2"], reference=("50.0", "1.0"), reference_n=5)
    agree = [matches(claim, *readings.tested(Sample(mean, 1.0, 5))) for mean in (49.2, 48.4)]
    assert agree == [True, False], "p is 0.24, and 0.035"


def test_a_band_is_of_the_runs_there_are_and_reproduces_between_its_inner_bounds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    few, more = Band("D", 3, 0.0, 10.0, 4.0, 6.0, 0.9, 0.9), Band("D", 5, 1.0, 9.0, 2.0, 8.0, 0.9, 0.9)
    monkeypatch.setattr(bands, "load_bands", lambda: {"D": (few, more)})
    assert [bands.band_of("D", n) for n in (2, 3, 4, 5, 9)] == [None, few, few, more, more]
    verdicts = [few.verdict(value) for value in (-0.1, 0.0, 4.0, 5.0, 6.0, 10.0, 10.1)]
    assert verdicts == [
        "not reproduced", "inconclusive", "inconclusive", "reproduced", "inconclusive", "inconclusive",
        "not reproduced",
    ]  # fmt: skip


def test_runs_of_two_engines_settle_no_more_than_those_of_the_one_with_more() -> None:
    authors = [spec for spec in load_study("paper").runs() if spec.experiment == "baseline"]
    native = [dataclasses.replace(spec, engine="native") for spec in authors if spec.seed < 2]
    assert _runs(CLAIMS["T2.5"], authors) == _runs(CLAIMS["T2.5"], [*authors, *native]) == 5

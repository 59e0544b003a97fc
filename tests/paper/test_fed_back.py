"""The published tables, written as finished runs and judged as anyone's are, contradict no published verdict."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from made_up_runs import A10, measured, row, training

from benchmarks.verdict_truths import as_published
from tal_repro.models.recipes import TADTR
from tal_repro.paper.claims.statements import Claim, load_claims
from tal_repro.paper.verdicts import Verdict, judge_all
from tal_repro.published.load import load_published
from tal_repro.runs.load import computed, load_runs

PUBLISHED = load_published()
CLAIMS = {claim.id: claim for claim in load_claims() if claim.measure}
FIVE = np.array([-1.0, -0.5, 0.0, 0.5, 1.0]) / np.std([-1.0, -0.5, 0.0, 0.5, 1.0], ddof=1)  # mean 0, sample std 1
V100S = "NVIDIA Tesla V100S-PCIE-32GB"
UNPUBLISHED = ("ablation", "released", "trace")  # experiments of which nothing but pictures was published


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Verdict]:
    """Judge a folder that holds what was published: sweeps, Table 2 or the single runs behind it, MACs, times."""
    root = tmp_path_factory.mktemp("published") / "runs"
    for point in as_published().rows():
        for seed, value in enumerate(point["map_mean"] + point["map_std"] * FIVE):
            training(root, point["model"], value, percent=point["train_percent"], seed=seed, synthetic=False)
    single = PUBLISHED["training_runs"]
    for line in PUBLISHED["table2"].rows():
        model, runs = line["model"], single.where(model=line["model"])
        maps, seconds = runs["map_mean"], runs["train_seconds"]
        if not len(runs):  # no single run was published
            maps = line["map_mean"] + line["map_std"] * FIVE
            seconds = line["train_seconds_mean"] + line["train_seconds_std"] * FIVE
        about = {"machine": A10, "recipe": asdict(TADTR)} if model == "tadtr" else {"machine": V100S}
        for seed, (value, time) in enumerate(zip(maps, seconds, strict=True)):
            training(root, model, value, experiment="baseline", seed=seed, synthetic=False, seconds=time, **about)
    for name, table, quantity, value in (("macs", "gmacs", "gmacs", "gmacs"),
                                         ("inference", "inference_runs", "latency_ms", "milliseconds")):  # fmt: skip
        for model in dict.fromkeys(PUBLISHED[table]["model"].tolist()):
            rows = [row(quantity, int(r["feature_length"]), r[value], i)
                    for i, r in enumerate(PUBLISHED[table].where(model=model).rows())]  # fmt: skip
            measured(root, name, model, rows, machine=V100S)
    found, _ = computed(load_runs(root), lambda runs: judge_all(PUBLISHED, runs, CLAIMS))
    return {verdict.claim.id: verdict for verdict in found}


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=list(CLAIMS))
def test_they_contradict_no_published_verdict(claim: Claim, verdicts: dict[str, Verdict]) -> None:
    verdict = verdicts[claim.id]
    measured_verdict, reason = verdict.measured.verdict, verdict.measured.reason
    if verdict.published == "inconsistent":
        assert measured_verdict != "reproduced", reason
    else:
        assert measured_verdict != "not reproduced", reason
    assert (measured_verdict == "not run") <= (claim.experiment in (*UNPUBLISHED, "inference")), reason


def test_what_they_support_is_reproduced_and_what_they_contradict_is_not(verdicts: dict[str, Verdict]) -> None:
    words = {name: verdict.measured.verdict for name, verdict in verdicts.items()}
    swept = [c for c in CLAIMS.values() if c.experiment == "data_sweep" and c.importance == "headline"]
    supported = {c.id for c in swept if c.expected.startswith("consistent") and c.id != "F11"}
    assert {name for name in supported if words[name] == "reproduced"} == supported == {
        "D4", "D6", "D7", "E10", "F13", "G1"}  # fmt: skip
    assert {name: words[name] for name in ("E4", "F6", "T2.7")} == dict.fromkeys(("E4", "F6", "T2.7"), "not reproduced")
    assert {words[name] for name in ("T2.1", "T2.2", "T2.4", "T2.5", "T2.6", "T2.8", "T1.6", "G2")} == {"reproduced"}
    assert words["T2.3"] == "inconclusive"  # the means agree; no run can tell the stds apart

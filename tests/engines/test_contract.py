"""The contract of every model in the registry, under every engine that runs it: a fifth is covered with no edit."""

from __future__ import annotations

import pytest

from tal_repro.engines.registry import engines_of
from tal_repro.models.registry import MODELS
from tal_repro.run.contract import check_model

PAIRS = [(model, engine) for model in MODELS for engine in engines_of(model)]


@pytest.mark.parametrize("model", [model for model, engine in PAIRS if engine == "upstream"])
def test_upstream_without_training(model: str) -> None:
    """Recipe, patches and description; MACs too, where the authors' code is there."""
    findings = list(check_model(model, "upstream", train=False))
    assert [finding for finding in findings if finding.outcome == "failed"] == []
    assert [finding.step for finding in findings[:2]] == ["registry", "recipe"]
    last = findings[-1]
    if last.outcome == "not run":  # static steps only; the marked test below does the rest
        assert last.step == "checkout" and "make submodules" in last.message
    else:
        assert last.step == "macs"


@pytest.mark.parametrize("model", [model for model, engine in PAIRS if engine == "native"])
def test_native_training(model: str) -> None:
    findings = list(check_model(model, "native"))
    assert "training" in [finding.step for finding in findings]
    assert {finding.outcome for finding in findings} == {"ok"}, findings


@pytest.mark.upstream
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("model", list(MODELS))
def test_upstream_training(model: str) -> None:
    findings = list(check_model(model, "upstream"))
    if findings[-1].outcome == "not run":
        pytest.skip(findings[-1].message)
    assert {finding.outcome for finding in findings} == {"ok"}, findings

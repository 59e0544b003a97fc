"""What of a description is in the version of a model's results: all but what `models check` alone reads."""

from __future__ import annotations

from pathlib import Path

import pytest

from tal_repro.engines.registry import engine_version, patch_hash
from tal_repro.engines.upstream import identity
from tal_repro.models.registry import OF_AUTHORS

LINES = ("RECIPE = 1", 'SMALL = {"epochs": 2}', "STOPS_EARLY = True", "def train(job): pass")


def digest(lines: tuple[str, ...], folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    path = folder / "description.py"
    path.write_text("\n".join(lines))
    monkeypatch.setattr(identity, "_file", lambda module: path)
    return identity.description_digest("any")


@pytest.mark.parametrize(("line", "instead", "same"), [
    (1, 'SMALL = {"epochs": 40}', True), (2, "", True),
    (0, "RECIPE = 2", False), (3, "def train(job): return 1", False),
])  # fmt: skip
def test_what_the_check_alone_reads_is_not_in_it(
    line: int, instead: str, same: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changed = (*LINES[:line], instead, *LINES[line + 1 :])
    assert (digest(LINES, tmp_path, monkeypatch) == digest(changed, tmp_path, monkeypatch)) == same


def test_results_of_later_models_keep_their_version() -> None:
    assert engine_version("dyfadet", "upstream", "training") == "f645cafd50f9+4240c1aa"
    assert engine_version("tetad", "upstream", "training") == "74eda3b60056+6eb7b236"
    assert set(identity.EQUAL) <= {identity.change_digest(model, patch_hash(model)) for model in OF_AUTHORS}

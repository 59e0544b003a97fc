"""Two sets that are nothing like THUMOS14, from annotations to the page (marker `ownset`, minutes). SYNTHETIC."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from tal_repro.cli import main
from tal_repro.runs.store import RunStore
from tests.data.made_up_set import define

pytestmark = [pytest.mark.ownset, pytest.mark.timeout(3600)]


def tal_repro(*words: str) -> str:
    result = CliRunner().invoke(main, list(words))
    assert result.exit_code == 0, (words, result.output)
    return result.output


def shorten(study: Path) -> None:
    """Sweep three shares instead of up to six."""
    text = re.sub(r"^percentages = \[.*?\]", "percentages = [50, 75, 100]", study.read_text(), flags=re.M)
    study.write_text(text)


SETS = {
    "short": ("hdf5", (), {"videos": 45, "channels": 768}, "tadtr,actionformer,tridet,temporalmaxer"),
    "long": (
        "npy",
        ("--set", "fps=25", "--set", "stride_frames=16"),
        {
            "videos": 18, "classes": 40, "seconds": 3600.0, "rate": 25 / 16, "channels": 80,
            "actions": 80, "lasting_s": (8.0, 60.0),
        },
        "tadtr,tridet",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SETS)
def test_from_annotations_to_the_page(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, words, made, models = SETS[name]
    data = define(tmp_path / name, kind, *words, **made)  # type: ignore[arg-type]
    data.write_text(data.read_text().replace('name = "my-data"', f'name = "{name}-set"'))
    monkeypatch.chdir(tmp_path)
    tal_repro("data", "verify", str(data))
    study, results = "s.toml", str(tmp_path / "results")
    new = ["study", "new", "--data", str(data), "--models", models, "--repeats", "1", "--trial", "--device", "cpu"]
    tal_repro(*new, "--out", study)
    shorten(tmp_path / study)
    assert "to do" in tal_repro("plan", "--study", study, "--results", results)
    tal_repro("run", "--study", study, "--results", results, "--jobs", "1")
    assert "0 to do" in tal_repro("plan", "--study", study, "--results", results)
    kinds = {record.spec.experiment for record in RunStore(Path(results)).records()}
    assert kinds == {"baseline", "data_sweep", "macs", "inference", "trace"}
    for number in range(2, 7):
        tal_repro("figure", str(number), "--results", results, "--out", "figures")
        caption = (tmp_path / "figures" / f"figure-{number}.caption.md").read_text(encoding="utf-8")
        if number in (2, 3, 6):
            assert f"Runs are of {name}-set, not of THUMOS14" in caption
        else:
            assert str(made.get("channels")) in caption and "2048" not in caption
    for table in ("1", "2", "energy"):
        tal_repro("table", table, "--results", results)
    assert "The model to take" in tal_repro("advise", "--results", results)
    tal_repro("report", "--results", results, "--out", "page")
    page = html.unescape(re.sub(r"<[^>]+>", " ", (tmp_path / "page" / "index.html").read_text(encoding="utf-8")))
    assert f"{name}-set: mAP and cost against its data" in page
    assert f"Every run with data is of {name}-set, not of THUMOS14: no claim of the paper is judged" in page
    assert f"Training time and mAP on {name}-set, measured here" in page and "TadTR, published" not in page
    verdicts = json.loads(tal_repro("verify", "--results", results, "--json"))
    judged = {claim["verdict_measured"] for claim in verdicts["claims"]}
    assert judged == {"not run"}, "no claim of the paper is judged by another set"

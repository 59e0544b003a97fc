"""Recipes become upstream's own settings: what differs from the default is told, what cannot be told is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from tal_repro.data.layouts import Layout
from tal_repro.engines.upstream import settings
from tal_repro.engines.upstream.adapter import train_pyramid, train_tadtr
from tal_repro.errors import InputError
from tal_repro.models.recipes import TADTR, TRIDET, with_overrides
from tal_repro.models.registry import MODELS

DATA = Layout("actionformer", Path("/data"), Path("/data"))
AUTHORS = {
    "dataset": {"input_dim": 2048, "max_seq_len": 2304, "json_file": "x", "feat_folder": "y"},
    "model": {"embd_dim": 512, "fpn_dim": 512, "n_head": 4},
    "opt": {"epochs": 20, "warmup_epochs": 20, "learning_rate": 0.0001},
    "loader": {"batch_size": 2, "num_workers": 4},
    "test_cfg": {"max_seg_num": 2000},
}


def config(tmp_path: Path, **overrides: object) -> dict[str, dict[str, object]]:
    tree = tmp_path / "tree"
    (tree / "configs").mkdir(parents=True, exist_ok=True)
    (tree / "configs" / "thumos_i3d.yaml").write_text(yaml.safe_dump(AUTHORS))
    recipe = settings.resolved("tridet", dataclasses.asdict(with_overrides(TRIDET, overrides)))
    path = settings.write_config(tree, "tridet", recipe, DATA, 7, tmp_path)  # type: ignore[arg-type]
    found: dict[str, dict[str, object]] = yaml.safe_load(path.read_text())
    return found


def test_the_authors_file_stays_but_for_data_seed_and_epochs(tmp_path: Path) -> None:
    found = config(tmp_path)
    assert found["init_rand_seed"] == 7
    assert found["dataset"] == {
        **AUTHORS["dataset"], "json_file": "/data/annotations/thumos14.json", "feat_folder": "/data/i3d_features"
    }  # fmt: skip
    assert found["opt"] == AUTHORS["opt"]  # 40 epochs of ours are 20 + 20 of warm-up of theirs
    assert {key: found[key] for key in ("model", "loader", "test_cfg")} == {
        key: AUTHORS[key] for key in ("model", "loader", "test_cfg")
    }


def test_what_differs_is_written_over_it(tmp_path: Path) -> None:
    ranges = [[0, 4], [4, 10000]]
    found = config(tmp_path, embed_dim=64, regression_ranges=ranges, epochs=6, warmup_epochs=2, trident_bins=8)
    assert found["model"]["embd_dim"] == found["model"]["fpn_dim"] == 64
    assert found["model"]["regression_range"] == ranges
    assert found["model"]["num_bins"] == 8
    assert (found["opt"]["warmup_epochs"], found["opt"]["epochs"]) == (2, 4)


def test_a_key_below_a_key_is_reached(tmp_path: Path) -> None:
    """TemporalMaxer keeps its radius in its assigner; elsewhere it would be read by nobody."""
    (tmp_path / "configs").mkdir()
    (tmp_path / settings.CONFIG_FILE["temporalmaxer"]).write_text(
        yaml.safe_dump({**AUTHORS, "model": {"assigner": {"center_radius": 1.5, "iou_weight": 2}}})
    )
    recipe = settings.resolved("temporalmaxer", {"center_radius": 2.5})
    path = settings.write_config(tmp_path, "temporalmaxer", recipe, DATA, 7, tmp_path)  # type: ignore[arg-type]
    assert yaml.safe_load(path.read_text())["model"]["assigner"] == {"center_radius": 2.5, "iou_weight": 2}


@pytest.mark.parametrize(
    ("model", "overrides", "named"),
    [
        ("tridet", {"budget": "steps"}, "budget = 'steps'"),
        ("tridet", {"ema_decay": 0.9}, r"ema_decay = 0\.9"),
        ("actionformer", {"trident_bins": 8}, "trident_bins = 8"),
        ("temporalmaxer", {"early_stop": False}, "early_stop = False"),
        ("temporalmaxer", {"drop_path": 0.2}, r"drop_path = 0\.2"),
        ("actionformer", {"max_seq_len": 768}, r"max_seq_len = 768: .* multiple of 576(.|\n)*max_seq_len = 576"),
        ("tridet", {"max_seq_len": 100}, r"max_seq_len = 100: .* multiple of 32(.|\n)*max_seq_len = 96"),
        ("tadtr", {"feature_dim": 64}, "feature_dim = 64"),
        ("tadtr", {"focal_gamma": 1.0}, r"focal_gamma = 1\.0"),
    ],
)
def test_what_upstream_cannot_be_told_is_refused_by_name(model: str, overrides: dict[str, object], named: str) -> None:
    with pytest.raises(InputError, match=named) as caught:
        settings.resolved(model, overrides)
    assert "native engine" in str(caught.value)


def test_tadtr_is_told_by_words(tmp_path: Path) -> None:
    words = settings.tadtr_words(dataclasses.replace(TADTR, epochs=3, actionness=False), tmp_path / "a b")
    told = dict(zip(words[::2], words[1::2], strict=True))
    assert told["epochs"] == "3"
    assert told["act_reg"] == "False"
    assert told["lr_step"] == "[14]"
    assert told["enc_n_points"] == told["dec_n_points"] == "4"
    assert told["output_dir"] == str(tmp_path / "a b")
    assert all(isinstance(word, str) for word in words)


def test_actionformers_mlp_is_what_its_code_builds() -> None:
    assert settings.resolved("actionformer", {"embed_dim": 64, "mlp_dim": 256}).mlp_dim == 256  # type: ignore[union-attr]
    with pytest.raises(InputError, match=r"mlp_dim = 2048(.|\n)*4 times embed_dim(.|\n)*mlp_dim = 256"):
        settings.resolved("actionformer", {"embed_dim": 64})
    with pytest.raises(InputError, match="mlp_dim = 300"):
        settings.resolved("actionformer", {"mlp_dim": 300})


FIELDS = [(model, field.name) for model in settings.CONFIG_FILE for field in dataclasses.fields(MODELS[model].recipe)]
SPECIAL: dict[str, object] = {
    "attention_window": 9,
    "levels": 3,
    "crop_ratio": (0.5, 0.6),
    "regression_ranges": ((0, 8), (8, 16), (16, 32), (32, 64), (64, 128), (128, 10000)),
    "budget": "steps",
}


def handed_over(model: str, recipe: Any, work: Path) -> str:
    """Return all that the authors' scripts of a training are given: their command lines and configuration."""
    work.mkdir()
    tree = work / "tree"
    (tree / "configs").mkdir(parents=True)
    (tree / settings.CONFIG_FILE[model]).write_text(yaml.safe_dump({**AUTHORS, "train_cfg": {}}))
    (tree / "datasets").mkdir()
    (tree / "datasets" / "path.yml").write_text("")
    given = []

    def script(name: str, arguments: list[str], *_: object) -> None:
        given.append([name, *arguments])
        (work / "checkpoints" / "config_run").mkdir(parents=True, exist_ok=True)
        (work / "checkpoints" / "config_run" / "epoch_001.pth.tar").write_text("")

    spec = SimpleNamespace(model=model, seed=1)
    run = SimpleNamespace(spec=spec, device="cpu")
    layout = Layout("tadtr" if model == "tadtr" else "actionformer", work, work)
    job = SimpleNamespace(run=run, recipe=recipe, tree=tree, work=work, layout=layout, chosen={}, train=script)
    job.evaluate = script
    (train_tadtr if model == "tadtr" else train_pyramid)(job)  # type: ignore[arg-type]
    config = work / "config.yaml"
    text = str(given) + (config.read_text() if config.exists() else "")
    return text.replace(str(work), "WORK")


@pytest.mark.parametrize(("model", "field"), FIELDS)
def test_a_field_reaches_the_authors_scripts_or_is_refused(model: str, field: str, tmp_path: Path) -> None:
    default: Any = MODELS[model].recipe
    value = getattr(default, field)
    other: Any = not value if isinstance(value, bool) else value * 2 or 1 if isinstance(value, int) else value
    other = SPECIAL.get(field, value / 2 or 0.3 if isinstance(value, float) else other)
    change = {field: other, **({"mlp_dim": 4096} if (model, field) == ("actionformer", "embed_dim") else {})}
    assert other != value
    try:
        recipe = settings.resolved(model, change)
    except InputError as error:
        assert field in str(error) and error.remedy
        return
    before = handed_over(model, default, tmp_path / "before")
    assert handed_over(model, recipe, tmp_path / "after") != before, f"{model}: {change} reaches nothing"

"""A released checkpoint, evaluated: weights only, the model's own sizes, and published numbers beside it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from click.testing import CliRunner, Result

from tal_repro.cli import main
from tal_repro.data.synthetic import write_synthetic
from tal_repro.data.synthetic_config import SyntheticConfig
from tal_repro.models import build
from tal_repro.paper.released_maps import published_maps

ROOT = Path(__file__).resolve().parents[2]
SIZES: dict[str, Any] = {"embed_dim": 16, "head_dim": 16, "max_seq_len": 256, "pre_nms_topk": 20, "max_detections": 10}
# native -> upstream spelling of TemporalMaxer's parameters, as its authors' checkpoints have them
SPELLING = (
    (r"embed\.(\d)\.conv\.(\w+)", r"backbone.embd.\1.conv.\2"),
    (r"embed\.(\d)\.norm\.(\w+)", r"backbone.embd_norm.\1.\2"),
    (r"encoder\.level_norms\.(\d)\.(\w+)", r"neck.fpn_norms.\1.\2"),
    (r"classifier\.hidden\.(\d)\.conv\.(\w+)", r"cls_head.head.\1.conv.\2"),
    (r"classifier\.hidden\.(\d)\.norm\.(\w+)", r"cls_head.norm.\1.\2"),
    (r"classifier\.output\.(\w+)", r"cls_head.cls_head.conv.\1"),
    (r"regressor\.hidden\.(\d)\.conv\.(\w+)", r"reg_head.head.\1.conv.\2"),
    (r"regressor\.hidden\.(\d)\.norm\.(\w+)", r"reg_head.norm.\1.\2"),
    (r"regressor\.output\.(\w+)", r"reg_head.offset_head.conv.\1"),
    (r"offset_scales\.(\d)", r"reg_head.scale.\1.scale"),
)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("data") / "tiny"
    return write_synthetic(out, SyntheticConfig(2, 20, 16, 20, (20.0, 25.0), difficulty=0.1, seed=4))


def upstream_name(native: str) -> str:
    for pattern, spelling in SPELLING:
        if match := re.fullmatch(pattern, native):
            return match.expand(spelling)
    raise AssertionError(native)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint as upstream writes it: DataParallel names, raw and EMA weights; the EMA counts."""
    torch.manual_seed(0)
    model: Any = build("temporalmaxer", feature_dim=16, num_classes=20, **SIZES)
    ema = {f"module.{upstream_name(name)}": value.detach() for name, value in model.named_parameters()}
    path = tmp_path_factory.mktemp("released") / "epoch_035.pth.tar"
    torch.save(
        {"epoch": 35, "state_dict": {name: 0 * value for name, value in ema.items()}, "state_dict_ema": ema}, path
    )
    return path


def call(checkpoint: Path, data_dir: Path, out: Path, *more: str) -> Result:
    sizes = [word for key, value in SIZES.items() for word in ("--set", f"{key}={value}")]
    words = ["released", "--model", "temporalmaxer", "--checkpoint", str(checkpoint), "--data", str(data_dir)]
    return CliRunner().invoke(main, [*words, "--out", str(out), *sizes, *more])


def test_it_is_scored_under_every_protocol_and_kept(checkpoint: Path, data_dir: Path, tmp_path: Path) -> None:
    answer = call(checkpoint, data_dir, tmp_path, "--json")
    assert answer.exit_code == 0, answer.output
    found = json.loads(answer.stdout)
    jsonschema.validate(found, json.loads((ROOT / "tal_repro/schemas/released.json").read_text()))
    rows = {row["protocol"]: row for row in found["rows"]}
    assert rows["af-212"]["published_map"] == 67.7
    assert rows["opentad-211"]["published_map"] == 68.33
    assert all(row["difference"] is None and row["synthetic"] for row in rows.values())  # made-up data prove nothing
    folders = list((tmp_path / "released" / "temporalmaxer").iterdir())
    assert len(folders) == 1 and (folders[0] / "detections.csv.gz").exists()
    again = call(checkpoint, data_dir, tmp_path)
    assert again.exit_code == 0 and "SYNTHETIC data: not comparable" in again.output
    assert list((tmp_path / "released" / "temporalmaxer").iterdir()) == folders


def test_the_weights_are_what_is_scored(checkpoint: Path, data_dir: Path, tmp_path: Path) -> None:
    changed = torch.load(checkpoint, weights_only=True)
    changed["state_dict_ema"]["module.cls_head.cls_head.conv.bias"] -= 20.0
    torch.save(changed, tmp_path / "silent.pth.tar")
    call(checkpoint, data_dir, tmp_path / "a")
    call(tmp_path / "silent.pth.tar", data_dir, tmp_path / "b")
    sizes = [
        next(folder.glob("released/*/*/detections.csv.gz")).stat().st_size
        for folder in (tmp_path / "a", tmp_path / "b")
    ]
    assert sizes[1] < sizes[0] / 4  # nothing is above the score threshold any more


def test_what_is_not_a_checkpoint_of_the_model_is_refused(checkpoint: Path, data_dir: Path, tmp_path: Path) -> None:
    missing = call(tmp_path / "none.pth", data_dir, tmp_path)
    assert missing.exit_code == 2 and "the README names none" in missing.output
    evil = tmp_path / "evil.pth"
    torch.save({"state_dict": Evil()}, evil)
    refused = call(evil, data_dir, tmp_path)
    assert refused.exit_code == 2 and "refused" in refused.output and not Path("/tmp/tal-repro-was-here").exists()
    other = torch.load(checkpoint, weights_only=True)
    del other["state_dict_ema"]["module.cls_head.cls_head.conv.bias"]
    torch.save(other, tmp_path / "other.pth")
    assert "no weights for 'classifier.output.bias'" in call(tmp_path / "other.pth", data_dir, tmp_path).output
    assert list((tmp_path / "released").glob("*/*")) == []


class Evil:
    def __reduce__(self) -> Any:
        return (Path("/tmp/tal-repro-was-here").touch, ())


def test_published_maps_are_told_by_protocol() -> None:
    assert published_maps("tadtr") == {
        "tadtr-210": (56.7, "README at 983ae14"), "opentad-211": (56.23, "OpenTAD at 3dd7b03")
    }  # fmt: skip
    assert published_maps("no such model") == {}

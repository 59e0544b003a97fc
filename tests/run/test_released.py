"""A released checkpoint, evaluated: weights only, the model's own sizes, and published numbers beside it."""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result

from tal_repro.cli import main
from tal_repro.data.synthetic import write_synthetic
from tal_repro.data.synthetic_config import SyntheticConfig
from tal_repro.models import build
from tal_repro.models.checkpoint_io import read_checkpoint
from tal_repro.paper.released_runs import published_maps

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
    shown = CliRunner().invoke(main, ["show", folders[0].name, "--results", str(tmp_path)])
    assert "repeat it: tal-repro released --model temporalmaxer --engine native --checkpoint FILE" in shown.output
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
    assert missing.exit_code == 2 and "its README names no checkpoint" in missing.output
    evil = tmp_path / "evil.pth"
    torch.save({"state_dict": Evil()}, evil)
    refused = call(evil, data_dir, tmp_path)
    assert refused.exit_code == 2 and "refused" in refused.output and not Path("/tmp/tal-repro-was-here").exists()
    (tmp_path / "cut.pth").write_bytes(checkpoint.read_bytes()[:-2000])
    cut = call(tmp_path / "cut.pth", data_dir, tmp_path)
    assert cut.exit_code == 2 and "not a readable checkpoint" in cut.output
    other = torch.load(checkpoint, weights_only=True)
    del other["state_dict_ema"]["module.cls_head.cls_head.conv.bias"]
    torch.save(other, tmp_path / "other.pth")
    assert "no weights for 'classifier.output.bias'" in call(tmp_path / "other.pth", data_dir, tmp_path).output
    kept = list((tmp_path / "released").glob("*/*"))
    assert {folder.suffix for folder in kept} == {".failed"}, "a refused run leaves its log, and never counts"


@pytest.mark.parametrize(
    ("model", "told"),
    [
        ("tadtr", ("thumos14_i3d2s_tadtr_reference.pth", "sharepoint.com", "--checkpoint results/released/")),
        ("actionformer", ("epoch_034.pth.tar, in thumos_i3d_reproduce/", "drive.google.com/file/d/1isG3bc1d")),
        ("tridet", ("drive.google.com/drive/folders/1eVROG6z", "results/released/tridet.pth.tar")),
        ("temporalmaxer", ("names no checkpoint", "tal-repro train --engine upstream --model temporalmaxer")),
    ],
)
def test_without_a_checkpoint_it_says_what_to_download_and_where_to_put_it(
    model: str, told: tuple[str, ...], tmp_path: Path
) -> None:
    words = ["released", "--model", model, "--checkpoint", str(tmp_path / "none.pth"), "--data", str(tmp_path)]
    answer = CliRunner().invoke(main, words)
    assert answer.exit_code == 2
    assert all(part in answer.output for part in told), answer.output


# What the authors' evaluation scripts do, as far as the kit sees it: load, detect, print, record by its hooks.
EVALUATION = """
import sys, torch
from tal_repro import hooks as tal_hooks
weights = torch.load(sys.argv[2])["state_dict_ema"]
assert all(name.startswith("module.") for name in weights), list(weights)[:3]
print("this is upstream's own chatter", len(weights))
if {fails}: raise ValueError("no mAP today")
tal_hooks.metrics(-1, {{"average_map": 0.0}})
tal_hooks.detections(-1, {{"video_id": {videos!r}, "start_s": [0.0], "end_s": [0.5], "label": [0], "score": [0.5]}})
"""


@pytest.fixture
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return a function that puts a stand-in for TemporalMaxer's prepared tree in place."""
    from tal_repro.engines.upstream import released as engine

    def put(videos: list[str], fails: bool = False) -> None:
        tree = tmp_path / "tree"
        (tree / "configs").mkdir(parents=True)
        sections = "".join(f"{name}: {{}}\n" for name in ("dataset", "model", "opt", "loader", "train_cfg", "test_cfg"))
        (tree / "configs" / "temporalmaxer_thumos_i3d.yaml").write_text(sections)
        (tree / "eval.py").write_text(EVALUATION.format(videos=videos, fails=fails))
        monkeypatch.setattr(engine, "prepare", lambda model: tree)

    return put


def test_the_authors_script_is_given_bare_weights_and_its_print_is_compared(
    checkpoint: Path, data_dir: Path, tmp_path: Path, stand_in: Any
) -> None:
    stand_in(["video_test_0000001"])
    answer = call(checkpoint, data_dir, tmp_path / "runs", "--engine", "upstream", "--json")
    assert answer.exit_code == 0, answer.output
    found = json.loads(answer.stdout)  # what the script prints goes to the log
    assert {row["engine"] for row in found["rows"]} == {"upstream"}
    (folder,) = (tmp_path / "runs" / "released" / "temporalmaxer").iterdir()
    metrics = json.loads((folder / "metrics.json").read_text())
    (own,) = metrics["own_print"]
    assert own["agrees"] and own["upstream_printed_map"] == 0.0
    assert {(row["selection"], row["weights"]) for row in metrics["rows"]} == {("best-on-test", "ema")}
    assert "upstream's own chatter" in (folder / "log.txt").read_text()
    assert json.loads((folder / "system.json").read_text())["machine"]


def test_a_script_that_fails_leaves_its_log_and_no_result(
    checkpoint: Path, data_dir: Path, tmp_path: Path, stand_in: Any
) -> None:
    stand_in([], fails=True)
    answer = call(checkpoint, data_dir, tmp_path / "runs", "--engine", "upstream")
    assert answer.exit_code == 2 and "ValueError: no mAP today" in answer.output and "log.txt" in answer.output
    (folder,) = (tmp_path / "runs" / "released" / "temporalmaxer").iterdir()
    assert folder.suffix == ".failed" and "no mAP today" in (folder / "log.txt").read_text()


def test_what_tadtr_stores_beside_its_weights_is_read_without_running_it(tmp_path: Path) -> None:
    """An EasyDict of settings and numpy's scalars, as its training script pickles them."""
    easydict = pytest.importorskip("easydict", reason="needs the upstream layer: make .venv/.upstream")
    path = tmp_path / "model_best.pth"
    settings = easydict.EasyDict(lr=1e-4, nested=easydict.EasyDict(steps=[14, {"a": 1}]))
    best = {"best_metric": np.float64(0.5678), "epoch": np.int64(7)}
    torch.save({"model": {"w": torch.ones(2)}, "cfg": settings, "args": argparse.Namespace(seed=42), **best}, path)
    content = read_checkpoint(path)
    assert content["cfg"]["nested"]["steps"] == [14, {"a": 1}]
    assert (content["best_metric"], content["epoch"]) == (0.5678, 7)
    assert type(content["cfg"]).__module__ == "collections"


def test_numpy_stand_ins_make_numbers_of_numbers_only(tmp_path: Path) -> None:
    path = tmp_path / "odd.pth"
    torch.save({"model": {}, "text": np.str_("numbers only"), "pair": np.complex128(1j)}, path)
    content = read_checkpoint(path)
    assert content["text"] is None and content["pair"] is None
    torch.save({"model": {}, "cut": CutNumber()}, path)
    assert read_checkpoint(path)["cut"] is None


class CutNumber:
    """Pickled as a numpy float of one byte."""

    def __reduce__(self) -> Any:
        return np.float64(0).__reduce__()[0], (np.dtype("f8"), b"\1")


class Evil:
    def __reduce__(self) -> Any:
        return (Path("/tmp/tal-repro-was-here").touch, ())


def test_published_maps_are_told_by_protocol() -> None:
    assert published_maps("tadtr") == {
        "tadtr-210": (56.7, "README at 983ae14"), "opentad-211": (56.23, "OpenTAD at 3dd7b03")
    }  # fmt: skip
    assert published_maps("no such model") == {}

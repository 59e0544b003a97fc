"""What the description file of a model beyond the four may hold, on stand-ins: each part is checked at the door."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from tal_repro import hooks
from tal_repro.data.layouts import Layout
from tal_repro.engines.added import dyfadet, tetad
from tal_repro.engines.upstream import process, scores, shims
from tal_repro.engines.upstream.added import AddedAdapter
from tal_repro.engines.upstream.description import check_description, small_recipe
from tal_repro.engines.upstream.job import Job
from tal_repro.errors import InputError
from tal_repro.models.registry import model_entry


@dataclass(frozen=True)
class Recipe:
    feature_dim: int = 4
    num_classes: int = 2
    epochs: int = 3
    batch_size: int = 1


def a_shim() -> None:
    """A library that is gone."""


def described(**changes: Any) -> SimpleNamespace:
    values: dict[str, Any] = {
        "__file__": "mine.py", "RECIPE": Recipe(), "LAYOUT": "tadtr", "PROTOCOL": "tadtr-210", "SHIMS": (),
        "train": print, "build": print,
    }  # fmt: skip
    return SimpleNamespace(**values | changes)


def test_all_that_may_be_brought_is_taken() -> None:
    whole = described(
        OWN_SHIMS=(a_shim,), ENVIRONMENT={"MY_MODE": "fast"}, SELECTION="last", WEIGHTS="raw",
        SMALL={"epochs": 1}, lay_out=print, evaluate=print, PUBLISHED={"af-212": (69.2, "README")},
    )  # fmt: skip
    check_description(whole)
    assert small_recipe(whole) == {"epochs": 1} and small_recipe(described()) == {"epochs": 2}
    assert [(shim.name, shim.reason) for shim in shims.own(whole, "mine")] == [("a_shim", "A library that is gone")]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"OWN_SHIMS": (lambda: None,)}, "docstrings say the reason"),
        ({"OWN_SHIMS": (a_shim, a_shim)}, "there twice"),
        ({"ENVIRONMENT": {"TAL_REPRO_EVENTS": "x"}}, "the kit's to set"),
        ({"ENVIRONMENT": {"LD_PRELOAD": "x"}}, "the kit's to set"),
        ({"ENVIRONMENT": {"RANK": "0"}}, "the kit's to set\n.*what torchrun sets gets it from OWN_SHIMS"),
        ({"ENVIRONMENT": {"A": 1}}, "ENVIRONMENT: 'A' = 1"),
        ({"ENVIRONMENT": {"a b": "x"}}, "use NAMES like this"),
        ({"SELECTION": "first"}, "use one of: last, best-on-test"),
        ({"WEIGHTS": "both"}, "use one of: ema, raw"),
        ({"SMALL": {"epoch": 1}}, "SMALL"),
        ({"lay_out": "x"}, "no function 'lay_out'"),
        ({"evaluate": "x"}, "no function 'evaluate'"),
        ({"REPEATS": 0}, "REPEATS = 0"),
        ({"STOPS_EARLY": 1}, "STOPS_EARLY = 1"),
        ({"PUBLISHED": {"af-212": 69.2}}, "PUBLISHED"),
        ({"PUBLISHED": {"thumos": (69.2, "README")}}, "protocols are af-212"),
        ({"PUBLISHED": {"af-212": (0.0, "README")}}, "mAP in percent"),
    ],
)
def test_a_wrong_part_is_refused_by_name(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        check_description(described(**changes))
    assert "mine.py" in str(caught.value) and caught.value.remedy


@pytest.mark.parametrize("description", [dyfadet, tetad])
def test_the_shipped_ones_pass(description: Any) -> None:
    check_description(description)
    entry = model_entry(description.__name__.rpartition(".")[2])
    assert (entry.reported.selection, entry.reported.weights) == ("best-on-test", "ema")
    assert entry.engines == ("upstream",)


def test_every_field_of_dyfadets_recipe_reaches_its_script(tmp_path: Path) -> None:
    import yaml

    (tmp_path / "configs").mkdir()
    sections = ("dataset", "model", "opt", "loader", "train_cfg", "test_cfg")
    (tmp_path / dyfadet.CONFIG).write_text(yaml.safe_dump({section: {} for section in sections}))

    def handed_over(**changes: Any) -> str:
        work = tmp_path / str(len(list(tmp_path.iterdir())))
        work.mkdir()
        run: Any = SimpleNamespace(spec=SimpleNamespace(seed=1))
        layout = Layout("actionformer", tmp_path, tmp_path)
        job = Job(run, dyfadet.Recipe(**changes), tmp_path, layout, work)
        vars(job)["train"] = lambda *words: None
        dyfadet.train(job)
        text = (work / "config.yaml").read_text(encoding="utf-8").replace(str(work), "")
        return text + job.environment[hooks.SETTINGS_VARIABLE]

    _every_field_changes(handed_over, dyfadet.Recipe())


def test_every_field_of_tetads_recipe_reaches_its_script() -> None:
    layout = SimpleNamespace(feature_folder=Path("features"))

    def handed_over(**changes: Any) -> str:
        recipe, given = tetad.Recipe(**changes), []
        run = SimpleNamespace(spec=SimpleNamespace(seed=1), device="cpu")
        job: Any = SimpleNamespace(run=run, recipe=recipe, tree=Path("tree"), work=Path("work"), layout=layout)
        job.train = lambda *words: given.append(words)
        tetad.train(job)
        return str(given)

    _every_field_changes(handed_over, tetad.Recipe())


def _every_field_changes(written: Callable[..., str], default: Any) -> None:
    for field, value in vars(default).items():
        assert written(**{field: value * 2}) != written(), field


def test_tetads_files_hold_its_subset_names_and_lengths(tmp_path: Path) -> None:
    videos = {"a": {"subset": "Validation", "fps": 30.0}, "b": {"subset": "Test", "fps": 25.0}, "c": {"subset": "Test"}}
    (tmp_path / "thumos14.json").write_text(json.dumps({"database": videos}))
    for name, steps in (("a", 7), ("b", 9)):
        np.save(tmp_path / f"{name}.npy", np.zeros((steps, 2), np.float32))
    layout: Any = SimpleNamespace(
        annotation_file=tmp_path / "thumos14.json", feature_file=lambda name: tmp_path / f"{name}.npy"
    )
    tetad.lay_out(layout, tmp_path)
    kept = json.loads((tmp_path / "annotations.json").read_text())["database"]
    assert {name: video["subset"] for name, video in kept.items()} == {"a": "val", "b": "test"}
    steps = json.loads((tmp_path / "features.json").read_text())
    assert steps["b"] == {"feature_length": 9, "fps": 25.0, "base_frames": 16, "stride": 4}


def test_tetads_stand_ins_do_what_its_configuration_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("addict", "yapf", "yapf.yapflib", "yapf.yapflib.yapf_api"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    before = set(sys.modules)
    tetad.addict_stand_in()
    tetad.yapf_stand_in()
    Dict: Any = vars(sys.modules["addict"])["Dict"]
    made = Dict({"a": {"b": 1}})
    assert made.a.b == 1 and type(made.copy()) is Dict and made.to_dict() == {"a": {"b": 1}}
    assert vars(sys.modules["yapf.yapflib.yapf_api"])["FormatCode"]("x = 1", verify=True) == ("x = 1", False)
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_two_weight_sets_of_an_epoch_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tal_repro.engines.upstream.process import read_events

    events = tmp_path / "events.jsonl"
    monkeypatch.setenv(hooks.EVENTS_VARIABLE, str(events))
    monkeypatch.setenv(hooks.DETECTIONS_VARIABLE, str(tmp_path))
    hooks.reset()
    columns: dict[str, list[Any]] = {"video_id": ["v"], "start_s": [0.0], "end_s": [1.0], "label": [0], "score": [0.5]}
    for weights, value in (("raw", 0.2), ("ema", 0.3)):
        hooks.metrics(4, {"average_map": value}, weights)
        hooks.detections(4, columns, weights)
    hooks.reset()
    found = scores.evaluations(read_events(events), tmp_path, "raw")
    assert [(one.epoch, one.weights, one.printed_map, one.detections.name) for one in found] == [
        (4, "raw", 0.2, "epoch_0004-raw.csv"), (4, "ema", 0.3, "epoch_0004-ema.csv"),
    ]  # fmt: skip


def test_its_variables_and_its_own_layout_reach_its_scripts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def launch(
        run: Any, tree: Path, script: str, words: Any, work: Path, variables: Any, *rest: Any, **log: Any
    ) -> float:
        seen.append((script, variables["MY_MODE"], (work / "own.json").read_text()))
        return 1.0

    def train(job: Job) -> None:
        job.train("train.py", [], "raw")
        with pytest.raises(InputError, match=r"eval\.py recorded no evaluation"):
            job.evaluate("eval.py", [], "ema")

    monkeypatch.setattr(process, "launch", launch)
    adapter = AddedAdapter("tetad")
    adapter.description = described(
        ENVIRONMENT={"MY_MODE": "fast"},
        lay_out=lambda layout, out: (out / "own.json").write_text(layout.name),
        train=train,
    )
    paths = SimpleNamespace(events=tmp_path / "events.jsonl")
    run: Any = SimpleNamespace(record=SimpleNamespace(paths=paths))
    job = Job(run, Recipe(), tmp_path, Layout("tadtr", tmp_path, tmp_path), tmp_path)
    with pytest.raises(InputError, match="no evaluation was recorded"):
        adapter.run_scripts(job)
    assert seen == [("train.py", "fast", "tadtr"), ("eval.py", "fast", "tadtr")]

"""The command that makes a run again, into another folder: of its study, of `train`, of `released` or of `bench`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from tal_repro.runs.folder import FILE_NAMES
from tal_repro.spec import RunSpec

OUT = "OTHER_FOLDER"  # for the reader to fill in, like DIR and FILE
OF_DATA = ("feature_dim", "num_classes")  # hyper-parameters that `train` reads off the data


def repeat_command(spec: RunSpec, status: Mapping[str, Any]) -> str:
    """Return the command line, with placeholders in capitals where a folder of the reader's is meant."""
    if spec.experiment == "released":
        words = ["released", "--model", spec.model, "--engine", spec.engine, "--checkpoint", "FILE", "--data", "DIR"]
        return _joined([*words, "--out", OUT])
    if spec.experiment == "training":
        return _training(spec)
    if not status.get("study") and spec.feature_lengths:
        return _timing(spec)
    words = ["run", "--study", str(status.get("study") or "FILE"), "--scope", "every-percent"]
    settings = status.get("settings", [])
    words += [word for setting in (settings if isinstance(settings, list) else []) for word in ("--set", str(setting))]
    return _joined([*words, "--only", f"id={spec.run_id}", *_data(spec), "--results", OUT])


def _training(spec: RunSpec) -> str:
    words = ["train", "--model", spec.model, "--engine", spec.engine, "--seed", str(spec.seed), *_data(spec)]
    words += _share(spec)
    for name, value in _changed_recipe(spec).items():
        words += ["--set", f"{name}={setting_value(value)}"]
    words += ["--precision", spec.precision] if spec.precision != "fp32" else []
    words += ["--trace"] if "interval_s" in spec.options else []
    return _joined([*words, "--out", OUT], spec.threads)


def _share(spec: RunSpec) -> list[str]:
    """Say which training units: a percentage that `train` draws itself, or those that the run has kept."""
    from tal_repro.models.registry import model_entry

    drawn = spec.subset
    if drawn is None:
        return []
    if (drawn.unit, drawn.policy, drawn.seed) != (model_entry(spec.model).unit, "uniform", spec.seed):
        return ["--subset", f"FOLDER/{FILE_NAMES['subset']}"]
    return [] if drawn.percent == 100 else ["--percent", repr(drawn.percent)]


def _timing(spec: RunSpec) -> str:
    words = ["bench", "inference", "--engine", spec.engine, "--lengths", ",".join(map(str, spec.feature_lengths))]
    for model in spec.options.get("interleaved", [spec.model]):
        words += ["--model", model]
    words += ["--include", str(spec.options["include"])] if "include" in spec.options else []
    return _joined([*words, "--device", spec.device_kind, "--results", OUT], spec.threads)


def _data(spec: RunSpec) -> list[str]:
    """Say where the data goes; a study's own synthetic set is made on the spot."""
    made = spec.data is not None and spec.data.synthetic and spec.data.version.startswith("synthesis-")
    return [] if spec.data is None or made else ["--data", "DIR"]


def _changed_recipe(spec: RunSpec) -> dict[str, Any]:
    from tal_repro.study import resolve_recipe

    own = resolve_recipe(spec.model, spec.engine, {})
    return {name: value for name, value in spec.recipe.items() if name not in OF_DATA and _plain(own[name]) != value}


def _plain(value: Any) -> Any:
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def setting_value(value: Any) -> str:
    """Return a hyper-parameter as `--set NAME=VALUE` takes it."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"[{', '.join(map(setting_value, value))}]" if isinstance(value, list | tuple) else str(value)


def _joined(words: list[str], threads: int | None = None) -> str:
    prefix = "" if threads is None else f"OMP_NUM_THREADS={threads} "
    return prefix + shlex.join(["tal-repro", *words])

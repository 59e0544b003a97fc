"""`tal-repro released`: the authors' checkpoint, evaluated here, beside the mAP they print."""

from __future__ import annotations

import json
from pathlib import Path

import click

from tal_repro.commands.study_options import RESULTS
from tal_repro.console import echo, emit, tell_next
from tal_repro.models.registry import MODELS

SCHEMA = "tal-repro/released/1"


@click.command()
@click.option(
    "--model", type=click.Choice(list(MODELS)), metavar="MODEL", required=True, help=f"One of {', '.join(MODELS)}."
)
@click.option(
    "--checkpoint", type=click.Path(path_type=Path), required=True, help="The authors' file (docs/upstream.md)."
)
@click.option("--data", "data_dir", type=click.Path(path_type=Path), required=True, help="Folder of THUMOS14.")
@click.option("--engine", type=click.Choice(["native", "upstream"]), default="native", show_default=True)
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="A hyper-parameter it was made with.")
@click.option("--out", type=click.Path(path_type=Path), default=Path(RESULTS), show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON (schemas/released.json) alone.")
def released(
    model: str,
    checkpoint: Path,
    data_dir: Path,
    engine: str,
    settings: tuple[str, ...],
    out: Path,
    as_json: bool,
) -> None:
    """Evaluate a released checkpoint and compare it with the published mAP. No training: minutes."""
    from tal_repro.commands.train import read_settings
    from tal_repro.paper.released_runs import published_maps
    from tal_repro.run.released import evaluate_released
    from tal_repro.run.training import has_cuda

    device = "cuda:0" if has_cuda() else "cpu"
    rows = evaluate_released(
        model, checkpoint, data_dir, engine, read_settings(settings), out, device, published_maps(model)
    )
    if as_json:
        emit(json.dumps({"schema": SCHEMA, "rows": rows}, allow_nan=False))
        return
    for row in rows:
        if row["average_map"] is None:
            continue
        made_up = " (SYNTHETIC data: not comparable)" if row["synthetic"] else ""
        text = f"{row['model']}, {row['engine']} engine, {row['protocol']}: "
        text += f"average mAP {row['average_map']:.2f} %{made_up}"
        if row["published_map"] is not None:
            text += f", published {row['published_map']:.2f} % ({row['source']})"
        if row["difference"] is not None:
            text += f", difference {row['difference']:+.2f}"
        echo(text)
    tell_next(f"tal-repro verify --results {out}  # beside the published mAPs")

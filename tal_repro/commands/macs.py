"""`tal-repro macs`: multiply-accumulates of a model at input lengths, for comparison with published counts."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from tal_repro.console import echo, emit, tell_next
from tal_repro.errors import InputError
from tal_repro.text_table import table

if TYPE_CHECKING:
    from tal_repro.measure.macs import MacCount
    from tal_repro.models.registry import ModelEntry

GIGA = 1e9


@click.command()
@click.option("--model", "models", multiple=True, help="Model to count; repeatable. [default: all four]")
@click.option("--length", "lengths", type=int, multiple=True, help="Feature steps; repeatable. [default: 1000]")
@click.option("--max-seq-len", type=int, help="Pad shorter inputs to this (published counts: 576). [default: 2304]")
@click.option("--actionness/--no-actionness", default=True, show_default=True, help="TadTR's actionness branch.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON (schemas/macs.json) alone.")
def macs(
    models: tuple[str, ...], lengths: tuple[int, ...], max_seq_len: int | None, actionness: bool, as_json: bool
) -> None:
    """Count multiply-accumulates (MACs) of inference, by fvcore, for an input of LENGTH feature steps.

    Counts upstream's algorithm (what published numbers count) and this kit's own. TadTR pads nothing. --json prints
    one object for one model and one length, otherwise a list.
    """
    from tal_repro.measure.macs import uncounted
    from tal_repro.models.registry import OF_STUDY, model_entry

    for model in models:
        _check_padding(model_entry(model), max_seq_len)
    rows = []
    for model in models or OF_STUDY:
        for length in lengths or (1000,):
            echo(f"counting {model} at {length} feature steps", err=True)
            rows.append(_count(model, length, max_seq_len, actionness))
            if warning := uncounted(rows[-1][0].unsupported_ops):
                echo(f"warning: {model}: {warning}", err=True)
    if as_json:
        payload = [_as_json(*row) for row in rows]
        emit(json.dumps(payload[0] if len(payload) == 1 else payload, indent=2))
        return
    echo("\n".join(_table(rows)))
    echo("Not counted by fvcore: " + ", ".join(sorted({name for u, _ in rows for name in u.unsupported_ops})))
    tell_next("tal-repro figure 5  # draws the published counts", "the same with --json > FILE keeps it")


def _check_padding(entry: ModelEntry, max_seq_len: int | None) -> None:
    if max_seq_len is not None and getattr(entry.recipe, "padded_to", None) is None:
        remedy = "leave it out, or choose other models with --model"
        raise InputError(f"--max-seq-len means nothing to {entry.name}, whose input is not padded to it", remedy=remedy)


def _count(model: str, length: int, max_seq_len: int | None, actionness: bool) -> tuple[MacCount, MacCount | None]:
    """Return the count in upstream's form and in native form (None: the model has no native engine)."""
    from tal_repro.engines.registry import engines_of
    from tal_repro.measure.macs import count_macs

    if "native" not in engines_of(model):
        return _count_authors_code(model, length), None
    options: dict[str, Any] = {} if model != "tadtr" else {"actionness": actionness}
    return (
        count_macs(model, length, max_seq_len, upstream_form=True, **options),
        count_macs(model, length, max_seq_len, upstream_form=False, **options),
    )


def _count_authors_code(model: str, length: int) -> MacCount:
    """Count a model that was added, by its authors' own code."""
    from tal_repro.engines.macs_process import count_apart
    from tal_repro.measure.macs import MacCount

    counted: dict[str, Any] = count_apart(model, "upstream", length)
    padded, unsupported = counted["padded_length"], counted["unsupported_ops"]
    return MacCount(model, length, padded, None, counted["macs"], counted["by_operator"], unsupported)


def _as_json(upstream: MacCount, native: MacCount | None) -> dict[str, Any]:
    return {
        "schema": "tal-repro/macs/1",
        "model": upstream.model,
        "feature_length": upstream.feature_length,
        "padded_length": upstream.padded_length,
        "max_seq_len": upstream.max_seq_len,
        "macs": upstream.macs,
        "by_operator": upstream.by_operator,
        "unsupported_ops": upstream.unsupported_ops,
        "native_macs": native.macs if native else None,
        "native_by_operator": native.by_operator if native else {},
    }


def _table(rows: list[tuple[MacCount, MacCount | None]]) -> list[str]:
    return table(
        {
            "model": [upstream.model for upstream, _ in rows],
            "length (steps)": [upstream.feature_length for upstream, _ in rows],
            "padded (steps)": [upstream.padded_length for upstream, _ in rows],
            "upstream (GMACs)": [f"{upstream.macs / GIGA:.9f}" for upstream, _ in rows],
            "native (GMACs)": [f"{native.macs / GIGA:.9f}" if native else "-" for _, native in rows],
        }
    )

"""`tal-repro data`: make a synthetic data set, check one, pack its features (fetching: data_fetch)."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Any

import click

from tal_repro.commands.data_describe import describe
from tal_repro.commands.data_fetch import derive_tadtr, fetch, fetch_checkpoint
from tal_repro.commands.data_verify import counted, progress_of, verify_folder
from tal_repro.console import echo, emit, tell_next
from tal_repro.errors import InputError

if TYPE_CHECKING:
    pass

PACK_SCHEMA = "tal-repro/data-pack/1"
LAYOUTS = ["actionformer", "tadtr"]


@click.group()
def data() -> None:
    """Make, check, pack or fetch a data set."""


data.add_command(describe)
data.add_command(fetch)
data.add_command(fetch_checkpoint)
data.add_command(derive_tadtr)


@data.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="New or empty folder.")
@click.option("--videos", default=200, show_default=True, help="Training videos.")
@click.option("--test", default=212, show_default=True, help="Test videos (one more holds only Ambiguous segments).")
@click.option("--feature-dim", default=2048, show_default=True, help="Channels of a feature.")
@click.option("--difficulty", default=0.5, show_default=True, help="0: nearly noise-free, 1: hardly learnable.")
@click.option("--seed", default=0, show_default=True, help="Same seed, same data.")
@click.option(
    "--layout",
    type=click.Choice(["both", *LAYOUTS, "annotations"]),
    default="both",
    show_default=True,
    help="annotations: both layouts without features.",
)
@click.option("--set", "more", multiple=True, metavar="KEY=VALUE", help="classes=1..20, seconds=SHORTEST-LONGEST.")
def synth(out: Path, layout: str, more: tuple[str, ...], **settings: Any) -> None:
    """Make a synthetic THUMOS14: the real one's statistics, invented content, any size."""
    from tal_repro.data.summary import dataset_summary
    from tal_repro.data.synthetic import write_synthetic
    from tal_repro.data.synthetic_config import synthetic_config

    config = synthetic_config({**settings, **dict(map(_setting, more))}, "data synth")
    started = time.monotonic()
    root = write_synthetic(out, config, layout, progress_of("videos"))  # type: ignore[arg-type]
    summary = dataset_summary(root)
    echo(f"synthetic data set in {root} ({summary['bytes'] / 2**20:.0f} MiB, {time.monotonic() - started:.1f} s)")
    for subset in ("train", "test"):
        echo(f"  {subset}: {counted(summary[subset])}, {summary[subset]['hours']:.2f} hours")
    echo(f"  {summary['training_slices']} TadTR training slices; annotations {summary['annotation_hash'][:16]}")
    tell_next(f"tal-repro data verify {quote(str(root))}", f"tal-repro train --model tadtr --data {quote(str(root))}")


@data.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--layout", type=click.Choice(LAYOUTS), help="Check only this layout.")
@click.option("--no-fingerprint", is_flag=True, help="Do not write fingerprint.json.")
@click.option("--manifest", type=click.Path(path_type=Path, dir_okay=False), help="Write every file's SHA-256 here.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def verify(folder: Path, layout: str | None, no_fingerprint: bool, manifest: Path | None, as_json: bool) -> None:
    """Check a data set file by file and write its fingerprint. Exits 1 where something is wrong."""
    sys.exit(verify_folder(folder, layout, no_fingerprint, as_json, manifest))


@data.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--layout", type=click.Choice(["auto", *LAYOUTS]), default="auto", show_default=True, help="auto: the one there is."
)
@click.option(
    "--dtype", type=click.Choice(["float32", "float16"]), default="float32", show_default=True,
    help="float16 halves the file and rounds the features.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print a summary as JSON.")
def pack(folder: Path, layout: str, dtype: str, as_json: bool) -> None:
    """Pack the features into one memory-mapped file, so that a slice loads without its video."""
    from tal_repro.data.pack import pack_features
    from tal_repro.data.store import FeatureStore

    index = pack_features(folder, layout, dtype, progress_of("videos"))  # type: ignore[arg-type]
    store = FeatureStore.open(index)
    _warn_of_absent(folder, layout)
    steps = sum(store.length(video_id) for video_id in store.video_ids)
    content = {"index": str(index), "dtype": dtype, "videos": len(store.video_ids), "steps": steps, "dim": store.dim}
    if as_json:
        emit(json.dumps({"schema": PACK_SCHEMA, **content}, indent=1))
    else:
        echo(f"{content['videos']} videos, {steps} x {store.dim} {dtype} packed; index: {index}")
        tell_next("trainings on this folder read the pack by themselves (float32)")


def _warn_of_absent(folder: Path, layout: str) -> None:
    """Say which annotated videos a pack lacks: a training would name them, but much later."""
    from tal_repro.data import load_dataset

    try:
        dataset = load_dataset(folder, layout)  # type: ignore[arg-type]
    except InputError:
        return  # annotations that cannot be read are for `data verify` to tell; the features are packed all the same
    absent = [video.id for video in dataset.videos.values() if not video.has_features]
    if absent:
        echo(
            f"warning: {len(absent)} annotated videos have no feature file, the first: {absent[0]} "
            f"(list them: tal-repro data verify {folder})",
            err=True,
        )


def _setting(text: str) -> tuple[str, Any]:
    """Read one `--set`: classes=10 or seconds=30-70."""
    key, _, value = text.partition("=")
    try:
        if key == "classes":
            return key, int(value)
        if key == "seconds":
            return key, [float(bound) for bound in value.split("-")]
    except ValueError:
        pass
    raise InputError(f"{text!r}", "--set", "use classes=10 or seconds=30-70")

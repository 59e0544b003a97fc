"""`tal-repro data`: make a synthetic data set, check one, pack its features (fetching: data_fetch)."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tal_repro.commands.data_fetch import derive_tadtr, fetch, fetch_checkpoint
from tal_repro.errors import InputError

if TYPE_CHECKING:
    from tal_repro.data.verify import LayoutReport

VERIFY_SCHEMA, PACK_SCHEMA = "tal-repro/data-verify/1", "tal-repro/data-pack/1"
LAYOUTS = ["actionformer", "tadtr"]


@click.group()
def data() -> None:
    """Make, check, pack or fetch a data set."""


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
    root = write_synthetic(out, config, layout, _progress("videos"))  # type: ignore[arg-type]
    summary = dataset_summary(root)
    click.echo(f"synthetic data set in {root} ({summary['bytes'] / 2**20:.0f} MiB, {time.monotonic() - started:.1f} s)")
    for subset in ("train", "test"):
        click.echo(f"  {subset}: {_counted(summary[subset])}, {summary[subset]['hours']:.2f} hours")
    click.echo(f"  {summary['training_slices']} TadTR training slices; annotations {summary['annotation_hash'][:16]}")


@data.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--layout", type=click.Choice(LAYOUTS), help="Check only this layout.")
@click.option("--no-fingerprint", is_flag=True, help="Do not write fingerprint.json.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def verify(folder: Path, layout: str | None, no_fingerprint: bool, as_json: bool) -> None:
    """Check a data set file by file and write its fingerprint. Exits 1 where something is wrong."""
    sys.exit(verify_folder(folder, layout, no_fingerprint, as_json))


def verify_folder(folder: Path, layout: str | None, no_fingerprint: bool = False, as_json: bool = False) -> int:
    """Check a data folder, print the report, write its fingerprint; return the exit code."""
    from tal_repro.data.fingerprint import write_fingerprints
    from tal_repro.data.verify import verify as verify_layouts

    reports = verify_layouts(folder, layout, _progress("feature files"))  # type: ignore[arg-type]
    errors = sum(report.errors for report in reports)
    if as_json:
        content = {"root": str(folder), "errors": errors, "layouts": [report.to_json() for report in reports]}
        click.echo(json.dumps({"schema": VERIFY_SCHEMA, **content}, indent=1))
    else:
        for report in reports:
            _print_report(report)
    good = [(report.dataset, report.fingerprint) for report in reports if report.dataset and report.fingerprint]
    if errors:
        click.echo(f"{errors} errors; no fingerprint written", err=True)
    elif good and not no_fingerprint:
        try:
            written = write_fingerprints(folder, good[0][0], [fingerprint for _, fingerprint in good])
            click.echo(f"fingerprint written to {written}", err=True)
        except InputError as error:  # of a read-only data folder, as in containers: the data are sound all the same
            click.echo(f"warning: {error.where}: {error.what}; the check itself is done", err=True)
    return 1 if errors else 0


@data.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--layout", type=click.Choice(["auto", *LAYOUTS]), default="auto", show_default=True)
@click.option("--dtype", type=click.Choice(["float32", "float16"]), default="float32", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print a summary as JSON.")
def pack(folder: Path, layout: str, dtype: str, as_json: bool) -> None:
    """Pack the features into one memory-mapped file, so that a slice loads without its video."""
    from tal_repro.data.pack import pack_features
    from tal_repro.data.store import FeatureStore

    index = pack_features(folder, layout, dtype, _progress("videos"))  # type: ignore[arg-type]
    store = FeatureStore.open(index)
    steps = sum(store.length(video_id) for video_id in store.video_ids)
    content = {"index": str(index), "dtype": dtype, "videos": len(store.video_ids), "steps": steps, "dim": store.dim}
    if as_json:
        click.echo(json.dumps({"schema": PACK_SCHEMA, **content}, indent=1))
    else:
        click.echo(f"{content['videos']} videos, {steps} x {store.dim} {dtype} packed; index: {index}")


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


def _counted(counts: dict[str, int]) -> str:
    return f"{counts['videos']} videos with {counts['instances']} actions"


def _print_report(report: LayoutReport) -> None:
    content = report.to_json()
    kind = "synthetic, " if content["synthetic"] else ""
    click.echo(f"{report.layout.name} layout ({kind}{report.layout.folder})")
    click.echo(f"  train: {_counted(content['train'])}; test: {_counted(content['test'])}")
    click.echo(f"  {report.feature_files} feature files, {report.feature_bytes / 2**20:.0f} MiB")
    for problem in report.problems:
        click.echo(f"  {problem.severity}: {problem.where}: {problem.what} [{problem.remedy}]")
        if problem.severity == "error":
            click.echo(f"    in {problem.file}")
    if content["fingerprint"]:
        click.echo(f"  annotations {content['annotation_hash'][:16]}, fingerprint {content['fingerprint'][:16]}")


def _progress(noun: str) -> Callable[[int, int], None]:
    """Report progress on standard error: a line rewritten on a terminal, a line a quarter when piped."""
    started = time.monotonic()
    terminal = sys.stderr.isatty()

    def report(done: int, total: int) -> None:
        quarter = max(total // 4, 1)
        if not terminal and done % quarter and done != total:
            return
        rate = done / max(time.monotonic() - started, 1e-9)
        line = f"{done}/{total} {noun}, {rate:.1f}/s, {(total - done) / rate:.0f} s left"
        click.echo(f"\r\033[K{line}" if terminal else line, err=True, nl=not terminal or done == total)

    return report

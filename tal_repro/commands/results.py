"""`tal-repro results export|import`: finished runs as one checked archive."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from tal_repro.commands.study_options import only_option, results_option
from tal_repro.console import echo


@click.group()
def results() -> None:
    """Carry finished runs between machines."""


@results.command("export")
@click.argument("archive", type=click.Path(dir_okay=False, path_type=Path))
@results_option
@only_option
@click.option("--with-host", is_flag=True, help="Keep names of host and user and absolute paths in it.")
def export_archive(archive: Path, results: str, only: str, with_host: bool) -> None:
    """Write finished runs into ARCHIVE (.tar.gz)."""
    from tal_repro.run.archive import export_runs
    from tal_repro.run.selection import parse_filter
    from tal_repro.runs.store import RunStore

    terms = parse_filter(only)
    ids = export_runs(RunStore(results), archive, lambda spec: all(term.holds(spec) for term in terms), with_host)
    echo(f"{len(ids)} runs written to {archive}", err=True)


@results.command("import")
@click.argument("archive", type=click.Path(dir_okay=False, path_type=Path))
@results_option
def import_archive(archive: Path, results: str) -> None:
    """Check ARCHIVE and add its runs, also for damaged ones; a bad archive adds nothing."""
    from tal_repro.run.archive import import_runs
    from tal_repro.runs.store import RunStore

    imported = import_runs(RunStore(results), archive)
    for run_id, wrong in imported.damaged.items():
        echo(f"damaged, set aside and replaced: {run_id} ({wrong})", err=True)
    echo(f"{len(imported.added)} runs added, {len(imported.present)} were here already", err=True)
    if imported.busy:
        echo(f"left out, a runner is at them: {', '.join(imported.busy)}; import again when it is done", err=True)
        sys.exit(1)

"""`tal-repro results export|import|table`: finished runs as one checked archive, or all their metrics as one table."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from tal_repro.commands.study_options import only_option, results_option
from tal_repro.commands.table import writable
from tal_repro.console import echo, emit, tell_next


@click.group()
def results() -> None:
    """Carry finished runs between machines, and their metrics to other programs."""


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
    echo(f"{counted_runs(len(ids))} written to {archive}", err=True)
    tell_next(f"tal-repro results import {archive.name} --results DIR  # on the other machine")


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
    echo(f"{counted_runs(len(imported.added))} added to {results}, {len(imported.present)} were here already", err=True)
    tell_next(f"tal-repro verify --results {results}")
    if imported.busy:
        echo(f"left out, a runner is at them: {', '.join(imported.busy)}; import again when it is done", err=True)
        sys.exit(1)


@results.command("table")
@click.option("--format", "kind", type=click.Choice(["csv", "json"]), default="csv", show_default=True)
@click.option("--out", metavar="FILE", help="Write to FILE instead of standard output.")
@results_option
@only_option
def long_table(kind: str, out: str | None, results: str, only: str) -> None:
    """Print every metric of every finished run, a row each, with what identifies the run.

    Columns: planned_id, folder, data_digest, study, experiment, model, engine, seed, share_percent, unit, metric,
    value, metric_unit. Exit status: 1 when damaged runs were left out.
    """
    from tal_repro.files import open_whole
    from tal_repro.run.selection import parse_filter
    from tal_repro.runs.long_form import LongForm

    terms = parse_filter(only)
    rows = LongForm(Path(results), lambda spec: all(term.holds(spec) for term in terms))
    if out is None:
        for part in rows.text(kind):
            emit(part, nl=False)
    else:
        with open_whole(writable(Path(out))) as stream:
            for part in rows.text(kind):
                stream.write(part.encode())
    for problem in rows.problems:
        echo(f"warning: {problem}", err=True)
    where = f"written to {out}" if out else "printed"
    file = repr(out or "FILE")
    reader = f"read_csv({file})" if kind == "csv" else f'DataFrame(json.load(open({file}))["rows"])'
    echo(f"{rows.count} metrics of {counted_runs(rows.runs)} {where}", err=True)
    tell_next(f"in Python: pandas.{reader}")
    if rows.problems:
        sys.exit(1)


def counted_runs(count: int) -> str:
    """Return "1 run", "2 runs"."""
    return f"{count} run{'' if count == 1 else 's'}"

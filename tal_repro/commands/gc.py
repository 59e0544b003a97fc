"""`tal-repro gc`: list, and on request delete, what a results folder can do without."""

from __future__ import annotations

import click

from tal_repro.commands.study_options import results_option
from tal_repro.console import echo, tell_next
from tal_repro.errors import InputError
from tal_repro.text_table import table

KINDS = ("partial", "failed", "damaged", "orphan", "lock", "import")


@click.command()
@results_option
@click.option("--kind", "kinds", multiple=True, type=click.Choice(KINDS), help="Only these; default: all.")
@click.option("--study", "study_name", default=None, help="Count finished runs outside this study as orphans.")
@click.option("--delete", is_flag=True, help="Delete what is listed.")
def gc(results: str, kinds: tuple[str, ...], study_name: str | None, delete: bool) -> None:
    """List partial, failed and damaged runs nobody is at, orphans and stale locks; --delete removes them."""
    from tal_repro.run.gc import delete as delete_rubbish
    from tal_repro.run.gc import find_rubbish, in_use
    from tal_repro.runs.store import RunStore
    from tal_repro.spec import SCOPES
    from tal_repro.study import load_study

    store = RunStore(results)
    if not store.root.is_dir():
        raise InputError("no such folder", results, "name the results folder: --results DIR")
    planned = None
    if study_name is not None:
        planned = {run.run_id for run in load_study(study_name).runs(SCOPES[-1])}
    items = [item for item in find_rubbish(store, planned) if not kinds or item.kind in kinds]
    if items:
        kinds_shown, sizes = [item.kind for item in items], [item.bytes for item in items]
        paths = [str(item.path) for item in items]
        echo("\n".join(table({"kind": kinds_shown, "size (bytes)": sizes, "path": paths})))
    if live := in_use(store):
        echo(f"left alone, a runner is at them: {', '.join(folder.name for folder in live)}", err=True)
    if delete:
        echo(f"deleted, {delete_rubbish(store, items)} bytes freed")
        tell_next(f"tal-repro status --results {results}  # how far its study is")
    elif items:
        echo(f"{sum(item.bytes for item in items)} bytes in {len(items)} items")
        tell_next("the same with --delete removes them")
    else:
        echo("nothing to clean")
        tell_next(f"tal-repro status --results {results}  # how far its study is")

"""`tal-repro report`: one page that shows what was run, every verdict, table and figure; or its tables for a paper."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from tal_repro.commands.verify import DEFAULT_RESULTS, load_results

DEFAULT_OUT = Path("results", "report")
WATCH_SECONDS = 5.0


@click.command()
@click.option("--results", metavar="DIR", help=f"Show the runs in DIR too.  [default: {DEFAULT_RESULTS}, if there]")
@click.option("--out", metavar="DIR", default=str(DEFAULT_OUT), show_default=True, help="Write index.html here.")
@click.option("--open", "show", is_flag=True, help="Open the page in a browser.")
@click.option("--watch", is_flag=True, help="Write it again whenever runs change; the open page follows. Ctrl-C ends.")
@click.option("--compare", "system", metavar="SYSTEM", help="Compare with another folder of runs, or a shipped system.")
@click.option("--markdown", "kind", flag_value="markdown", help="Print its tables as Markdown instead.")
@click.option("--latex", "kind", flag_value="latex", help="Print its tables as LaTeX instead.")
def report(results: str | None, out: str, show: bool, watch: bool, system: str | None, kind: str | None) -> None:
    """Write one self-contained page: what was run, every verdict, table and figure."""
    if kind:
        _tables(results, kind)
    else:
        _page(results, Path(out), show, watch, system)


def _tables(results: str | None, kind: str) -> None:
    from typing import Any, cast

    from tal_repro.paper.report.appendix import appendix
    from tal_repro.published.load import load_published

    click.echo(appendix(load_published(None), load_results(results), cast(Any, kind)), nl=False)


def _page(results: str | None, folder: Path, show: bool, watch: bool, system: str | None) -> None:
    path = write_page(results, folder, system, live=watch)
    click.echo(str(path))
    if show:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())
    if watch:
        _watch(results, folder, system)


def write_page(results: str | None, folder: Path, system: str | None = None, live: bool = False) -> Path:
    """Gather and write the page whole; return its path. `live`: it looks for a newer one by itself."""
    from tal_repro.commands.table import writable
    from tal_repro.paper.report.content import gather
    from tal_repro.paper.report.page import page
    from tal_repro.published.load import load_published
    from tal_repro.record import write_whole

    say = (lambda what: click.echo(what, err=True)) if sys.stderr.isatty() else (lambda _: None)
    content = gather(load_published(None), load_results(results), say, system)
    path = writable(folder / "index.html")
    write_whole(path, page(content, live).encode())
    return path


def _watch(results: str | None, folder: Path, system: str | None) -> None:
    """Write the page again after each change of the run folders; at the end, once more without looking for a newer."""
    root = Path(results) if results else DEFAULT_RESULTS
    click.echo(f"watching {root}; Ctrl-C ends", err=True)
    seen = fingerprint(root)
    try:
        while True:
            time.sleep(WATCH_SECONDS)
            now = fingerprint(root)
            if now != seen:
                seen = now
                write_page(results, folder, system, live=True)
                click.echo("written again", err=True)
    except KeyboardInterrupt:
        write_page(results, folder, system)


def fingerprint(root: Path) -> frozenset[tuple[str, int]]:
    """Return the run folders there are, each with the time of its last change."""
    found = set()
    for run in root.glob("*/*/*"):
        try:
            found.add((str(run), run.stat().st_mtime_ns))
        except OSError:  # renamed between listing and looking
            continue
    return frozenset(found)

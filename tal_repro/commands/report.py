"""`tal-repro report`: one page that shows what was run, every verdict, table and figure; or its tables for a paper."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tal_repro.commands.study_options import of_study
from tal_repro.commands.verify import DEFAULT_RESULTS, load_results, whole
from tal_repro.console import echo

if TYPE_CHECKING:
    from tal_repro.runs.load import Runs

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
@click.option("--with-host", is_flag=True, help="Show names of host and user and absolute paths on the page.")
@of_study
def report(
    results: str | None, out: str, show: bool, watch: bool, system: str | None, kind: str | None,
    with_host: bool, study: str | None, data_digests: tuple[str, ...],
) -> None:  # fmt: skip
    """Write one self-contained page: what was run, every verdict, table and figure."""
    wanted = Wanted(results, study, data_digests, with_host)
    if kind:
        _tables(wanted, kind)
    else:
        _page(wanted, Path(out), show, watch, system)


@dataclass(frozen=True)
class Wanted:
    """Whose runs the page is of."""

    results: str | None = None
    study: str | None = None
    data_digests: tuple[str, ...] = ()
    with_host: bool = False

    def load(self) -> Runs:
        return load_results(self.results, self.study, self.data_digests)


def _tables(wanted: Wanted, kind: str) -> None:
    from typing import Any, cast

    from tal_repro.paper.report.appendix import appendix
    from tal_repro.published.load import load_published

    text, runs = whole(wanted.load(), lambda those: appendix(load_published(None), those, cast(Any, kind)))
    echo(text, nl=False)
    _leave(runs)


def _leave(runs: Runs) -> None:
    """End with 1 where damaged runs were left out: they could change what is shown."""
    if runs.problems:
        sys.exit(1)


def _page(wanted: Wanted, folder: Path, show: bool, watch: bool, system: str | None) -> None:
    path, runs = write_page(wanted, folder, system, live=watch)
    echo(str(path))
    if show:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())
    if watch:
        _watch(wanted, folder, system)
    _leave(runs)


def write_page(wanted: Wanted, folder: Path, system: str | None = None, live: bool = False) -> tuple[Path, Runs]:
    """Gather and write the page whole; return its path and the runs on it. `live`: it looks for a newer one itself."""
    from tal_repro.commands.table import writable
    from tal_repro.files import write_whole
    from tal_repro.paper.report.content import gather
    from tal_repro.paper.report.page import page
    from tal_repro.published.load import load_published

    say = (lambda what: echo(what, err=True)) if sys.stderr.isatty() else (lambda _: None)
    content, runs = whole(
        wanted.load(), lambda those: gather(load_published(None), those, say, system, wanted.with_host)
    )
    path = writable(folder / "index.html")
    write_whole(path, page(content, live).encode())
    return path, runs


def _watch(wanted: Wanted, folder: Path, system: str | None) -> None:
    """Write the page again after each change of the run folders; at the end, once more without looking for a newer."""
    root = Path(wanted.results) if wanted.results else DEFAULT_RESULTS
    echo(f"watching {root}; Ctrl-C ends", err=True)
    seen = fingerprint(root)
    try:
        while True:
            time.sleep(WATCH_SECONDS)
            now = fingerprint(root)
            if now != seen:
                seen = now
                write_page(wanted, folder, system, live=True)
                echo("written again", err=True)
    except KeyboardInterrupt:
        write_page(wanted, folder, system)


def fingerprint(root: Path) -> frozenset[tuple[str, int]]:
    """Return the run folders there are, each with the time of its last change."""
    found = set()
    for run in root.glob("*/*/*"):
        try:
            found.add((str(run), run.stat().st_mtime_ns))
        except OSError:  # renamed between listing and looking
            continue
    return frozenset(found)

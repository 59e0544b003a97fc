"""`tal-repro report`: one page that shows what was run, every verdict, table and figure."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tal_repro.commands.study_options import of_study
from tal_repro.commands.verify import DEFAULT_RESULTS, load_results, whole
from tal_repro.console import echo, emit, tell_next

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
@click.option("--with-host", is_flag=True, help="Show names of host and user and absolute paths on the page.")
@of_study
def report(
    results: str | None, out: str, show: bool, watch: bool, system: str | None, with_host: bool,
    study: str | None, data_digests: tuple[str, ...],
) -> None:  # fmt: skip
    """Write one self-contained page: what was run, every verdict, table and figure."""
    _page(Source(results, study, data_digests, with_host), Path(out), show, watch, system)


@dataclass(frozen=True)
class Source:
    """Whose runs the page is of."""

    results: str | None = None
    study: str | None = None
    data_digests: tuple[str, ...] = ()
    with_host: bool = False

    def load(self) -> Runs:
        return load_results(self.results, self.study, self.data_digests)


def _leave(runs: Runs) -> None:
    """End with 1 where damaged runs were left out: they could change what is shown."""
    if runs.problems:
        sys.exit(1)


def _page(source: Source, folder: Path, show: bool, watch: bool, system: str | None) -> None:
    path, runs = write_page(source, folder, system, live=watch)
    emit(str(path))
    if not show:
        tell_next("open it in a browser: it holds everything itself, and can be sent")
    if show:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())
    if watch:
        _watch(source, folder, system)
    _leave(runs)


def write_page(source: Source, folder: Path, system: str | None = None, live: bool = False) -> tuple[Path, Runs]:
    """Gather and write the page whole; return its path and the runs on it. `live`: it looks for a newer one itself."""
    from tal_repro.commands.table import writable
    from tal_repro.files import write_whole
    from tal_repro.paper.report.content import gather
    from tal_repro.paper.report.page import page
    from tal_repro.published.load import load_published

    say = (lambda what: echo(what, err=True)) if sys.stderr.isatty() else (lambda _: None)
    loaded, path = source.load(), writable(folder / "index.html")  # before the work of a minute
    content, runs = whole(loaded, lambda those: gather(load_published(None), those, say, system, source.with_host))
    write_whole(path, page(content, live).encode())
    return path, runs


def _watch(source: Source, folder: Path, system: str | None) -> None:
    """Write the page again after each change of the run folders; at the end, once more without looking for a newer."""
    root = Path(source.results) if source.results else DEFAULT_RESULTS
    echo(f"watching {root}; Ctrl-C ends", err=True)
    seen = fingerprint(root)
    try:
        while True:
            time.sleep(WATCH_SECONDS)
            now = fingerprint(root)
            if now != seen:
                seen = now
                write_page(source, folder, system, live=True)
                echo("written again", err=True)
    except KeyboardInterrupt:
        write_page(source, folder, system)


def fingerprint(root: Path) -> frozenset[tuple[str, int]]:
    """Return the run folders there are, each with the time of its last change."""
    facts = set()
    for run in root.glob("*/*/*"):
        try:
            facts.add((str(run), run.stat().st_mtime_ns))
        except OSError:  # renamed between listing and looking
            continue
    return frozenset(facts)

"""`tal-repro report`: one page that shows what was run, every verdict, table and figure; or its tables for a paper."""

from __future__ import annotations

from pathlib import Path

import click

from tal_repro.commands.verify import load_results

DEFAULT_OUT = Path("results", "report")


@click.command()
@click.option("--results", metavar="DIR", help="Show the runs in DIR too.  [default: results/runs, if there]")
@click.option("--out", metavar="DIR", default=str(DEFAULT_OUT), show_default=True, help="Write index.html here.")
@click.option("--open", "show", is_flag=True, help="Open the page in a browser.")
def report(results: str | None, out: str, show: bool) -> None:
    """Write one self-contained page: what was run, every verdict, table and figure."""
    path = write_page(results, Path(out))
    click.echo(str(path))
    if show:
        import webbrowser

        webbrowser.open(path.resolve().as_uri())


def write_page(results: str | None, folder: Path) -> Path:
    """Gather and write the page whole; return its path."""
    from tal_repro.commands.table import writable
    from tal_repro.paper.published import load_published
    from tal_repro.paper.report.content import gather
    from tal_repro.paper.report.page import page
    from tal_repro.record import write_whole

    content = gather(load_published(None), load_results(results), lambda what: click.echo(what, err=True))
    path = writable(folder / "index.html")
    write_whole(path, page(content).encode())
    return path

"""`tal-repro demo`: the whole study in miniature on synthetic data, from nothing to figures, tables and verdicts."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import time
from pathlib import Path

import click

from tal_repro.commands.run import tell
from tal_repro.console import echo, emit, tell_next
from tal_repro.errors import InputError

TITLE = "SYNTHETIC DATA, miniature models: this shows the kit at work and says nothing of THUMOS14"


@click.command()
@click.option(
    "--out",
    default="results/demo",
    show_default=True,
    type=click.Path(file_okay=False),
    help="Folder of all it writes.",
)
@click.option("--jobs", type=click.IntRange(1), default=None, help="Runs at the same time.  [default: cores]")
@click.option("--only", default="", metavar="EXPR", help="Only these runs, without figures and verdicts.")
@click.option("--draw/--no-draw", default=True, help="Draw figures and tables and give verdicts afterwards.")
@click.pass_context
def demo(context: click.Context, out: str, jobs: int | None, only: str, draw: bool) -> None:
    """Run the demo study (Ctrl-C and start again: it goes on), then draw every figure and table and verify."""
    from tal_repro.run.plan import make_plan
    from tal_repro.run.progress import format_duration
    from tal_repro.run.start import run_plan
    from tal_repro.runs.store import RunStore
    from tal_repro.study import load_study

    check_torch()
    began = time.monotonic()
    folder = Path(out)
    store = RunStore(folder / "runs")
    echo(TITLE, err=True)
    plan = make_plan(load_study("demo"), store, "core", only, jobs or 1)
    summary = run_plan(plan, store, data_dir=folder / "data", jobs=jobs, say=lambda line: echo(line, err=True))
    tell(plan, summary, str(store.root))
    if draw and not only and not summary.interrupted:
        _draw(context, folder, str(store.root))
    echo(f"{TITLE}\ndemo took {format_duration(time.monotonic() - began)}", err=True)
    if (page := folder / "report" / "index.html").is_file():
        echo(f"in {folder} lie figures, tables, verdicts.txt and the page", err=True)
        tell_next("open the page in a browser:")
        emit(str(page.resolve()))
    sys.exit(summary.exit_status)


def check_torch() -> None:
    """Raise InputError where the light environment has no torch to train with, before anything is written."""
    if importlib.util.find_spec("torch") is None:
        raise InputError("the demo trains models, and torch is not installed here", remedy="make setup, then again")


def _draw(context: click.Context, folder: Path, results: str) -> None:
    """Draw from the demo's runs alone, through the commands that draw a real study."""
    from tal_repro.commands.figure import figure
    from tal_repro.commands.table import table

    echo("drawing figures, tables and the report", err=True)
    # the report draws on its own: beside the figures it costs no time on two cores
    command = [sys.executable, "-m", "tal_repro", "report", "--results", results, "--out", str(folder / "report")]
    report = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    context.invoke(figure, number="all", out=str(folder / "figures"), results=results, source="both")
    for number in (1, 2, "energy"):
        path = str(folder / "tables" / f"table-{number}.md")
        context.invoke(table, number=number, kind="markdown", results=results, out=path)
    _verify(folder, results)
    report.wait()


def _verify(folder: Path, results: str) -> None:
    """Write every verdict, for people and for programs."""
    import json

    from tal_repro.commands.verify import load_results
    from tal_repro.files import write_whole
    from tal_repro.paper import verdict_text
    from tal_repro.paper.verdict_words import as_json
    from tal_repro.paper.verdicts import judge_all
    from tal_repro.published.load import load_published

    runs = load_results(results)
    verdicts = judge_all(load_published(None), runs, None)
    lines = ["".join(text for text, _ in line).rstrip() for line in verdict_text.table_lines(verdicts, runs)]
    write_whole(folder / "verdicts.txt", "\n".join([TITLE, "", *lines, ""]).encode())
    content = json.dumps(as_json(verdicts, runs), indent=1, allow_nan=False, ensure_ascii=False)
    write_whole(folder / "verdicts.json", content.encode())

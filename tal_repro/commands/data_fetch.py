"""`tal-repro data fetch` and `data derive-tadtr`: the real data set, from its authors or from what is here already."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tal_repro.commands.data_verify import verify_folder
from tal_repro.console import echo, echo_progress, emit, tell_next

if TYPE_CHECKING:
    from tal_repro.data.fetch.obtain import Way

LAYOUTS = ["actionformer", "tadtr"]
USUAL_OUT = Path("data", "thumos14")
RELEASED = Path("results", "released")
LINES_WHEN_PIPED, SECONDS_A_LINE = 10, 30.0


@click.command()
@click.argument("name", type=click.Choice(["thumos14"]), required=False)
@click.option("--layout", type=click.Choice(LAYOUTS), help="Whose archive.")
@click.option(
    "--out", envvar="TAL_REPRO_DATA", type=click.Path(path_type=Path, file_okay=False), default=USUAL_OUT,
    show_default="TAL_REPRO_DATA, data/thumos14", help="Data folder.",
)  # fmt: skip
@click.option(
    "--from",
    "given",
    multiple=True,
    metavar="FILE_OR_URL",
    help="The archive or a URL; a folder with it, or with the files.",
)
@click.option("--keep-archive", is_flag=True, help="Do not delete what was fetched after unpacking it.")
@click.option("--check", is_flag=True, help="Only ask every link for its first bytes, one line each.")
def fetch(
    name: str | None, layout: str | None, out: Path, given: tuple[str, ...], keep_archive: bool, check: bool
) -> None:
    """Fetch, check, unpack and verify a data set. Interrupted, the same command goes on."""
    if check:
        sys.exit(_check_links(layout))
    if name is None or layout is None:
        raise click.UsageError("give the data set and whose archive: thumos14 --layout actionformer (or tadtr)")
    from tal_repro.data.fetch.thumos14 import fetch_layout

    with _interruptible():
        folder = fetch_layout(layout, _way(out, given), keep_archive)  # type: ignore[arg-type]
    echo(f"{layout} layout is there already: nothing fetched" if folder is None else f"{name} is in {folder}")
    sys.exit(verify_folder(out, None))


def _check_links(layout: str | None) -> int:
    """Print one line for each link; return 1 where an archive has no link that gives it, else 0."""
    from tal_repro.data.fetch.links import check_links
    from tal_repro.data.fetch.sources import ARCHIVES
    from tal_repro.data.fetch.web import shown

    status = 0
    for archive in [each for name, several in ARCHIVES.items() if layout in (None, name) for each in several]:
        gives = False
        for answer in check_links([archive]):
            note = f" ({answer.mirror.note})" if answer.mirror.note else ""
            echo(f"{archive.name}: {shown(answer.mirror.link)}: {answer.reason}{note}")
            gives = gives or answer.gives is True
        if not gives:
            echo(
                f"{archive.name}: no link gives it to a program; fetch it by hand and use --from (docs/data.md)",
                err=True,
            )
            status = 1
    tell_next("tal-repro data fetch thumos14 --layout actionformer  # or tadtr")
    return status


@click.command("fetch-checkpoint")
@click.argument("model", type=click.Choice(["tadtr", "actionformer", "tridet"]))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default=RELEASED, show_default=True)
@click.option("--from", "given", multiple=True, metavar="FILE_OR_URL", help="What was fetched by hand, or a URL.")
def fetch_checkpoint(model: str, out: Path, given: tuple[str, ...]) -> None:
    """Fetch the checkpoint that a model's authors released, for `tal-repro released`."""
    from tal_repro.data.fetch import checkpoints

    with _interruptible():
        file = checkpoints.fetch_checkpoint(model, _way(out, given))
    emit(file)
    tell_next(f"tal-repro released --model {model} --checkpoint {file} --data DIR")


@click.command("derive-tadtr")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
def derive_tadtr(folder: Path) -> None:
    """Make TadTR's layout from ActionFormer's: a deviation, named as such in every run on it."""
    from tal_repro.data.derive_tadtr import derive

    made = derive(folder, _say)
    echo(f"derived TadTR layout (a DEVIATION from the authors' features) is in {made}")
    sys.exit(verify_folder(folder, None))


def _way(out: Path, given: tuple[str, ...]) -> Way:
    from tal_repro.data.fetch.download import Patience
    from tal_repro.data.fetch.obtain import Way
    from tal_repro.data.fetch.unpack import Limits

    fetched, checked, unpacked = (_bytes_progress(verb) for verb in ("fetched", "checked", "unpacked"))
    return Way(out, given, Patience(), Limits(), fetched, checked, unpacked, _say)


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        echo("\ninterrupted; the same command goes on from here", err=True)
        sys.exit(130)


def _say(line: str) -> None:
    echo(line, err=True)


def _bytes_progress(verb: str) -> Callable[[int, int | None], None]:
    """Report bytes on standard error: one line rewritten on a terminal, a plain line now and then when piped."""
    terminal = sys.stderr.isatty()
    started = last = 0.0
    first = lines = 0
    shown_at, shown_of = -1, None

    def report(done: int, total: int | None) -> None:
        nonlocal started, last, first, lines, shown_at, shown_of
        now = time.monotonic()
        if done <= shown_at or total != shown_of or started == 0.0:  # another file, or this one from the start
            started, last, first, lines = now, now - (SECONDS_A_LINE if terminal else 0), done, 0
        shown_at, shown_of = done, total
        ended = total is not None and done >= total
        if terminal:
            due = now - last > 0.2
        else:
            due = now - last > SECONDS_A_LINE or (total is not None and done * LINES_WHEN_PIPED >= total * (lines + 1))
        if not (due or ended):
            return
        last = now
        lines = lines + 1 if total is None else done * LINES_WHEN_PIPED // max(total, 1)
        line = f"  {verb} {_amount(done, total)}{_speed(done - first, now - started, total, done)}"
        echo_progress(line, ended=ended, terminal=terminal)

    return report


def _amount(done: int, total: int | None) -> str:
    unit, name = (2**30, "GiB") if max(done, total or 0) >= 2**30 else (2**20, "MiB")
    return f"{done / unit:.2f} {name}" if total is None else f"{done / unit:.2f} of {total / unit:.2f} {name}"


def _speed(gained: int, seconds: float, total: int | None, done: int) -> str:
    if seconds < 0.5 or gained <= 0:
        return ""
    rate = gained / seconds
    left = "" if total is None or done >= total else f", {_duration((total - done) / rate)} left"
    return f", {rate / 2**20:.1f} MiB/s{left}"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"

"""Mutated run folders and archives through every reader: nothing but a named error, an exit status of 0, 1 or 2.

    python -m benchmarks.fuzz_readers [--files 20000] [--sets 5000] [--calls 500] [--seed 0] [--out FILE.json]

In process: `--files` mutations through what figures, tables, verdicts, the report and `results import` are made from,
`--sets` through what reads annotations of every dialect, features of every format and detections, then `--calls`
through each command. Half of the mutations of a finished run write its digests anew, so that the checks behind the
digest are reached. Exit 1 for a traceback, a control character on the output, or 1 GiB of memory.
"""

from __future__ import annotations

import contextlib
import json
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from benchmarks import skeleton
from benchmarks.fuzz import sets
from benchmarks.fuzz.base import STUDY, make_base, pack
from benchmarks.fuzz.mutations import Mutated, mutated
from tal_repro.cli import main as tal
from tal_repro.errors import InputError
from tal_repro.paper import tables
from tal_repro.paper.energy import assumed
from tal_repro.paper.figures import drawer
from tal_repro.paper.figures.drawing import Material, NotRun
from tal_repro.paper.report import content
from tal_repro.paper.verdicts import judge_all
from tal_repro.planned import planned
from tal_repro.published.load import load_published
from tal_repro.run.archive import import_runs
from tal_repro.runs.load import Runs, computed, load_runs
from tal_repro.runs.run import measurements
from tal_repro.runs.store import RunStore

LIMIT_MIB = 1024
MOST_ADDRESSES = 8 << 30
HANGS_SECONDS = 300  # of wall time, on a machine with others
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
COMMANDS = {
    "show": ["show", "{id}", "--results", "{root}"],
    "table": ["table", "2", "--results", "{root}"],
    "verify": ["verify", "--results", "{root}"],
    "figure": ["figure", "2", "--results", "{root}", "--out", "{out}"],
    "report": ["report", "--results", "{root}", "--out", "{out}"],
    "compare": ["compare", "{root}", "{other}"],
    "import": ["results", "import", "{archive}", "--results", "{out}/imported"],
    "evaluate": ["evaluate", "{detections}", "{truth}"],
    "status": ["status", "--study", "{study}", "--results", "{root}"],
    "plan": ["plan", "--study", "{study}", "--results", "{root}"],
}
Sight = tuple[str, str]  # of what went wrong: the error with its place, and the mutation that showed it


class Hangs(BaseException):
    """A reader that waits: for a pipe's writer, or for ever."""


def consumers() -> dict[str, Callable[[Path], Any]]:
    """Return everything that reads a results folder, by name."""
    numbers = load_published(None)

    def of(make: Callable[[Runs], Any], root: Path) -> Any:
        with contextlib.suppress(NotRun):
            return computed(load_runs(root, planned(root)), make)

    def figure(number: int, runs: Runs) -> Any:
        return drawer(number)(Material(numbers, runs))

    makers: dict[str, Callable[[Runs], Any]] = {
        **{f"table {number}": partial(_table, number, numbers) for number in (1, 2, "energy")},
        "verify": partial(judge_all, numbers),
        "report": partial(content.gather, numbers),
        "measurements": lambda runs: list(measurements(runs.runs)),
        **{f"figure {number}": partial(figure, number) for number in (4, 5, 6)},
    }
    return {name: partial(of, make) for name, make in makers.items()}


def _table(number: Any, numbers: Any, runs: Runs) -> str:
    return tables.render(tables.table(number, numbers, runs, assumed()), "csv")


@contextlib.contextmanager
def limited(seconds: int = HANGS_SECONDS) -> Iterator[None]:
    def ring(*_: Any) -> None:
        raise Hangs

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def sight(error: BaseException) -> str:
    """Name an error by its kind and the last two places of the package that it passed."""
    places = [f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in traceback.extract_tb(error.__traceback__)]
    inside = [place for place in places if not place.startswith(("fuzz", "runner.py", "testing.py", "core.py"))]
    return f"{type(error).__name__} {str(error)[:80]!r} at {' < '.join(reversed(inside[-3:]))}"


def read_files(
    base: Path, count: int, seed: int, names: Sequence[str] = ()
) -> tuple[Counter[str], dict[str, str], Counter[str]]:
    """Read `count` mutated folders and archives (by the named consumers, else all in turn by chance).

    Return outcomes, what went wrong, and how often each kind of mutation was tried.
    """
    rng, outcomes, wrong, kinds = random.Random(seed), Counter[str](), dict[str, str](), Counter[str]()
    every = consumers()
    for number in range(count):
        with mutated(base, rng) as change:
            kinds[change.kind] += 1
            name = rng.choice(names or sorted(every))
            attempts = {name: partial(every[name], base)}
            if number % 8 == 0:
                attempts["import"] = partial(_imported, base, rng)
            for name, attempt in attempts.items():
                outcome = _outcome(attempt)
                outcomes[outcome.partition(" ")[0]] += 1
                if outcome not in ("read", "refused"):
                    wrong.setdefault(f"{name}: {outcome}", change.what)
    return outcomes, wrong, kinds


def read_sets(folders: Sequence[Path], count: int, seed: int) -> tuple[Counter[str], dict[str, str], Counter[str]]:
    """Read `count` mutated data sets by all that reads them; return what `read_files` does."""
    rng, outcomes, wrong, kinds = random.Random(f"sets {seed}"), Counter[str](), dict[str, str](), Counter[str]()
    for _ in range(count):
        root = rng.choice(folders)
        with mutated(root, rng) as change:
            kinds[change.kind] += 1
            for name, attempt in sets.readers(root).items():
                outcome = _outcome(attempt)
                outcomes[outcome.partition(" ")[0]] += 1
                if outcome not in ("read", "refused"):
                    wrong.setdefault(f"{root.name}, {name}: {outcome}", change.what)
    return outcomes, wrong, kinds


def _outcome(attempt: Callable[[], Any]) -> str:
    try:
        with limited(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            attempt()
    except InputError as error:
        str(error).encode()
        return "refused"
    except (Hangs, Exception) as error:
        return sight(error)
    return "read"


def _imported(base: Path, rng: random.Random) -> None:
    """Import a folder as it is now, packed without a look; half of the time the archive's own bytes are broken."""
    with tempfile.TemporaryDirectory(dir=base.parent) as folder:
        archive = pack(base, Path(folder) / "x.tgz", rng)
        import_runs(RunStore(Path(folder) / "to"), archive)


def call(command: str, base: Path, change: Mutated, rng: random.Random) -> str:
    """Invoke a command on a mutated folder; return "" or what is wrong with how it ended."""
    with tempfile.TemporaryDirectory(dir=base.parent) as folder:
        places = {"root": base, "out": folder, "other": base.with_name("other"), "study": base.with_name(STUDY.name)}
        run = change.run or next(RunStore(base).records()).folder
        places |= {"id": run.name.partition(".")[0].partition("-")[0], "truth": base.with_name("truth.json")}
        places |= {"detections": next(base.rglob("detections.csv.gz"), base / "none.csv.gz")}
        if command == "import":
            places["archive"] = pack(base, Path(folder) / "x.tgz", rng)
        words = [word.format_map(places) for word in COMMANDS[command]]
        try:
            with limited(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                result = CliRunner().invoke(tal, words)
        except Hangs as error:
            return sight(error)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        return sight(result.exception)
    if result.exit_code not in (0, 1, 2) or (result.exit_code == 2 and "error: " not in result.stderr):
        return f"exit status {result.exit_code}: {result.output[-80:]!r}"
    if seen := CONTROL.search(result.output.replace("\r\n", "\n")):
        return f"control character {seen[0]!r} in {result.output[max(0, seen.start() - 60) : seen.end() + 20]!r}"
    return ""


def call_commands(base: Path, count: int, seed: int, names: Sequence[str]) -> tuple[Counter[str], dict[str, str]]:
    """Call each command on `count` mutated folders; return how often it ended well, and what went wrong."""
    ended, wrong = Counter[str](), dict[str, str]()
    for name in names:
        rng = random.Random(f"{seed} {name}")
        for number in range(count):
            with mutated(base, rng) as change, figures(name != "report" or number % 25 == 0):
                problem = call(name, base, change, rng)
            ended[name] += not problem
            if problem:
                wrong.setdefault(f"{name}: {problem}", change.what)
    return ended, wrong


@contextlib.contextmanager
def figures(drawn: bool) -> Iterator[None]:
    """Leave figures and forecasts out of a report: they take seconds, and `figure` draws the same."""
    before = content.FIGURES, content.forecasts
    if not drawn:
        content.FIGURES, content.forecasts = {}, lambda published, runs: []  # type: ignore[assignment]
    try:
        yield
    finally:
        content.FIGURES, content.forecasts = before  # type: ignore[misc,assignment]


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """Make the folder that is mutated, with what the commands need beside it."""
    folder = Path(tempfile.mkdtemp(prefix="tal-repro-fuzz-"))
    try:
        yield make_base(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    parser = skeleton.parser(__doc__)
    parser.add_argument("--files", type=int, default=20_000)
    parser.add_argument("--sets", type=int, default=5000)
    parser.add_argument("--calls", type=int, default=500, help="of each command")
    parser.add_argument("--commands", nargs="*", default=list(COMMANDS), choices=list(COMMANDS))
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    began = time.monotonic()
    resource.setrlimit(resource.RLIMIT_AS, (MOST_ADDRESSES, resource.RLIM_INFINITY))  # a MemoryError names its reader
    with workplace() as base:
        with figures(drawn=False):
            outcomes, wrong, kinds = read_files(base, options.files, options.seed)
        folders = sets.make_sets(base.with_name("sets"))
        of_sets, wrong_sets, _ = read_sets(folders, options.sets, options.seed)
        ended, wrong_calls = call_commands(base, options.calls, options.seed, options.commands)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    report = {
        "schema": "tal-repro/bench-fuzz-readers/1", "seed": options.seed, "files": options.files, "outcomes": outcomes,
        "mutations": kinds, "sets": options.sets, "outcomes_of_sets": of_sets, "calls": options.calls,
        "ended_well": ended, "wrong": {**wrong, **wrong_sets, **wrong_calls}, "peak_mib": peak,
        "wall_seconds": round(time.monotonic() - began),
    }  # fmt: skip
    print(json.dumps(report, indent=1))
    skeleton.write(options.out, report)
    return int(bool(wrong or wrong_sets or wrong_calls) or peak > LIMIT_MIB)


if __name__ == "__main__":
    sys.exit(main())

"""How many wrong edits the tests see: python -m benchmarks.mutations [--room ROOM ...] [--again JSON] [--out JSON].

Each mutant of mutations.toml is put into a copy of the tree, never into the tree itself, and the tests of its room run
until the first failure. A mutant that no test sees has survived; the goal is a share killed of 95 %. Room by room: the
tests must pass without a mutant first. The room `security` takes away the defences in docs/security.md, row by row:
each of its mutants names the tests of that row that must see it, and no others are run.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LIST = Path(__file__).with_suffix(".toml")
GOAL = 0.95
LIMIT_S = 900.0  # of one room's tests; a mutant that makes them hang counts as killed
LEFT_OUT = (".git", ".venv", ".cache", "__pycache__", ".*_cache")  # wherever they lie
RESULTS_LEFT_OUT = ("results/runs", "results/bench")  # one's own; tal_repro/runs is a package


@dataclass(frozen=True)
class Mutant:
    """A wrong edit: `before` stands once in `file`, `after` takes its place.

    `file` lies under tal_repro/, or where it starts with ./ in the repository's root; an absent one is made of `after`
    where `before` is empty. `row`: of docs/security.md.
    """

    room: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]
    row: str = ""

    def path(self, tree: Path) -> Path:
        """Return where its file lies in a copy of the repository."""
        return tree / self.file if self.file.startswith("./") else tree / "tal_repro" / self.file


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant: killed, survived, or stale (its line is no longer there once, or it is no Python)."""

    mutant: Mutant
    line: int
    outcome: str
    seen_by: str
    seconds: float


def read_mutants(path: Path = LIST) -> list[Mutant]:
    """Return the list, each with its own tests or those of its room (files or folders beside the package's; ".": all).

    A room that is a table has rows: each of their mutants names its own tests.
    """
    raw = tomllib.loads(path.read_text(encoding="utf-8"))
    mutants: list[Mutant] = []
    for room, listed in raw["mutants"].items():
        if isinstance(listed, dict):
            named = ((row, *mutant) for row, of_row in listed.items() for mutant in of_row)
            mutants += [Mutant(room, file, old, new, tuple(tests), row) for row, file, old, new, tests in named]
        else:
            for file, old, new, *own in listed:
                mutants.append(Mutant(room, file, old, new, tuple(own[0]) if own else _tests_of(file, raw["tests"])))
    return mutants


def _tests_of(file: str, tests: Mapping[str, Sequence[str]]) -> tuple[str, ...]:
    prefix = max((name for name in tests if file.startswith(name)), key=len)
    folder = Path("tests", prefix if not prefix.endswith(".py") else Path(prefix).parent)
    return tuple(name if name.startswith("tests/") else str(folder / name) for name in tests[prefix])


@contextmanager
def copied(root: Path = ROOT) -> Iterator[Path]:
    """Copy the tree to a temporary folder, without what it can do without."""
    by_name = shutil.ignore_patterns(*LEFT_OUT)

    def left_out(folder: str, names: list[str]) -> set[str]:
        here = Path(folder).relative_to(root)
        return set(by_name(folder, names)) | {name for name in names if str(here / name) in RESULTS_LEFT_OUT}

    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        yield Path(shutil.copytree(root, Path(folder) / "tree", ignore=left_out))


def why_stale(tree: Path, mutant: Mutant) -> str:
    """Return why a mutant no longer applies ("": it does)."""
    path = mutant.path(tree)
    if not mutant.before:
        return "the file is there" if path.exists() else ""
    places = path.read_text(encoding="utf-8").count(mutant.before) if path.is_file() else 0
    return "" if places == 1 else f"{places} places"


def why_no_python(path: Path, text: str) -> str:
    """Return why a changed file cannot be read by Python ("": it can, or is none): any test would fail for that."""
    try:
        ast.parse(text if path.suffix == ".py" else "")
    except SyntaxError as error:
        return f"no Python: {error.msg}"
    return ""


def try_mutant(tree: Path, mutant: Mutant) -> Outcome:
    """Put a mutant into the copy, run its tests, and take it out again."""
    path, started = mutant.path(tree), time.monotonic()
    there = path.is_file()
    text = path.read_text(encoding="utf-8") if there else ""
    changed = text.replace(mutant.before, mutant.after) if mutant.before else mutant.after
    if reason := why_stale(tree, mutant) or why_no_python(path, changed):
        return Outcome(mutant, 0, "stale", reason, 0.0)
    line = text[: text.index(mutant.before)].count("\n") + 1
    path.write_text(changed, encoding="utf-8")
    try:
        seen_by = first_failure(tree, mutant.tests)
    finally:
        if there:
            path.write_text(text, encoding="utf-8")
        else:
            path.unlink()
    return Outcome(mutant, line, "killed" if seen_by else "survived", seen_by, round(time.monotonic() - started, 1))


def first_failure(tree: Path, tests: Sequence[str], keep_bytecode: bool = False) -> str:
    """Run tests in the copy up to the first failure; return its name ("" where all pass).

    `keep_bytecode`: leave the compiled modules in the copy, which makes the next runs quicker. Never those of a mutant.
    """
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *tests]
    variables = {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    variables["PYTHONDONTWRITEBYTECODE"] = "" if keep_bytecode else "1"  # an empty text is as if it were not set
    try:
        done = subprocess.run(
            command, cwd=tree, env={**os.environ, **variables}, capture_output=True, text=True, timeout=LIMIT_S
        )
    except subprocess.TimeoutExpired:
        return f"no end within {LIMIT_S:.0f} s"
    if done.returncode == 0:
        return ""
    failed = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return failed[0].split(" - ")[0] if failed else (done.stdout + done.stderr)[-200:]


def killed_in(report: Path) -> dict[Mutant, Outcome]:
    """Return the mutants that were killed by the same tests in a report of this script, with their outcomes."""
    rows = json.loads(report.read_text(encoding="utf-8"))["mutants"]
    pairs = ((Mutant(**{**row["mutant"], "tests": tuple(row["mutant"]["tests"])}), row) for row in rows)
    return {mutant: Outcome(**{**row, "mutant": mutant}) for mutant, row in pairs if row["outcome"] == "killed"}


def by_tests(mutants: Sequence[Mutant]) -> list[list[Mutant]]:
    """Group mutants that the same tests must see; those of rows, whose tests are few, make one group."""
    groups: dict[tuple[str, ...], list[Mutant]] = {}
    for mutant in mutants:
        groups.setdefault(() if mutant.row else mutant.tests, []).append(mutant)
    return list(groups.values())


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the share killed, by room and of all; stale mutants count for nothing."""

    def share(rows: Sequence[Outcome]) -> dict[str, Any]:
        tried = [row for row in rows if row.outcome != "stale"]
        killed = sum(row.outcome == "killed" for row in tried)
        return {"tried": len(tried), "killed": killed, "share": round(killed / len(tried), 4) if tried else None}

    rooms = sorted({row.mutant.room for row in outcomes})
    by_room = {room: share([row for row in outcomes if row.mutant.room == room]) for room in rooms}
    return {**share(outcomes), "goal": GOAL, "rooms": by_room, "mutants": [asdict(row) for row in outcomes]}


def _is_of(row: str, texts: Sequence[str] | None) -> bool:
    return texts is None or any(text in row for text in texts)


def main() -> int:
    """Try the mutants of some rooms; exit 1 below the goal, or where a mutant is stale."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--room", action="append", help="a name below [mutants] of the list (default: all)")
    parser.add_argument("--row", action="append", help="of the rows of docs/security.md whose name holds this text")
    parser.add_argument("--only", default="", help="of files whose path holds this text")
    again = "a report: try what it does not hold as killed, and keep the rest"
    parser.add_argument("--again", type=Path, action="append", default=[], help=again)
    parser.add_argument("--out", type=Path, default=Path("results/bench/mutations.json"))
    options = parser.parse_args()
    chosen = (m for m in read_mutants() if m.room in (options.room or [m.room]))
    mutants = [m for m in chosen if options.only in m.file and _is_of(m.row, options.row)]
    before = {mutant: outcome for report in options.again for mutant, outcome in killed_in(report).items()}
    outcomes = [before[mutant] for mutant in mutants if mutant in before]
    mutants = [mutant for mutant in mutants if mutant not in before]
    passed: set[str] = set()  # tests, without a mutant
    with copied() as tree:
        for together in by_tests(mutants):
            tests = [test for mutant in together for test in mutant.tests if test not in passed]
            if tests and (failure := first_failure(tree, tuple(dict.fromkeys(tests)), keep_bytecode=True)):
                print(f"without a mutant: {failure}: nothing can be told of {', '.join(tests)}", file=sys.stderr)
                return 2
            passed |= {*tests}
            for mutant in together:
                outcomes.append(try_mutant(tree, mutant))
                row = outcomes[-1]
                print(f"{row.outcome:8} {mutant.file}:{row.line} {mutant.after[:50]!r} {row.seen_by}", flush=True)
                options.out.parent.mkdir(parents=True, exist_ok=True)
                options.out.write_text(json.dumps(summary(outcomes), indent=1) + "\n", encoding="utf-8")
    told = summary(outcomes)
    stale = sum(row.outcome == "stale" for row in outcomes)
    print(f"{told['killed']} of {told['tried']} killed; {stale} stale")
    return int(stale > 0 or not told["tried"] or told["share"] < GOAL)


if __name__ == "__main__":
    sys.exit(main())

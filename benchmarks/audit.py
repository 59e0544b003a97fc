"""Known vulnerabilities of what env/*.lock pins, by a list that works offline: python -m benchmarks.audit WHEEL.

WHEEL is that of `safety-db` on the package index (PyUp's list, CC BY-NC-SA; `make audit` gets it under its hash). Its
last release is of July 2021: a match is worth a look, and no match says nothing of what became known since.
"""

from __future__ import annotations

import json
import re
import sys
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from tal_repro.untrusted import parse_json_object, printable

ENV = Path(__file__).parents[1] / "env"
LIST = "safety_db/insecure_full.json"
MOST_BYTES = 64 << 20
PIN = re.compile(r"([\w.-]+)==([^ \\;]+)")


def pins(folder: Path = ENV) -> set[tuple[str, str]]:
    """Return (name, version) of every package that a lock pins, of any platform."""
    lines = [line for lock in folder.glob("*.lock") for line in lock.read_text(encoding="utf-8").splitlines()]
    return {(canonicalize_name(found[1]), found[2]) for line in lines if (found := PIN.match(line))}


def read_list(wheel: Path) -> dict[str, Any]:
    """Return package -> advisories out of the wheel, of which nothing is run."""
    with zipfile.ZipFile(wheel) as archive, archive.open(LIST) as stream:
        return parse_json_object(stream.read(MOST_BYTES), f"{wheel}: {LIST}")


def matches(pinned: set[tuple[str, str]], listed: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[str]:
    """Name each pinned version that an advisory of the list is about."""
    advisories: dict[str, Sequence[Mapping[str, Any]]] = {
        canonicalize_name(name): rows for name, rows in listed.items() if name != "$meta"
    }
    return [
        f"{name} {version}: {row['id']} ({row['v']})"
        for name, version in sorted(pinned)
        for row in advisories.get(name, ())
        if any(SpecifierSet(spec).contains(version, prereleases=True) for spec in row["specs"])
    ]


def main() -> int:
    """Print the matches; exit 1 where there is one."""
    wheel, pinned = Path(sys.argv[1]), pins()
    listed = read_list(wheel)
    known: set[str] = {canonicalize_name(name) for name in listed}
    found = matches(pinned, listed)
    for line in found:
        print(printable(line))
    covered = sum(name in known for name, _ in pinned)
    print(
        json.dumps({"list": wheel.name, "pins": len(pinned), "pins_of_listed_packages": covered, "matches": len(found)})
    )
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())

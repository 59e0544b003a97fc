"""The documents name only Make targets that exist: a newcomer copies their commands."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SPANS = re.compile(r"`(make [^`\n]+)`|^(make [^#\n]+)", re.MULTILINE)


def _targets() -> list[str]:
    """Return the Makefile's targets as globs."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    plain = [name for line in re.findall(r"^([\w%. -]+):(?!=)", makefile, re.MULTILINE) for name in line.split()]
    return [name.replace("%", "?*") for name in plain if not name.startswith(".")]


def _asked(text: str) -> set[str]:
    commands = (a or b for a, b in SPANS.findall(text))
    pieces = [piece for command in commands for piece in command.split("&&")]
    words = [w for p in pieces if p.split()[0] == "make" for w in re.sub(r'"[^"]*"', "", p).split()[1:]]
    return {word for word in words if re.fullmatch(r"[a-z][a-z0-9-]*", word)}


DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]


@pytest.mark.parametrize("name", sorted(path.relative_to(ROOT).as_posix() for path in DOCUMENTS))
def test_every_make_target_that_a_document_names_exists(name):
    asked = _asked((ROOT / name).read_text(encoding="utf-8"))
    assert asked or name not in ("README.md", "REPRODUCE.md", "CONTRIBUTING.md")
    known = _targets()
    missing = {word for word in asked if not any(fnmatch(word, target) for target in known)}
    assert not missing, f"{name} names {sorted(missing)}"

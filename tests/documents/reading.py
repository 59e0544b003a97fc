"""What a document holds, for the tests of documents: its prose, its links, its headings, the commands it names."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "tal_repro/published/*.md", "results/reference/*/README.md", ".github/**/*.md")
    for path in ROOT.glob(pattern)
)
NAMES = [path.relative_to(ROOT).as_posix() for path in DOCUMENTS]
GENERATED = re.compile(r"<!-- generated:(\w+).*?<!-- /generated:\1 -->", re.S)
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```", re.S | re.M)
PROGRAMS = ("make", "tal-repro", "docker/kit.sh", "git", "bash", "pip", "pytest", "python")
PROMPTED = re.compile(rf"^(?:\w+=\S+ +)*(?:{'|'.join(map(re.escape, PROGRAMS))}) ")


def text_of(name: str) -> str:
    """Return a document's text."""
    return (ROOT / name).read_text(encoding="utf-8")


def prose(text: str) -> str:
    """Return a text without its fenced blocks."""
    return FENCE.sub("", text)


def links(text: str) -> list[str]:
    """Return the targets of all links and pictures."""
    return re.findall(r"\]\(([^()\s]+)\)", re.sub(r"`[^`\n]*`", "", prose(text)))


def anchors(text: str) -> set[str]:
    """Return the anchors that GitHub makes of the headings."""
    found: set[str] = set()
    for heading in re.findall(r"^#+ (.*)$", prose(text), re.M):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.strip().lower()).replace("`", "")
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        number, unique = 0, slug
        while unique in found:
            number += 1
            unique = f"{slug}-{number}"
        found.add(unique)
    return found


def commands(text: str) -> Iterator[str]:
    """Yield every command of a document: lines of its blocks that begin with a program, and such spans of code."""
    text = GENERATED.sub("", text)
    for _, language, block in FENCE.findall(text):
        if language in ("", "console", "bash"):
            yield from _lines(block.replace("\\\n", " "))
    yield from _lines("\n".join(re.findall(r"^    (\S.*)$", prose(text), re.M)))
    for span in re.findall(r"`([^`\n]+(?:\n[^`\n]+)?)`", prose(text)):
        yield from _lines(" ".join(span.split()))


def _lines(block: str) -> Iterator[str]:
    for line in block.splitlines():
        line = re.sub(r"\s+#\s.*$", "", line).strip()
        for piece in re.split(r" && | \|\| |; ", line):
            if PROMPTED.match(f"{piece} "):
                yield " ".join(piece.split())


def words_of(command: str) -> list[str]:
    """Return a command's words, without variables before it."""
    words = shlex.split(command)
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words.pop(0)
    return words

"""Every link of a document leads somewhere: files, pictures, headings; and every path that it names exists."""

from __future__ import annotations

import re

import pytest

from tests.documents.reading import NAMES, ROOT, anchors, links, text_of

ELSEWHERE = re.compile(r"[a-z]+:")
FOLDERS = "tal_repro|tests|benchmarks|docs|docker|env|patches|\\.ci|\\.github|results/reference|results/published"
PATHS = re.compile(rf"`((?:{FOLDERS})/[\w./-]+)`|\b(docs/[\w-]+\.md)\b")
HISTORY = "CHANGELOG.md"
EXAMPLES = ("stepnet", "StepNet", "NAME", "mine.py", "gpu-a10-lambda")  # what a document tells its reader to make


@pytest.mark.parametrize("name", NAMES)
def test_every_link_leads_somewhere(name: str) -> None:
    folder = (ROOT / name).parent
    dead = []
    for link in links(text_of(name)):
        if ELSEWHERE.match(link):
            continue
        path, _, heading = link.partition("#")
        target = (folder / path).resolve() if path else ROOT / name
        if not target.exists():
            dead.append(link)
        elif heading and target.suffix == ".md" and heading not in anchors(target.read_text(encoding="utf-8")):
            dead.append(f"{link}: no such heading")
    assert not dead


@pytest.mark.parametrize("name", [name for name in NAMES if name != HISTORY])
def test_every_path_that_is_named_exists(name: str) -> None:
    named = {first or second for first, second in PATHS.findall(text_of(name))}
    made = [path for path in named if any(example in path for example in EXAMPLES)]
    missing = [path for path in named - set(made) if not list(ROOT.glob(path.rstrip("/")))]
    assert not sorted(missing)


def test_every_document_that_a_message_names_exists() -> None:
    named = {
        (path.relative_to(ROOT).as_posix(), document)
        for folder in ("tal_repro", "docker", "env", "benchmarks", ".ci")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".sh", ".toml", "") and path.is_file()
        for document in re.findall(r"\bdocs/[\w-]+\.md\b", path.read_text(encoding="utf-8", errors="replace"))
    }
    assert len(named) > 10
    assert not [(path, document) for path, document in sorted(named) if not (ROOT / document).is_file()]


def test_the_index_names_every_document() -> None:
    listed = set(links(text_of("docs/README.md")))
    assert not [path.name for path in (ROOT / "docs").glob("*.md") if path.name not in listed | {"README.md"}]


def test_a_dead_link_would_be_seen() -> None:
    text = "# A `b` title: it's\n[x](no.md#y) `[no](link)` ![z](a.png)\n```\n[q](r.md)\n```\n## A b title its\n"
    assert links(text) == ["no.md#y", "a.png"]
    assert anchors(text) == {"a-b-title-its", "a-b-title-its-1"}

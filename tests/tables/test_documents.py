"""The numbers in the documents: none has drifted, and only what stands between markers is written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.tables import documents
from benchmarks.tables.values import VALUES
from tal_repro.errors import InputError
from tal_repro.kit import require_checkout

ROOT = require_checkout("testing")


def test_numbers_in_the_documents_have_not_drifted() -> None:
    assert not documents.stale(ROOT), documents.REMEDY


def test_marked_parts_are_written_anew_and_nothing_else(tmp_path: Path) -> None:
    shell = "a\n<!-- generated:verdicts (note) -->\n{}<!-- /generated:verdicts -->\nb\n"
    fresh = documents.filled(shell.format("old 1 % \\1\n"), tmp_path)
    assert fresh == shell.format(documents.PARTS["verdicts"]() + "\n")
    assert documents.filled(fresh, tmp_path) == fresh
    with pytest.raises(InputError, match="unknown marker"):
        documents.filled("<!-- generated:x -->\n<!-- /generated:x -->", tmp_path)
    with pytest.raises(InputError, match="closed by"):
        documents.filled("<!-- generated:verdicts -->\n", tmp_path)


def test_a_changed_verdict_drifts(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    for path in documents.documents(ROOT):
        copy = tmp_path / path.relative_to(ROOT)
        copy.write_text(re.sub(r"(\| T2\.\d \|[^\d\n]*)\d", r"\g<1>9", path.read_text()))
    judged = {path.relative_to(ROOT).as_posix() for path in documents.documents(ROOT) if "| T2." in path.read_text()}
    drifted = {path.relative_to(tmp_path).as_posix() for path in documents.stale(tmp_path)}
    assert drifted == judged | set(documents.PICTURES)
    assert {"README.md", "docs/expected.md", "docs/artifact.md"} <= judged


def test_every_table_that_can_be_written_is_in_a_document() -> None:
    texts = "".join(path.read_text() for path in documents.documents(ROOT))
    assert not [name for name in documents.PARTS if f"<!-- generated:{name}" not in texts]
    assert not [name for name in VALUES if f"<!--={name}-->" not in texts]


def test_numbers_in_sentences_are_written_anew_and_nothing_else(tmp_path: Path) -> None:
    line = "about <!--=core_hours-->{}<!--/--> hours, <!-- a note --> and 7 days\n"
    assert documents.filled(line.format("99"), tmp_path) == line.format(VALUES["core_hours"]())
    with pytest.raises(InputError, match="unknown number"):
        documents.filled("<!--=no_such-->1<!--/-->", tmp_path)

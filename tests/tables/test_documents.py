"""The numbers in the documents: none has drifted, and only what stands between markers is written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from benchmarks.tables import documents
from tal_repro.errors import InputError
from tal_repro.kit import require_checkout

ROOT = require_checkout("testing")


def test_numbers_in_the_documents_have_not_drifted() -> None:
    assert not documents.stale(ROOT), documents.REMEDY


def test_marked_parts_are_written_anew_and_nothing_else(tmp_path: Path) -> None:
    shell = "a\n<!-- generated:verdicts (note) -->\n{}<!-- /generated:verdicts -->\nb\n"
    fresh = documents.filled(shell.format("old 1 % \\1\n"), tmp_path)
    assert fresh == shell.format(documents.verdicts_text() + "\n")
    assert documents.filled(fresh, tmp_path) == fresh
    with pytest.raises(InputError, match="unknown marker"):
        documents.filled("<!-- generated:x -->\n<!-- /generated:x -->", tmp_path)
    with pytest.raises(InputError, match="closed by"):
        documents.filled("<!-- generated:verdicts -->\n", tmp_path)


def test_a_changed_verdict_drifts(tmp_path: Path) -> None:
    for name in documents.DOCUMENTS:
        source = (ROOT / name).read_text()
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(re.sub(r"(\| T2\.\d \|[^\d\n]*)\d", r"\g<1>9", source))
    judged = {name for name in documents.DOCUMENTS if "| T2." in (ROOT / name).read_text()}
    assert {str(path.relative_to(tmp_path)) for path in documents.stale(tmp_path)} == judged
    assert {"README.md", "REPRODUCE.md", "docs/artifact.md"} <= judged

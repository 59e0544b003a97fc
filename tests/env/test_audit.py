"""The locks against a list of advisories: what is pinned is read from them, and a version that is named is found."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from benchmarks import audit


def test_a_pinned_version_that_is_named_is_found(tmp_path: Path) -> None:
    rows = [{"id": "x-1", "v": "<1.1", "specs": ["<1.1"]}, {"id": "x-2", "v": "<0.9", "specs": ["<0.9"]}]
    wheel = tmp_path / "list.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(audit.LIST, json.dumps({"$meta": {"timestamp": 1}, "A_b": rows}))
    (tmp_path / "a.lock").write_text("a-b==1.0 ; python_version < '3.12' \\\n    --hash=sha256:00\na-b==1.1 \\\n")
    assert audit.pins(tmp_path) == {("a-b", "1.0"), ("a-b", "1.1")}
    assert audit.matches(audit.pins(tmp_path), audit.read_list(wheel)) == ["a-b 1.0: x-1 (<1.1)"]


@pytest.mark.parametrize("name", ["torch", "numpy", "click"])
def test_the_locks_are_read(name: str) -> None:
    assert name in {pinned for pinned, _ in audit.pins()}

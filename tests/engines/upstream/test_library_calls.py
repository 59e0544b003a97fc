"""What `models check` reads out of the authors' code before anything runs."""

from __future__ import annotations

from pathlib import Path

from tal_repro.engines.upstream.library_calls import absent, describe, scan


def tree(folder: Path) -> Path:
    (folder / "libs").mkdir()
    (folder / "libs" / "blocks.py").write_text(
        "import os, no_such_package.layers\nfrom absent_too import Mlp  # unused\nfrom libs import blocks\n"
        "from .blocks import x\nimport nms_1d_cpu\nvalue = np.float(3)\n    from https://a.org\n# import in_a_comment\n"
    )
    (folder / "setup.py").write_text("import builds_only\n")
    return folder


def test_packages_that_are_not_installed_are_named_with_their_place(tmp_path: Path) -> None:
    found = absent(tree(tmp_path))
    assert found == {"no_such_package": "libs/blocks.py:1", "absent_too": "libs/blocks.py:2"}


def test_what_a_shim_is_on_for_is_said(tmp_path: Path) -> None:
    folder = tree(tmp_path)
    said = describe(scan(folder), {"numpy_float": "", "mine": "absent_too is not installed"}, absent(folder))
    lines = said.splitlines()
    assert lines[0] == "2 calls that today's libraries do not know, 2 packages that are not installed"
    assert "libs/blocks.py:6 (shim numpy_float is on)" in lines[1]
    assert "add 'compiled_nms' to SHIMS" in lines[2]
    absent_one = "no_such_package is not installed: libs/blocks.py:1"
    assert f"{absent_one} (if it runs there: requirements.lock, or a stand-in in OWN_SHIMS" in lines[3]
    assert lines[4].endswith("absent_too is not installed: libs/blocks.py:2 (shim mine is on)")

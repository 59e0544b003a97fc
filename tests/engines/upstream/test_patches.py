"""Patches insert and do nothing else, exactly once, into exactly the file they were made for."""

from pathlib import Path

import pytest

from tal_repro import kit
from tal_repro.engines.upstream.patches import (
    Insertion,
    apply_patches,
    blob_id,
    file_states,
    inserted,
    model_patches,
    read_patch,
)
from tal_repro.errors import InputError
from tal_repro.models.registry import MODELS

BEFORE, AFTER = "1" * 40, "2" * 40
GOOD = f"""Title.

Reason.

diff --git a/train.py b/train.py
index {BEFORE}..{AFTER} 100644
--- a/train.py
+++ b/train.py
@@ -1,0 +2 @@
+import os
@@ -3,0 +5,2 @@ def main():
+a
+b
"""


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "01-x.patch"
    path.write_text(text)
    return path


def test_a_patch_is_read(tmp_path):
    patch = read_patch(written(tmp_path, GOOD))
    assert (patch.title, patch.reason) == ("Title.", "Reason.")
    assert patch.files[0].insertions == (Insertion(1, (b"import os",)), Insertion(3, (b"a", b"b")))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("+import os", "-import os", "other lines than insertions"),
        ("@@ -1,0 +2 @@", "@@ -1 +1 @@", "more than insert"),
        ("+a\n", " a\n", "other lines than insertions"),
        ("train.py", "../train.py", "the path"),
        ("train.py", "/etc/passwd", "path|agree|binary"),
        ("train.py", ".git/hooks/x", "the path"),
        ("b/train.py\nindex", "b/other.py\nindex", "the path"),
        (BEFORE, BEFORE[:7], "abbreviated"),
        (f"index {BEFORE}..{AFTER} 100644", "similarity index 100%\nrename from a", "renamed"),
        (f"index {BEFORE}..{AFTER} 100644", "new file mode 100644", "new, deleted"),
        ("+b\n", "+b\nstray\n", "outside a hunk|more than insert"),
        ("Title.\n\nReason.\n\n", "", "title, a reason"),
        ("Reason.\n\n", "", "title, a reason"),
    ],
)
def test_everything_else_is_refused_by_line(tmp_path, old, new, message):
    assert old in GOOD
    with pytest.raises(InputError, match=message):
        read_patch(written(tmp_path, GOOD.replace(old, new)))


def test_applying_gives_what_git_would(repository, patch_files, tmp_path):
    apply_patches(repository, [read_patch(path) for path in patch_files])
    clone = tmp_path / "clone"
    for name in ("train.py", "libs/data.py"):
        assert (repository / name).read_bytes() == (clone / name).read_bytes()


def test_a_patched_tree_is_refused_and_unharmed(repository, patch_files):
    patches = [read_patch(path) for path in patch_files]
    apply_patches(repository, patches)
    before = (repository / "train.py").read_bytes()
    with pytest.raises(InputError, match=r"has blob|already patched"):
        apply_patches(repository, patches)
    with pytest.raises(InputError, match="already patched"):
        apply_patches(repository, patches[1:])
    assert (repository / "train.py").read_bytes() == before
    assert set(file_states(repository, patches).values()) == {"patched"}


@pytest.mark.parametrize("change", ["edit", "crlf", "delete", "link", "folder link"])
def test_a_drifted_tree_is_refused_and_nothing_is_written(repository, patch_files, change):
    train, data = repository / "train.py", repository / "libs/data.py"
    untouched = data.read_bytes()
    if change == "folder link":  # what is behind it is the very file that the patch was made for
        (repository / "libs").rename(repository.parent / "elsewhere")
        (repository / "libs").symlink_to(repository.parent / "elsewhere")
    if change == "edit":
        train.write_text(train.read_text().replace("training", "Training"))
    elif change == "crlf":
        train.write_bytes(train.read_bytes().replace(b"\n", b"\r\n"))
    elif change != "folder link":
        train.unlink()
        if change == "link":
            train.symlink_to("/etc/hostname")
    patches = [read_patch(path) for path in patch_files]
    with pytest.raises(InputError, match=r"libs/data\.py" if change == "folder link" else r"train\.py"):
        apply_patches(repository, patches)
    assert data.read_bytes() == untouched


def test_crlf_files_are_patched_as_they_are(tmp_path):
    content = b"one\r\ntwo\r\n"
    assert inserted(content, [Insertion(1, (b"new\r",))]) == b"one\r\nnew\r\ntwo\r\n"


def test_blob_id_is_gits():
    assert blob_id(b"") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    assert blob_id(b"hello\n") == "ce013625030ba8dba906f756967f9e9ca394464a"


@pytest.mark.parametrize("model", MODELS)
def test_shipped_patches_have_one_purpose_each_and_call_the_hooks_only(model):
    patches = model_patches(kit.patches(model))
    names = [patch.source.name for patch in patches]
    usual = ["01-subset.patch", "02-timing.patch", "03-metrics.patch"]
    assert [name for name in names if name in usual] == usual
    others = {"tetad": ["00-repair.patch"], "dyfadet": ["04-settings.patch"]}
    assert [name for name in names if name not in usual] == others.get(model, []) or not MODELS[model].shipped
    inserted_lines = [
        line.decode() for p in patches for change in p.files for one in change.insertions for line in one.lines
    ]
    assert sum("tal_hooks.restrict" in line for line in inserted_lines) == 1
    assert {"run", "epoch", "train", "eval", "checkpoint", "iteration"} == {
        line.split("event('")[1].split("'")[0] for line in inserted_lines if "event('" in line
    }
    assert sum("tal_hooks.detections" in line for line in inserted_lines) == 1


def test_a_patch_whose_result_is_not_what_it_states_is_refused_and_nothing_is_written(repository, patch_files):
    """An added line that was changed: it applies, and gives other code than the patch was made to give."""
    text = patch_files[0].read_text()
    patch_files[0].write_text(text.replace("kept[:1]", "kept[:2]"))
    before = (repository / "libs/data.py").read_bytes()
    with pytest.raises(InputError, match=r"gives libs/data\.py blob [0-9a-f]{40}, not [0-9a-f]{40}"):
        apply_patches(repository, [read_patch(path) for path in patch_files])
    assert (repository / "libs/data.py").read_bytes() == before

"""The checkout is used only at its commit, clean and pristine; the copy is made once and whole."""

import dataclasses
import json

import pytest
from click.testing import CliRunner

from tal_repro import kit
from tal_repro.cli import main
from tal_repro.engines import registry
from tal_repro.engines.upstream import checkout
from tal_repro.errors import InputError
from tal_repro.models.registry import MODELS


@pytest.fixture
def standin(monkeypatch, git, repository, patch_files, tmp_path):
    """Put the stand-in repository in the place of TriDet's."""
    commit = git(repository, "rev-parse", "HEAD").strip()
    entry = dataclasses.replace(MODELS["tridet"], commit=commit, submodule="StandIn", name="standin")
    monkeypatch.setitem(MODELS, "standin", entry)
    monkeypatch.setenv(checkout.THIRD_PARTY_VARIABLE, str(tmp_path))
    monkeypatch.setenv(checkout.PREPARED_VARIABLE, str(tmp_path / "prepared"))
    monkeypatch.setattr(kit, "patches", lambda model: tmp_path / "patches" / model)
    registry.patch_hash.cache_clear()
    yield repository
    registry.patch_hash.cache_clear()


def test_a_clean_checkout_becomes_a_patched_copy_once(standin):
    assert checkout.status("standin").problem == ""
    copy = checkout.prepare("standin")
    assert "hooked" in (copy / "train.py").read_text()
    assert not (copy / ".git").exists()
    assert "hooked" not in (standin / "train.py").read_text()
    stamp = (copy / "train.py").stat().st_mtime_ns
    assert checkout.prepare("standin") == copy
    assert (copy / "train.py").stat().st_mtime_ns == stamp


def test_a_damaged_copy_is_made_again(standin):
    copy = checkout.prepare("standin")
    (copy / "train.py").write_text("damaged")
    assert "hooked" in (checkout.prepare("standin") / "train.py").read_text()


@pytest.mark.parametrize("damage", ["edited", "deleted", "mark of before", "broken mark"])
def test_a_copy_is_made_again_where_a_file_that_no_patch_touches_was_changed(standin, git, damage):
    """The blob ids of patched files say nothing of the others, and those run as well."""
    (standin / "libs" / "other.py").write_text("theirs")
    git(standin, "add", ".")
    git(standin, "commit", "-qm", "another file")
    MODELS["standin"] = dataclasses.replace(MODELS["standin"], commit=git(standin, "rev-parse", "HEAD").strip())
    copy = checkout.prepare("standin")
    mark, other = copy / checkout.MARK, copy / "libs" / "other.py"
    assert checkout.changed_files(copy) == []
    (copy / "libs" / "__pycache__").mkdir()  # what a run leaves beside them is no change
    if damage == "edited":
        other.write_text("another's")
    elif damage == "deleted":
        other.unlink()
    else:
        mark.write_text("{}" if damage == "mark of before" else "[")
    assert checkout.changed_files(copy) == ([checkout.MARK] if "mark" in damage else ["libs/other.py"])
    assert checkout.prepare("standin") == copy
    assert other.read_text() == "theirs"


def test_a_changed_patch_gets_a_copy_of_its_own(standin, tmp_path):
    first = checkout.prepare("standin")
    (tmp_path / "patches" / "standin" / "02-timing.patch").unlink()
    registry.patch_hash.cache_clear()
    second = checkout.prepare("standin")
    assert first != second
    assert "hooked" not in (second / "train.py").read_text()


def test_what_is_wrong_is_named_with_the_command_that_mends_it(standin, git, tmp_path):
    (standin / "train.py").write_text("changed")
    with pytest.raises(InputError, match=r"local changes(.|\n)*checkout --force"):
        checkout.prepare("standin")
    git(standin, "commit", "-qam", "second")
    with pytest.raises(InputError, match=r"pinned is(.|\n)*checkout --force"):
        checkout.prepare("standin")
    assert list((tmp_path / "prepared").glob("*")) == []


def test_an_exported_tree_without_git_is_judged_by_its_files(standin):
    import shutil

    shutil.rmtree(standin / ".git")
    found = checkout.status("standin")
    assert (found.commit, found.clean, found.problem) == ("", None, "")
    (standin / "train.py").write_text("changed")
    with pytest.raises(InputError, match="drifted"):
        checkout.prepare("standin")


def test_a_missing_checkout_says_how_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv(checkout.THIRD_PARTY_VARIABLE, str(tmp_path))
    monkeypatch.setenv(checkout.PREPARED_VARIABLE, str(tmp_path / "prepared"))
    answer = CliRunner().invoke(main, ["upstream", "prepare", "tadtr"])
    assert answer.exit_code == 2
    assert "make submodules" in answer.output
    answer = CliRunner().invoke(main, ["upstream", "status", "--json"])
    assert answer.exit_code == 1
    found = json.loads(answer.stdout)
    assert found["schema"] == "tal-repro/upstream-status/1"
    assert {one["model"] for one in found["models"]} == set(MODELS)
    assert not any(one["present"] for one in found["models"])


def test_diff_shows_every_patch_and_shim():
    answer = CliRunner().invoke(main, ["upstream", "diff", "all"])
    assert answer.exit_code == 0
    assert answer.output.count("01-subset.patch") == len(MODELS)
    assert "np.float left numpy" in answer.output

"""Extra packages of a model: looked for before its code runs, never installed then; part of a run's identity."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from tal_repro import kit
from tal_repro.engines import registry
from tal_repro.engines.upstream.requirements import check_packages
from tal_repro.errors import InputError

ROOT = Path(__file__).parents[3]
HERE = metadata.version("numpy")
HASH = f" \\\n    --hash=sha256:{'0' * 64}\n"


@pytest.fixture
def lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The lock of TE-TAD in a folder of patches of the test's own."""
    (tmp_path / "patches" / "tetad").mkdir(parents=True)
    monkeypatch.setattr(kit, "patches", lambda model: tmp_path / "patches" / model)
    registry.patch_hash.cache_clear()
    yield tmp_path / "patches" / "tetad" / "requirements.lock"
    registry.patch_hash.cache_clear()


def test_what_is_here_at_its_version_is_counted(lock: Path) -> None:
    assert check_packages("tetad") == 0
    lock.write_text(f"# by make lock\nnumpy=={HERE}{HASH}winonly==1 ; sys_platform == 'win32'{HASH}")
    assert check_packages("tetad") == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"nobody-has-this==1.0{HASH}", "nobody-has-this 1.0 is needed, here is none"),
        (f"numpy==0.1{HASH}", f"numpy 0.1 is needed, here is {HERE}"),
    ],
)
def test_what_is_not_here_stops_a_run_before_the_authors_code(lock: Path, text: str, said: str) -> None:
    from tal_repro.engines.upstream.added import AddedAdapter

    lock.write_text(text)
    with pytest.raises(InputError, match=said) as caught:
        AddedAdapter("tetad").build_for_macs(64)
    assert "make setup-upstream" in caught.value.remedy


@pytest.mark.parametrize(
    "text", ["numpy ==== 1", "numpy>=1.0", "numpy==2.*", "numpy~=2.4", "-e .", "numpy @ file:///x"]
)
def test_a_line_that_is_no_package_at_a_version_is_named(lock: Path, text: str) -> None:
    lock.write_text(f"# a comment\n{text}\n")
    with pytest.raises(InputError, match="line 2"):
        check_packages("tetad")


def test_a_lock_that_cannot_be_read_is_never_taken_for_none(lock: Path) -> None:
    lock.write_bytes(b"# \xff\n")
    with pytest.raises(InputError, match="not UTF-8"):
        check_packages("tetad")
    lock.unlink()
    lock.symlink_to(lock)
    with pytest.raises(OSError, match="symbolic links"):
        check_packages("tetad")


def test_another_version_gives_other_runs_and_the_image_says_the_same_hash(lock: Path) -> None:
    (lock.parent / "01-subset.patch").write_text("a patch")
    hashes = []
    for text in (None, "addict==2.4.0\n", "addict==2.3.0\n"):
        if text is not None:
            lock.write_text(text)
        registry.patch_hash.cache_clear()
        hashes.append(registry.patch_hash("tetad"))
        script = f". {ROOT}/docker/engine.sh; patch_hash tetad"
        words = ["bash", "-c", script]
        said = subprocess.run(words, cwd=lock.parents[2], capture_output=True, text=True, check=True).stdout
        assert said.strip() == hashes[-1]
    assert len(set(hashes)) == 3

"""Write access, and what --fix does and leaves alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from machines import checkout, machine, needs

from tal_repro.doctor import mend
from tal_repro.doctor.host import write_access
from tal_repro.machine.host import obstacle


def test_each_folder_that_cannot_be_written_is_told(tmp_path):
    wanted = needs(results=tmp_path / "runs", upstream=())
    (found,) = write_access(wanted, machine())
    assert (found.status, found.what) == ("ok", "results can be written and locked")
    found = list(write_access(needs(results=tmp_path / "r", makes_data=True, upstream=()), machine(
        obstacle=lambda folder: "read-only file system" if folder.name == "r" else ""
    )))  # fmt: skip
    assert [(one.check, one.status) for one in found] == [("write results", "fail"), ("write access", "ok")]
    assert "--results" in found[0].remedy


def test_an_image_is_read_only_and_its_copies_are_not_written(tmp_path, monkeypatch):
    monkeypatch.setenv("TAL_REPRO_UPSTREAM", str(tmp_path / "copies"))
    readonly = {"obstacle": lambda folder: "read-only" if folder.name == "copies" else ""}
    wanted = needs(results=tmp_path, data=None)
    assert [one.status for one in write_access(wanted, machine(**readonly))] == ["fail", "ok"]
    inside = machine(environment={"TAL_REPRO_CONTAINER": "kit"}, **readonly)
    assert [one.status for one in write_access(wanted, inside)] == ["ok"]


def test_obstacles(tmp_path):
    assert obstacle(tmp_path) == ""
    assert obstacle(tmp_path / "new" / "deeper") == ""
    assert list(tmp_path.iterdir()) == []  # looking leaves nothing behind
    (tmp_path / "file").touch()
    assert "is not a folder" in obstacle(tmp_path / "file" / "below")
    assert "cannot be written" in obstacle(Path("/proc"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere; run it as another user")
def test_a_folder_of_somebody_else(tmp_path):
    tmp_path.chmod(0o555)
    assert "permission denied" in obstacle(tmp_path / "new").lower()


def test_fix_makes_folders_and_not_the_data_folder_itself(tmp_path):
    wanted = needs(results=tmp_path / "a" / "runs", data=tmp_path / "b" / "thumos14", upstream=())
    done = list(mend.mend(wanted, machine()))
    assert done == [f"made {tmp_path / 'a' / 'runs'}", f"made {tmp_path / 'b'}"]
    assert not (tmp_path / "b" / "thumos14").exists()
    assert list(mend.mend(wanted, machine())) == []


def test_fix_removes_locks_that_nobody_holds_and_nothing_else(tmp_path):
    from tal_repro.run import locks

    wanted = needs(results=tmp_path, data=None, upstream=())
    held = tmp_path / ".locks" / "held"
    code = (
        "import sys; from pathlib import Path; from tal_repro.run import locks; "
        "lock = locks.acquire(Path(sys.argv[1])); print('held', flush=True); sys.stdin.read()"
    )
    import subprocess
    import sys

    held.parent.mkdir()
    (held.parent / "stale").write_text("{}")
    partial = tmp_path / "baseline" / "tadtr" / "0123456789abcdef.partial"
    partial.mkdir(parents=True)
    (partial / "checkpoint").write_text("days of work")
    with subprocess.Popen(
        [sys.executable, "-c", code, str(held)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == b"held\n"
        assert list(mend.mend(wanted, machine())) == ["removed 1 stale lock"]
        assert locks.owner(held) is not None
        other.communicate()
    assert (partial / "checkpoint").read_text() == "days of work"


def test_fix_makes_copies_of_good_checkouts_alone(monkeypatch):
    from tal_repro.engines.upstream import checkout as real
    from tal_repro.errors import InputError

    states = {
        "tadtr": checkout("tadtr"),
        "tridet": checkout("tridet", problem="has local changes", remedy="git stash"),
        "actionformer": checkout("actionformer", prepared="/copies/a"),
        "temporalmaxer": checkout("temporalmaxer"),
    }

    def prepare(model: str) -> Path:
        if model == "temporalmaxer":
            raise InputError("disk full")
        return Path("/copies") / model

    monkeypatch.setattr(real, "prepare", prepare)
    wanted = needs(results=Path("/"), data=None, upstream=tuple(states))
    done = list(mend._copies(wanted, machine(checkout=states.__getitem__)))
    assert done == [
        "made the patched copy of tadtr in /copies/tadtr",
        "could not make the patched copy of temporalmaxer (disk full)",
    ]


def test_fix_says_what_it_could_not_do(tmp_path):
    (tmp_path / "file").touch()
    wanted = needs(results=tmp_path / "file" / "runs", data=None, upstream=())
    (said,) = mend.mend(wanted, machine())
    assert said.startswith(f"could not make {tmp_path / 'file' / 'runs'}")

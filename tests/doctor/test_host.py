"""Disk, memory, cores and clock: the figures, and the point at which each becomes a warning or a failure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from machines import machine, needs

from tal_repro.doctor.host import data_bytes, findings
from tal_repro.doctor.probes import Clock
from tal_repro.machine.host import GIB, Answer, Disk

ROOMY = Disk(1, 100 * GIB, 200 * GIB, 10**6)


def look(
    wanted: dict[str, Any] | None = None, answers: dict[str, Answer] | None = None, **changes: Any
) -> dict[str, Any]:
    programs = changes.pop("programs", ("git",))
    return {one.check: one for one in findings(needs(**wanted or {}), machine(answers, programs, **changes))}


def test_a_roomy_machine():
    found = look()
    assert {one.status for one in found.values()} == {"ok"}
    assert list(found) == ["disk of results", "memory", "shared memory", "cores", "clock"]


def test_needs_on_one_file_system_add_up():
    """1 GiB of results and both layouts with their archives: 15 GiB."""
    for free, status in ((15.9, "fail"), (16.1, "warn"), (18.1, "ok")):
        disk = look(disk=lambda path, free=free: Disk(1, int(free * GIB), 20 * GIB, -1))["disk of results"]
        assert disk.status == status, free
        assert disk.figures["needed_bytes"] == 16 * GIB
        assert "results 1.0 GiB + data 15.0 GiB needed" in disk.what


def test_file_systems_are_judged_apart():
    small = {"results": Disk(1, GIB // 2, 9 * GIB, -1)}
    found = look({"results": Path("results")}, disk=lambda path: small.get(path.name, Disk(2, 90 * GIB, 99 * GIB, -1)))
    assert (found["disk of results"].status, found["disk of data"].status) == ("fail", "ok")
    assert found["disk of results"].what == "results 1.0 GiB needed, 0.5 GiB of 9.0 GiB free"
    assert found["disk of results"].remedy.startswith("free 0.5 GiB there, or use another disk")


def test_files_can_run_out_before_bytes():
    found = look(disk=lambda path: Disk(1, 100 * GIB, 200 * GIB, 158 * 39))["disk of results"]
    assert found.status == "fail"
    assert "files can still be made" in found.what


def test_an_image_that_must_be_built_needs_room_where_the_engine_keeps_it():
    answers = {"docker info": Answer(0, json.dumps({"DockerRootDir": "/srv/docker"}))}
    disk = {"/srv/docker": Disk(9, 5 * GIB, 50 * GIB, -1)}
    wanted = {"runtime": "docker"}
    found = look(wanted, answers, programs=("docker",), disk=lambda path: disk.get(str(path), ROOMY))
    assert found["disk of image"].status == "fail"
    answers["docker image inspect"] = Answer(0, "sha256:1")
    assert "disk of image" not in look(wanted, answers, programs=("docker",))


def test_what_fetching_takes_is_what_is_missing(tmp_path):
    both = needs(data=tmp_path)
    assert data_bytes(both) == 15 * GIB
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations" / "thumos14.json").touch()
    assert data_bytes(both) == 5 * GIB
    assert data_bytes(needs(data=tmp_path, layouts=())) == 0
    assert data_bytes(needs(data=tmp_path / "none", layouts=())) == 10 * GIB


@pytest.mark.parametrize(
    ("changes", "wanted", "check", "status", "said"),
    [
        ({"memory": lambda: (4 * GIB, 4 * GIB)}, {}, "memory", "ok", "4.0 GiB are enough for 1 run at a time"),
        ({"memory": lambda: (8 * GIB, 3 * GIB)}, {}, "memory", "warn", "3.0 GiB of 8.0 GiB available"),
        ({"memory": lambda: (8 * GIB, 8 * GIB)}, {"jobs": 3}, "memory", "warn", "12.0 GiB are enough for 3 runs"),
        ({"shared_memory": lambda: 64 * 2**20}, {}, "shared memory", "warn", "64 MiB free in /dev/shm for 4"),
        ({"shared_memory": lambda: -1}, {}, "shared memory", "warn", "there is no /dev/shm"),
        ({"cores": lambda: 4}, {}, "cores", "warn", "4; a training and its loader workers use 5"),
        ({"cores": lambda: 5}, {}, "cores", "ok", "5 usable"),
        ({"cores": lambda: 2}, {"cuda": False}, "cores", "ok", "2 usable"),
        ({"clock": lambda: Clock(0.0, 1.7e9, None)}, {}, "clock", "fail", "1970-01-01 00:00 UTC is 19676 days before"),
        ({"clock": lambda: Clock(1e9, 1e9 + 80000, None)}, {}, "clock", "ok", "2001"),
        ({"clock": lambda: Clock(1e9, 0, False)}, {}, "clock", "warn", "not synchronised"),
        ({"clock": lambda: Clock(1e9, 0, True)}, {}, "clock", "ok", ", synchronised"),
    ],
)
def test_thresholds(changes, wanted, check, status, said):
    found = look(wanted, **changes)[check]
    assert (found.status, said in found.what) == (status, True), found


def test_loader_workers_alone_want_shared_memory():
    assert "shared memory" not in look({"loader_workers": 0})

"""`tal-repro doctor`: one line a check, JSON under its schema, exit codes, and real probes of this machine."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner
from machines import machine, needs

import tal_repro
from tal_repro.cli import main
from tal_repro.doctor import examine as examining
from tal_repro.doctor import this_machine
from tal_repro.doctor.finding import Finding, exit_code, fail, line, ok, warn
from tal_repro.errors import InputError
from tal_repro.machine import host
from tal_repro.machine.gpus import Gpus

SCHEMA = json.loads((Path(tal_repro.__file__).parent / "schemas" / "doctor.json").read_text())
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def on(monkeypatch: pytest.MonkeyPatch):
    """Put a made-up machine in the place of this one."""

    def put(**changes: Any) -> None:
        monkeypatch.setattr(this_machine, "this_machine", lambda: machine(**changes))

    return put


def call(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["doctor", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_findings_carry_a_remedy_exactly_where_something_is_to_do():
    with pytest.raises(ValueError):
        Finding("disk", "fail", "full")
    with pytest.raises(ValueError):
        Finding("disk", "ok", "roomy", "nothing")
    assert exit_code([ok("a", "b"), warn("c", "d", "e")]) == 0
    assert exit_code([ok("a", "b"), fail("c", "d", "e")]) == 1


def test_a_line_stays_a_line_whatever_is_in_it():
    text = line(fail("disk", "folder a\nb\x1b[31m\tis full", "rm\r"), 6)
    assert text == "fail  disk    folder a b [31m is full; remedy: rm "


def test_a_fit_machine_says_so_and_exits_0(on, tmp_path):
    on()
    code, out, err = call("--study", "demo", "--results", str(tmp_path / "runs"))
    lines = out.splitlines()
    assert (code, "0 in the way" in err) == (0, True), out
    assert all(text.startswith("ok    ") for text in lines if "locks" not in text)
    assert not (tmp_path / "runs").exists()  # looking makes nothing


def test_what_is_in_the_way_exits_1_with_every_remedy(on, tmp_path):
    on(gpus=Gpus)
    code, out, err = call("--results", str(tmp_path / "runs"), "--data", str(tmp_path / "no data"))
    failed = [text for text in out.splitlines() if text.startswith("fail")]
    assert code == 1
    assert {text.split()[1] for text in failed} >= {"driver", "data"}
    assert all("; remedy: " in text for text in failed)
    assert "--fix makes folders" in err


def test_json_is_alone_on_standard_output_and_meets_its_schema(on, tmp_path):
    on()
    where = ("--results", str(tmp_path / "runs"), "--data", str(tmp_path), "--set", "engine=native")
    code, out, err = call(*where, "--fix", "--json")
    answer = json.loads(out)
    jsonschema.validate(answer, SCHEMA)
    fixed = [line for line in answer["fixed"] if "patched copy of" not in line]  # of models that were added
    assert fixed == [f"made {tmp_path / 'runs'}"]
    assert f"fix: made {tmp_path / 'runs'}\n" in err
    assert (answer["can_run"], code) == (False, 1)  # there is no data set
    assert answer["counts"]["fail"] == sum(check["status"] == "fail" for check in answer["checks"])
    disk = next(check for check in answer["checks"] if check["check"] == "disk of results")
    assert disk["figures"]["needed_bytes"] > 2**30
    before = json.loads(call(*where, "--before-fetch", "--json")[1])
    assert next(check for check in before["checks"] if check["check"] == "data set")["status"] == "warn"


def test_inside_an_image_the_engine_is_not_asked(on, tmp_path, monkeypatch):
    monkeypatch.setenv("TAL_REPRO_CONTAINER", "kit")
    on(environment={"TAL_REPRO_CONTAINER": "kit"})
    answer = json.loads(call("--results", str(tmp_path / "runs"), "--runtime", "docker", "--json")[1])
    container = next(check for check in answer["checks"] if check["check"] == "container")
    assert container["what"] == "inside image kit (local)"


def test_mistakes_exit_2(tmp_path):
    code, _, err = call("--study", "no-such-study")
    assert (code, "no study 'no-such-study'" in err) == (2, True)
    assert call("--runtime", "lxc")[0] == 2


def test_a_check_that_cannot_look_is_a_finding_and_the_others_go_on(monkeypatch):
    def broken(*_: Any) -> Any:
        raise InputError("is missing", "env/torch_builds.py", "make setup")

    def unreadable(*_: Any) -> Any:
        raise PermissionError(13, "Permission denied", "/secret")

    monkeypatch.setitem(examining.CHECKS, "driver", broken)
    monkeypatch.setitem(examining.CHECKS, "locks", unreadable)
    found = examining.examine(needs(), machine())
    broken_ones = [one for one in found if "cannot be looked at" in one.what]
    assert [one.check for one in broken_ones] == ["driver", "locks"]
    assert broken_ones[0].remedy == "make setup"
    assert any(one.check == "memory" for one in found)


def test_this_machine_is_seen_as_it_is(tmp_path, monkeypatch):
    probes = this_machine.this_machine()
    total, available = probes.memory()
    assert total > available > 0
    assert probes.cores() >= 1
    assert probes.installed()["numpy"]
    disk = probes.disk(tmp_path / "not" / "there" / "yet")
    assert disk.total_bytes >= disk.free_bytes > 0
    assert disk.device == probes.disk(tmp_path).device
    assert probes.run(["sh", "-c", "echo out; echo err >&2; exit 3"]) == host.Answer(3, "out\n", "err\n")
    assert probes.run([str(tmp_path / "no-program")]).code == -1
    assert host.run(["sleep", "9"], 0.05).code == -1
    assert probes.clock().now > 1.7e9
    monkeypatch.setattr(sys, "prefix", str(tmp_path))
    for mark in (".full", ".torch-cpu"):
        (tmp_path / mark).touch()
    assert probes.layers() == {"full", "torch-cpu"}


def test_torch_is_asked_in_a_process_of_its_own(tmp_path, monkeypatch):
    fake = tmp_path / "torch"
    fake.mkdir()
    text = (
        "import types\n__version__ = '2.13.0'\n"
        "def init():\n    raise RuntimeError('no device\\nmore')\n"
        "cuda = types.SimpleNamespace(init=init, is_available=lambda: False, get_arch_list=lambda: ['sm_80'])\n"
    )
    (fake / "__init__.py").write_text(text)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert this_machine.ask_torch() == this_machine.Torch("2.13.0", False, ("sm_80",), "no device")
    (fake / "__init__.py").write_text("raise ImportError('broken')")
    assert this_machine.ask_torch() is None


def test_the_light_environment_is_enough():
    """Without torch, NVML and psutil importable the doctor still answers."""
    code = (
        "import sys\n"
        "for name in ('torch', 'pynvml', 'psutil', 'fvcore', 'yaml'): sys.modules[name] = None\n"
        "from tal_repro.cli import main\n"
        "main(['doctor', '--study', 'demo', '--json'])\n"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert answer.returncode in (0, 1), answer.stderr
    jsonschema.validate(json.loads(answer.stdout), SCHEMA)

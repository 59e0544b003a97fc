"""The real image under a real engine: what is read-only, who owns the results, what kills it and how it goes on.

make image TORCH=cpu RUNTIME=podman && RUNTIME=podman pytest -m image tests/image
Without an engine that pulls: .ci/image_build.sh install && .ci/image_build.sh base && eval "$(.ci/image_build.sh env)"
"""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
from jsonschema import validate

from tal_repro import __version__
from tal_repro.engines.registry import patch_hash
from tal_repro.models.registry import MODELS
from tal_repro.runs.store import RunStore
from tal_repro.study import load_study
from tests.image.conftest import CALLER, ENGINE, ROOT, ended, image_name, skip_without

pytestmark = [pytest.mark.image, pytest.mark.timeout(1800)]
IMAGE = image_name("kit")
DEMO = ("demo", "--only", "model=tadtr")
LOOK = """
import json, os, pathlib, socket
def writes(path):
    try:
        pathlib.Path(path, "probe").write_text("x")
        return True
    except OSError:
        return False
status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
print(json.dumps({
    "writable": [path for path in ("/", "/opt/kit", "/opt/venv", "/study", "/study/data", "/study/results", "/tmp",
                                   "/home/kit", "/etc", "/usr/local") if writes(path)],
    "user": [os.getuid(), os.getgid()], "interfaces": [name for _, name in socket.if_nameindex()],
    "capabilities": int(status["CapEff"], 16) | int(status["CapPrm"], 16) | int(status["CapBnd"], 16),
    "no_new_privileges": status["NoNewPrivs"].strip(), "pid_1": open("/proc/1/comm").read().strip(),
    "certificates": len(os.listdir("/etc/ssl/certs")),
    "packages": [len(open(f"/usr/local/share/{kind}-packages.txt").readlines()) for kind in ("debian", "python")],
}))
"""


@pytest.fixture(scope="module", autouse=True)
def image() -> None:
    skip_without("kit")


def done(results: Path) -> dict[str, float]:
    """Return finished runs with the time they were finished."""
    records = RunStore(results / "demo" / "runs").records()
    return {record.spec.run_id: record.paths.status.stat().st_mtime for record in records}


def wait_for_more(results: Path, count: int, process: subprocess.Popen[str]) -> None:
    """Wait until `count` runs are finished, so that another is in its middle."""
    end = time.monotonic() + 600
    while len(done(results)) < count:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end
        time.sleep(0.1)


def test_verify_gives_every_verdict(kit):
    code, out, said = ended(kit("verify", "--json"))
    assert code == 0, said
    validate(json.loads(out), json.loads((ROOT / "tal_repro" / "schemas" / "verify.json").read_text()))


def test_only_results_can_be_written_and_nothing_can_be_reached(kit, tmp_path):
    code, out, said = ended(kit("-c", LOOK, run_args="--entrypoint python3"))
    assert code == 0, said
    seen = json.loads(out)
    assert seen["writable"] == ["/study/results", "/tmp"]
    assert seen["user"] == list(CALLER)
    assert seen["interfaces"] == ["lo"]
    assert seen["capabilities"] == 0
    assert seen["no_new_privileges"] == "1"
    assert min(seen["packages"]) > 20
    assert seen["certificates"] > 100  # for the container that fetches data
    assert (tmp_path / "results" / "probe").stat().st_uid == CALLER[0]


def test_labels_say_what_the_image_holds():
    asked = subprocess.run([*ENGINE, "image", "inspect", IMAGE], capture_output=True, text=True, check=True).stdout
    config: dict[str, Any] = json.loads(asked)[0]["Config"]
    labels = config["Labels"]
    assert config["User"] == "1000:1000"
    assert labels["org.opencontainers.image.version"] == __version__
    assert labels["org.opencontainers.image.revision"]
    assert labels["tal-repro.lock.base"].startswith("sha256:")
    assert {model: labels[f"tal-repro.patches.{model}"] for model in MODELS} == {m: patch_hash(m) for m in MODELS}


def test_killed_and_stopped_it_goes_on_and_the_results_are_the_callers(kit, tmp_path):
    results = tmp_path / "results"

    first = kit(*DEMO, named=True)
    wait_for_more(results, 3, first)
    subprocess.run([*ENGINE, "kill", "--signal", "KILL", kit.name], check=True, capture_output=True)
    assert ended(first)[0] == 137
    before = done(results)

    second = kit(*DEMO, named=True)
    wait_for_more(results, len(before) + 3, second)
    began = time.monotonic()
    second.terminate()  # the engine hands it to PID 1, which hands it to the runner
    code, _, said = ended(second)
    assert code == 143, said
    assert time.monotonic() - began < 10
    assert f"{len(before)} finished runs reused" in said
    between = done(results)

    third = kit(*DEMO)
    code, _, said = ended(third)
    assert code == 0, said
    assert f"{len(between)} finished runs reused" in said
    after = done(results)
    assert before.items() <= between.items() <= after.items()  # nothing finished was run again
    assert set(after) == {spec.run_id for spec in load_study("demo").runs("core") if spec.model == "tadtr"}
    assert {path.stat().st_uid for path in results.rglob("*")} == {CALLER[0]}
    digest = subprocess.run([*ENGINE, "image", "inspect", "--format", "{{.Id}}", IMAGE], capture_output=True, text=True)
    containers = {record.system["container"] for record in RunStore(results / "demo" / "runs").records()}
    assert containers == {f"sha256:{digest.stdout.strip().removeprefix('sha256:')}"}

"""docker/kit.sh check: what `reproduce-all` asks of a machine before its first long step, with stand-in programs."""

import subprocess
from pathlib import Path

import pytest

from tests.docker.test_kit_script import DAEMON_DOWN, FULL, NO_GPU, engine, kit  # noqa: F401  # engine is a fixture

GPU = "echo 'GPU 0: NVIDIA A10 (UUID: GPU-1)'"
ALL_WELL = {"run": GPU, "nvidia-smi": GPU}
FULL_DISK = {"info": "case $# in 1) ;; *) echo / ;; esac", "df": "echo h; echo x 1 1 2000000 1% /"}
PERMISSION = "echo 'permission denied while trying to connect to docker.sock' >&2; exit 1"


def test_a_machine_that_is_well_passes_and_builds_nothing(engine, tmp_path):  # noqa: F811
    settings = engine(**ALL_WELL, build=f"echo > {tmp_path}/built", git="true")
    answer = kit("--target", "upstream", "--gpu", "check", **settings)
    assert answer.returncode == 0, answer.stderr
    assert "GPU under docker: GPU 0: NVIDIA A10\n" in answer.stderr
    assert not (tmp_path / "built").exists()


@pytest.mark.parametrize(
    ("behaviour", "message", "remedy"),
    [
        ({"info": f"echo '{DAEMON_DOWN}' >&2; exit 1"}, "Is the docker daemon", "systemctl start docker"),
        ({"info": PERMISSION}, "permission denied", "usermod -aG docker"),
        (FULL_DISK, "has 2 GB left", "make room"),
        ({"nvidia-smi": "exit 9"}, "lists no GPU", "install NVIDIA's driver"),
        ({"run": f"echo '{NO_GPU}' >&2; exit 125"}, "could not select", "nvidia-ctk runtime"),
        ({"run": "echo 'exec: nvidia-smi: not found' >&2; exit 127"}, "but not under docker", "nvidia-ctk runtime"),
        ({"run": "echo No devices"}, "none of this machine's 1 GPUs", "nvidia-ctk runtime"),
        ({"run": "echo 'toomanyrequests: limit' >&2; exit 125"}, "toomanyrequests", "docker login"),
        ({"run": f"echo 'x: {FULL}' >&2; exit 125"}, "no space left on device", "make room"),
    ],
)
def test_each_trouble_is_an_error_with_its_remedy(engine, behaviour, message, remedy):  # noqa: F811
    answer = kit("--gpu", "check", **engine(**(ALL_WELL | behaviour)))
    assert answer.returncode == 2, answer.stderr
    assert message in answer.stderr
    assert remedy in answer.stderr.split("remedy:")[1]


OTHER, PINNED = "sha256:" + "0" * 64, "88200866dfff7ea7f5cbcb6ec7c8a701889efe6fe859fe64d6990e4b07ea4171"


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (f"echo {OTHER}", f"is now {OTHER}, pinned is sha256:{PINNED}"),
        (f"echo sha256:{PINNED}", ""),
        ("exit 1", "could not be looked up"),
        ("true", "could not be looked up"),
    ],
    ids=["moved", "the same", "no registry", "no answer"],
)
def test_the_bases_tag_and_digest_are_held_against_each_other_and_a_difference_stops_nothing(engine, answer, said):  # noqa: F811
    settings = engine(**ALL_WELL)
    docker = Path(settings["PATH"].partition(":")[0]) / "docker"
    docker.write_text(docker.read_text().replace('case "$1" in ', f'case "$1" in buildx) {answer} ;; ', 1))
    checked = kit("check", **settings)
    assert checked.returncode == 0, checked.stderr
    assert said in checked.stderr
    assert ("bookworm" in checked.stderr) == bool(said)


def test_a_base_of_ones_own_is_not_looked_up(engine):  # noqa: F811
    assert "looked up" not in kit("check", **engine(**ALL_WELL), BASE_IMAGE="own/base").stderr


@pytest.mark.parametrize(("settings", "fetched"), [({}, False), ({"YES": "1"}, True)], ids=["nobody asked", "YES=1"])
def test_absent_authors_code_is_fetched_only_with_a_yes(tmp_path, settings, fetched):
    checkout = tmp_path / "kit"
    (checkout / "third_party" / "TadTR").mkdir(parents=True)
    for path in ("docker/kit.sh", "docker/engine.sh", "docker/early.sh", "docker/Dockerfile", "tal_repro/__init__.py"):
        copy = checkout / path
        copy.parent.mkdir(exist_ok=True)
        copy.write_bytes((Path(__file__).resolve().parents[2] / path).read_bytes())
    (checkout / "third_party" / "get.sh").write_text("echo > third_party/TadTR/file\n")
    (tmp_path / "git").write_text("#!/bin/sh\n[ $1 != ls-files ] || echo '160000 abc 0\tthird_party/TadTR'\n")
    (tmp_path / "git").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "RUNTIME": "none", "TORCH": "cpu", **settings}
    command = ["bash", str(checkout / "docker" / "kit.sh"), "--target", "upstream", "check"]
    answer = subprocess.run(command, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL)
    assert (checkout / "third_party" / "TadTR" / "file").exists() == fetched
    assert answer.returncode == (0 if fetched else 2), answer.stderr
    assert ("remedy: make submodules" in answer.stderr) == (not fetched)

"""docker/kit.sh: the engine's command line, word for word, and what it says when the engine is not well."""

import itertools
import os
import re
import subprocess
from pathlib import Path

import pytest

from tal_repro import __version__
from tal_repro.engines.registry import patch_hash
from tal_repro.models.registry import MODELS

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "docker" / "kit.sh"
GOLDEN = Path(__file__).parent / "golden"
CURRENT = f'case "$4" in *version*) echo {__version__} ;; *) echo older-commit ;; esac'
DAEMON_DOWN = "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?"
NO_GPU = 'docker: Error response from daemon: could not select device driver "" with capabilities: [[gpu]].'
FULL = "failed to register layer: write /usr/lib/libx.so: no space left on device"


def kit(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "RESULTS_DIR": "/r", "DATA_DIR": "/d", "TORCH": "cuda", **settings}
    command = ["bash", str(SCRIPT), *words]
    return subprocess.run(command, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL)


@pytest.fixture
def engine(tmp_path):
    """Make a stand-in `docker` out of what each of its commands does; return the settings that use it."""

    def make(info="echo", image=f"[ $# = 3 ] || {{ {CURRENT}; }}", run="true", build="true", **more: str):
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        words = f"info) {info} ;; image) {image} ;; run) {run} ;; build) {build} ;; *) exit 99 ;;"
        stand_in(folder / "docker", f'case "$1" in {words} esac')
        for name, body in more.items():
            stand_in(folder / name, body)
        path = f"{folder}:{os.environ['PATH']}"
        return {"PATH": path, "RESULTS_DIR": str(tmp_path / "my results"), "DATA_DIR": str(tmp_path / "d")}

    return make


def stand_in(path: Path, body: str) -> None:
    path.write_text(f"#!/bin/bash\n{body}\n")
    path.chmod(0o755)


def settled(printed: str) -> str:
    """Replace what differs between callers, commits and versions."""
    caller = f"{os.getuid()}:{os.getgid()}" if os.getuid() else "1000:1000"  # root is not root inside
    printed = printed.replace(caller, "UID:GID").replace(__version__, "VERSION").replace(str(ROOT), "CHECKOUT")
    printed = printed.replace("--userns\nkeep-id\n", "")  # podman without root; its own test is below
    printed = re.sub(r"sha256:[0-9a-f]{64}", "sha256:HASH", printed)
    printed = re.sub(r"revision=.*", "revision=COMMIT", printed)
    printed = re.sub(r"(tal-repro.upstream\.[\w-]+)=[0-9a-f]{40}", r"\1=COMMIT", printed)
    return re.sub(r"(tal-repro.patches\.\w+)=[0-9a-f]{8}$", r"\1=HASH", printed, flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("name", "words", "settings"),
    [
        ("docker-run", ("--print", "--", "verify", "--claim", "E 4"), {"RUNTIME": "docker"}),
        ("docker-gpu", ("--print", "--gpu", "--target", "upstream", "--", "run"), {"RUNTIME": "docker"}),
        ("docker-fetch", ("--print", "--fetch", "--", "data"), {"RUNTIME": "docker", "NAME": "x", "TORCH": "cpu"}),
        ("podman-gpu", ("--print", "--gpu", "--", "run"), {"RUNTIME": "podman", "RUN_ARGS": "--ulimit nofile=9:9"}),
        ("podman-study", ("--print", "--study", "tal_repro/studies/demo.toml", "--", "plan"), {"RUNTIME": "podman"}),
        ("apptainer-gpu", ("--print", "--gpu", "--", "run"), {"RUNTIME": "apptainer", "IMAGE": "kit.sif"}),
        ("apptainer-build", ("--print", "build"), {"RUNTIME": "apptainer", "TORCH": "auto"}),
        ("docker-build", ("--print", "--target", "upstream", "build"), {"RUNTIME": "docker", "BASE_IMAGE": "own/base"}),
        ("podman-build", ("--print", "build"), {"RUNTIME": "podman", "TORCH": "auto", "BUILD_ARGS": "--pull=never"}),
        ("none-run", ("--print", "--gpu", "--", "run"), {"RUNTIME": "none"}),
        ("none-build", ("--print", "--target", "upstream", "build"), {"RUNTIME": "none"}),
    ],
)
def test_command_line_is_the_golden_one(name, words, settings):
    answer = kit(*words, **settings)
    assert answer.returncode == 0, answer.stderr
    printed = settled(answer.stdout)
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("REWRITE_GOLDEN"):
        golden.write_text(printed)
    assert printed == golden.read_text(), f"docker/kit.sh changed; look, then REWRITE_GOLDEN=1 pytest {__file__}"


@pytest.mark.parametrize(("asked", "given"), [("", ""), ("auto", ""), ("cpu", "cpu")])
def test_without_a_container_the_environment_chooses_its_own_torch(engine, asked, given):
    answer = kit("build", **engine(make='echo "$1 torch=$TORCH."'), RUNTIME="none", TORCH=asked)
    assert answer.stdout == f".venv/.full torch={given}.\n"


@pytest.mark.parametrize("runtime", ["docker", "podman"])
def test_of_the_callers_environment_only_his_choice_of_gpus_and_of_power_goes_in(runtime):
    settings = {"CUDA_VISIBLE_DEVICES": "2,3", "TAL_REPRO_GRID": "350:x y", "TAL_REPRO_POWER": "", "TOKEN": "secret"}
    words = kit("--print", "--gpu", "--", "run", RUNTIME=runtime, **settings).stdout.splitlines()
    given = [word for option, word in itertools.pairwise(words) if option == "--env"]
    assert given == [
        "CUDA_VISIBLE_DEVICES", "TAL_REPRO_GRID", "TAL_REPRO_POWER", "TAL_REPRO_IMAGE_DIGEST=sha256:<digest>",
    ]  # fmt: skip


def test_apptainer_is_told_the_gpus_in_its_own_variable(engine, tmp_path):
    """Its --env would split "2,3" in two."""
    settings = engine(apptainer='printf "%s" "$APPTAINERENV_CUDA_VISIBLE_DEVICES"')
    image = tmp_path / "kit.sif"
    image.touch()
    answer = kit("--", "run", **settings, RUNTIME="apptainer", IMAGE=str(image), CUDA_VISIBLE_DEVICES="2,3")
    assert answer.stdout == "2,3", answer.stderr


def test_labels_carry_the_hashes_that_runs_carry():
    printed = kit("--print", "build").stdout.splitlines()
    for model in MODELS:
        assert f"tal-repro.patches.{model}={patch_hash(model)}" in printed


@pytest.mark.parametrize(
    ("words", "settings", "message"),
    [
        (("--", "verify"), {"RUNTIME": "lxc"}, "is not a container engine"),
        (("--print", "--target", "x", "--", "verify"), {}, "unknown target"),
        (("--print", "--bogus"), {}, "unknown option"),
        (("--print", "--target"), {}, "needs a value"),
        (("--print", "--study", "/no/such.toml", "--", "plan"), {}, "needs a file"),
        (("--print",), {}, "no command"),
        (("--print", "--", "verify"), {"TORCH": "rocm"}, "TORCH=rocm"),
        (("--print", "--", "verify"), {"RESULTS_DIR": "/a:b"}, "holds ':'"),
        (("--print", "--study", "{split}", "--", "plan"), {}, "the study's path holds ':'"),
        (("--", "verify"), {"RUNTIME": "none", "VENV": "/no/venv"}, "make setup"),
    ],
)
def test_a_wrong_call_is_refused_with_a_remedy(words, settings, message, tmp_path):
    split = tmp_path / "study:rw.toml"  # an engine would read this as two paths
    split.touch()
    answer = kit(*(word.format(split=split) for word in words), **settings)
    assert answer.returncode == 2
    assert message in answer.stderr
    assert "remedy:" in answer.stderr


@pytest.mark.parametrize(
    ("gpus", "choice"),
    [
        ("580.65.06, 8.6", "cuda"),
        ("595.10, 9.0\n595.10, 7.5", "cuda"),
        ("535.104.05, 8.6", "cuda12"),
        ("580.65.06, 7.0", "cuda12"),
        ("580.65.06, 8.6\n580.65.06, 7.0", "cuda12"),
        ("", "auto"),
    ],
)
def test_the_variant_is_the_one_that_the_driver_and_every_gpu_can_run(engine, gpus, choice):
    from env.torch_builds import choose

    settings = engine(**{"nvidia-smi": f"printf '%s\\n' '{gpus}'" if gpus else "exit 9"})
    printed = kit("--print", "build", **settings, TORCH="").stdout
    assert f"tal-repro.torch={choice}\n" in printed
    rows = [line.split(", ") for line in gpus.splitlines()]
    capabilities = [tuple(int(part) for part in row[1].split(".")) for row in rows]
    assert choose(rows[0][0] if rows else "", capabilities)[0] == (choice if gpus else "cpu")


@pytest.mark.parametrize(
    ("words", "behaviour", "message", "remedy"),
    [
        (("--", "verify"), {"info": "exit 1"}, "does not answer", "systemctl start docker"),
        (("--", "verify"), {"info": f"echo '{DAEMON_DOWN}' >&2; exit 1"}, "Is the docker daemon", "systemctl start"),
        (
            ("--", "verify"),
            {"info": "echo 'permission denied while trying to connect to docker.sock' >&2; exit 1"},
            "permission denied",
            "usermod -aG docker",
        ),
        (("--", "verify"), {"image": "exit 1"}, "is not built", "make image RUNTIME=docker TORCH=cuda TARGET=kit"),
        (("--target", "upstream", "--", "run"), {"image": "exit 1"}, "is not built", "TARGET=upstream"),
        (("--", "verify"), {"image": "echo 0.0.1"}, f"holds kit 0.0.1, this checkout is {__version__}", "make image"),
        (("--gpu", "--", "run"), {"run": f"echo '{NO_GPU}' >&2; exit 125"}, "could not select", "nvidia-ctk runtime"),
        (("--", "run"), {"run": f"echo 'x: {FULL}' >&2; exit 125"}, "no space left on device", "make room"),
        (("build",), {"build": f"echo '{FULL}' >&2; exit 1"}, "building", "make room"),
        (("build",), {"build": "echo 'lookup registry: no such host' >&2; exit 1"}, "building", "BASE_IMAGE="),
        (("build",), {"build": "echo 'toomanyrequests: rate limit' >&2; exit 1"}, "building", "docker login"),
        (("build",), {"build": "echo surprise >&2; exit 1"}, "surprise", "read the engine's message"),
        (
            ("build",),
            {"info": "case $# in 1) ;; *) echo / ;; esac", "df": "echo h; echo x 1 1 2000000 1% /"},
            "has 2 GB left",
            "make room",
        ),
    ],
)
def test_an_engine_in_trouble_is_an_error_with_its_remedy(engine, words, behaviour, message, remedy):
    answer = kit(*words, **engine(**behaviour))
    assert answer.returncode == 2, answer.stderr
    assert message in answer.stderr
    assert remedy in answer.stderr.split("remedy:")[1]


def test_an_engine_that_is_not_there(tmp_path):
    for tool in ("bash", "sed", "dirname", "realpath", "id", "mkdir"):
        (tmp_path / tool).symlink_to(f"/usr/bin/{tool}" if Path(f"/usr/bin/{tool}").exists() else f"/bin/{tool}")
    assert "docker is not installed" in kit("--", "verify", PATH=str(tmp_path)).stderr


def test_an_image_of_another_commit_is_used_with_a_note(engine):
    answer = kit("--", "verify", **engine())
    assert answer.returncode == 0, answer.stderr
    assert "was built from older-commit" in answer.stderr


@pytest.mark.parametrize(
    ("settings", "tree", "built"),
    [({}, "", False), ({"FORCE": "1"}, "", True), ({"TORCH": "cpu"}, "", True), ({}, " M file", True)],
    ids=["same", "forced", "other torch", "changed files"],
)
def test_an_image_of_this_very_commit_is_not_built_again(engine, tmp_path, settings, tree, built):
    git = f'case "$1" in rev-parse) echo this-commit ;; status) echo "{tree}" ;; esac'
    labels = 'case "$4" in *revision*) echo this-commit ;; *torch*) echo cuda ;; esac'
    answer = kit("build", **(engine(image=labels, build=f"echo > {tmp_path}/built", git=git) | settings))
    assert answer.returncode == 0, answer.stderr
    assert (tmp_path / "built").exists() == built
    assert ("FORCE=1" in answer.stderr) == (not built)


def test_the_engine_runs_with_the_callers_words_and_its_exit_code_comes_back(engine, tmp_path):
    image = f'case "$*" in *Id*) echo sha256:abc ;; *Labels*) {CURRENT} ;; esac'
    run = 'case "$*" in *entrypoint*) ;; *) shift; printf "%s\\n" "$@" > "$OUT"; exit 7 ;; esac'
    settings = engine(image=image, run=run)
    answer = kit("--", "show", "a b", **settings, OUT=str(tmp_path / "words"))
    assert answer.returncode == 7
    words = (tmp_path / "words").read_text().splitlines()
    assert words[-2:] == ["show", "a b"]
    assert f"{settings['RESULTS_DIR']}:/study/results" in words
    assert "TAL_REPRO_IMAGE_DIGEST=sha256:abc" in words
    assert Path(settings["RESULTS_DIR"]).is_dir()


def test_a_rootless_daemon_calls_the_caller_root(engine, tmp_path):
    info = 'case "$*" in *Security*) echo "[name=seccomp name=rootless]" ;; esac'
    run = 'case "$*" in *entrypoint*) ;; *) printf "%s\\n" "$@" > "$OUT" ;; esac'
    kit("--", "verify", **engine(info=info, run=run), OUT=str(tmp_path / "words"))
    assert "0:0" in (tmp_path / "words").read_text().splitlines()


def test_root_runs_as_the_owner_of_the_results(engine, tmp_path):
    run = 'case "$*" in *entrypoint*) ;; *) printf "%s\\n" "$@" > "$OUT" ;; esac'
    settings = engine(run=run)
    folder = Path(settings["PATH"].partition(":")[0])
    for name, body in {"id": "echo 0", "stat": "echo 1234:5678", "chown": 'echo "$@" >> "$OUT.chown"'}.items():
        stand_in(folder / name, body)
    kit("--", "verify", **settings, OUT=str(tmp_path / "words"), SUDO_UID="1234", SUDO_GID="5678")
    assert "1234:5678" in (tmp_path / "words").read_text().splitlines()
    owned = (tmp_path / "words.chown").read_text().splitlines()  # a folder made here is not left to root
    assert owned == [f"1234:5678 {settings[name]}" for name in ("RESULTS_DIR", "DATA_DIR")]


AS_ROOT = 'case "$1" in -u) echo 0 ;; *) echo 0 ;; esac'


def as_root(settings, **programs):
    """Let the script take its caller for root; return the settings."""
    folder = Path(settings["PATH"].partition(":")[0])
    for name, body in {"id": AS_ROOT, **programs}.items():
        stand_in(folder / name, body)
    return settings


def test_root_without_sudo_runs_as_the_images_user_and_gives_him_what_is_made(engine, tmp_path):
    run = 'case "$*" in *entrypoint*) ;; *) printf "%s\\n" "$@" > "$OUT" ;; esac'
    settings = as_root(engine(run=run), chown='echo "$@" >> "$OUT.chown"', stat="echo 1000:1000")
    answer = kit("--", "verify", **settings, OUT=str(tmp_path / "words"))
    assert answer.returncode == 0, answer.stderr
    words = (tmp_path / "words").read_text().splitlines()
    assert "1000:1000" in words and "0:0" not in words
    owned = (tmp_path / "words.chown").read_text().splitlines()
    assert owned == [f"1000:1000 {settings[name]}" for name in ("RESULTS_DIR", "DATA_DIR")]


def test_the_checkouts_own_folder_is_given_to_the_user_inside(engine, tmp_path):
    settings = as_root(engine(), stat="echo 0:0", chown='echo "$@" >> "$OUT"')
    settings |= {"RESULTS_DIR": "", "OUT": str(tmp_path / "given")}
    answer = kit("--", "verify", **settings)
    assert answer.returncode == 0 and "results is given to 1000:1000" in answer.stderr, answer.stderr
    assert f"-R 1000:1000 {ROOT / 'results'}" in (tmp_path / "given").read_text().splitlines()
    (tmp_path / "given").unlink()
    assert kit("check", **settings).returncode == 0 and not (tmp_path / "given").exists()


@pytest.mark.parametrize(
    ("words", "sudo", "user", "setting"),
    [
        (("--", "run"), {}, "1000:1000", "RESULTS_DIR=DIR"),
        (("--", "run"), {"SUDO_UID": "7", "SUDO_GID": "8"}, "7:8", "RESULTS_DIR=DIR"),
        (("--fetch", "--", "data"), {}, "1000:1000", "DATA_DIR=DIR"),
        (("check",), {}, "1000:1000", "RESULTS_DIR=DIR"),
    ],
)
def test_a_folder_of_roots_is_told_before_anything_runs_and_never_given_unasked(
    engine, tmp_path, words, sudo, user, setting
):
    settings = as_root(engine(run=f"echo > {tmp_path}/ran"), stat="echo 0:0", chown=f"echo > {tmp_path}/given")
    for name in ("RESULTS_DIR", "DATA_DIR"):
        Path(settings[name]).mkdir()
    answer = kit(*words, **settings, **sudo)
    assert answer.returncode == 2, answer.stderr
    assert "belongs to root" in answer.stderr and f"chown -R {user} '" in answer.stderr and setting in answer.stderr
    assert not (tmp_path / "ran").exists() and not (tmp_path / "given").exists()


def test_dockerfile_keeps_its_promises():
    text = (ROOT / "docker" / "Dockerfile").read_text()
    base = next(line.partition("=")[2] for line in text.splitlines() if line.startswith("ARG BASE_IMAGE="))
    assert re.fullmatch(r"debian:bookworm-\d{8}-slim@sha256:[0-9a-f]{64}", base), "a dated tag says what the digest is"
    assert f"From: {base}\n" in (ROOT / "docker" / "apptainer.def").read_text()
    assert "PIP_NO_CACHE_DIR" not in text and "--mount=type=cache,target=/root/.cache/pip" in text
    assert "ensurepip" not in text, "pip is the one of env/pip.lock"
    assert "env/pip.lock" in text and "==" in (ROOT / "env" / "pip.lock").read_text()
    assert "syntax=" not in text  # it would pull a second image, pinned nowhere
    assert "NVIDIA_DRIVER_CAPABILITIES=compute,utility" in text
    assert "@sha256:" in next(line for line in text.splitlines() if line.startswith("ARG BASE_IMAGE="))
    assert text.count("USER 1000:1000") == 1
    assert "ADD " not in text
    assert "curl" not in text

"""docker/kit.sh: the engine's command line, word for word, and what it says when the engine is not well."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "docker" / "kit.sh"
GOLDEN = Path(__file__).parent / "golden"


def kit(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": os.environ["PATH"], "RESULTS_DIR": "/r", "DATA_DIR": "/d", **settings}
    command = ["bash", str(SCRIPT), *words]
    return subprocess.run(command, capture_output=True, text=True, env=environment, stdin=subprocess.DEVNULL)


def fake_engine(folder: Path, body: str) -> str:
    """Put a stand-in `docker` first on PATH."""
    script = folder / "docker"
    script.write_text(f"#!/bin/sh\n{body}\n")
    script.chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


@pytest.mark.parametrize(
    ("name", "words", "settings"),
    [
        ("docker-run", ("--print", "--", "verify", "--claim", "E 4"), {"RUNTIME": "docker"}),
        ("docker-gpu", ("--print", "--gpu", "--target", "upstream", "--", "run"), {"RUNTIME": "docker"}),
        ("docker-network", ("--print", "--network", "--", "data"), {"RUNTIME": "docker", "NAME": "x", "TORCH": "cpu"}),
        ("podman-gpu", ("--print", "--gpu", "--", "run"), {"RUNTIME": "podman", "RUN_ARGS": "--ulimit nofile=9:9"}),
        ("apptainer-gpu", ("--print", "--gpu", "--", "run"), {"RUNTIME": "apptainer", "IMAGE": "kit.sif"}),
        ("docker-build", ("--print", "--target", "upstream", "build"), {"RUNTIME": "docker", "BASE_IMAGE": "own/base"}),
        ("podman-build", ("--print", "build"), {"RUNTIME": "podman", "TORCH": "cpu"}),
    ],
)
def test_command_line_is_the_golden_one(name, words, settings):
    answer = kit(*words, **settings)
    assert answer.returncode == 0, answer.stderr
    printed = answer.stdout.replace(f"{os.getuid()}:{os.getgid()}", "UID:GID")
    golden = GOLDEN / f"{name}.txt"
    if os.environ.get("REWRITE_GOLDEN"):
        golden.write_text(printed)
    assert printed == golden.read_text(), f"docker/kit.sh changed; look, then REWRITE_GOLDEN=1 pytest {__file__}"


@pytest.mark.parametrize(
    ("words", "settings", "message"),
    [
        (("--", "verify"), {"RUNTIME": "lxc"}, "is not a container engine"),
        (("--print", "--target", "x", "--", "verify"), {}, "unknown target"),
        (("--print", "--bogus"), {}, "unknown option"),
        (("--print", "--target"), {}, "needs a value"),
        (("--print",), {}, "no command"),
        (("--print", "--", "verify"), {"TORCH": "rocm"}, "TORCH=rocm"),
        (("--print", "build"), {"RUNTIME": "apptainer"}, "apptainer.def"),
    ],
)
def test_a_wrong_call_is_refused_with_a_remedy(words, settings, message):
    answer = kit(*words, **settings)
    assert answer.returncode == 2
    assert message in answer.stderr
    assert "remedy:" in answer.stderr


def test_an_engine_that_is_not_there_or_does_not_answer(tmp_path):
    bare = tmp_path / "bin"
    bare.mkdir()
    for tool in ("bash", "sed", "dirname", "realpath", "id", "mkdir"):
        (bare / tool).symlink_to(f"/usr/bin/{tool}" if Path(f"/usr/bin/{tool}").exists() else f"/bin/{tool}")
    assert "is not installed" in kit("--", "verify", PATH=str(bare)).stderr
    path = fake_engine(tmp_path, "exit 1")
    assert "does not answer" in kit("--", "verify", PATH=path).stderr


def test_a_missing_image_says_how_to_build_it(tmp_path):
    path = fake_engine(tmp_path, '[ "$1" = info ]')
    answer = kit("--", "verify", PATH=path, RESULTS_DIR=str(tmp_path / "r"), DATA_DIR=str(tmp_path / "d"))
    assert answer.returncode == 2
    assert "is not built" in answer.stderr
    assert "make image" in answer.stderr


def test_the_engine_runs_with_the_callers_words_and_its_exit_code_comes_back(tmp_path):
    body = 'case "$1" in info) ;; image) echo sha256:abc ;; run) shift; printf "%s\\n" "$@" > "$OUT"; exit 7 ;; esac'
    path = fake_engine(tmp_path, body)
    results, out = tmp_path / "my results", tmp_path / "words"
    answer = kit("--", "show", "a b", PATH=path, RESULTS_DIR=str(results), DATA_DIR=str(tmp_path), OUT=str(out))
    assert answer.returncode == 7
    words = out.read_text().splitlines()
    assert words[-2:] == ["show", "a b"]
    assert f"{results}:/results" in words
    assert "TAL_REPRO_IMAGE_DIGEST=sha256:abc" in words
    assert results.is_dir()


def test_dockerfile_keeps_its_promises():
    text = (ROOT / "docker" / "Dockerfile").read_text()
    assert "@sha256:" in next(line for line in text.splitlines() if line.startswith("ARG BASE_IMAGE="))
    assert text.count("USER 1000:1000") == 1
    assert "ADD " not in text
    assert "curl" not in text

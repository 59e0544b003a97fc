"""env/setup.py installs nothing that is not locked with a hash: its calls of pip, seen by a stand-in."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ENV = Path(__file__).resolve().parents[2] / "env"
# Runs setup's own main with a pip that writes down its words and installs nothing.
STAND_IN = """
import json, sys, setup
calls = []
def pip(*words, quiet=True):
    calls.append(list(words))
    return 0
setup.pip = pip
setup.cpu_wheel_at_hand = lambda: True
(setup.VENV / "bin").mkdir(parents=True)
(setup.VENV / "bin" / "python").touch()
for mark in sys.argv[2:]:
    (setup.VENV / mark).touch()
sys.argv = ["setup.py", sys.argv[1]]
setup.main()
print(json.dumps(calls))
"""


def calls(venv: Path, layer: str, *marks: str, **settings: str) -> list[list[str]]:
    environment = {"VENV": str(venv), "PATH": "/usr/bin:/bin", **settings}
    command = [sys.executable, "-c", STAND_IN, layer, *marks]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ENV, check=False)
    assert done.returncode == 0, done.stderr
    found: list[list[str]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("layer", ["light", "full", "dev", "upstream", "slurm", "browser"])
@pytest.mark.parametrize("torch", ["cpu", "cuda", "cuda12"])
def test_nothing_is_installed_without_its_hash(weird_path, layer, torch):
    for words in calls(weird_path / "venv", layer, TORCH=torch):
        assert words[0] == "install"
        if "-e" in words:  # the kit itself: from this folder, without an index
            assert {"--no-deps", "--no-index"} <= set(words)
            continue
        assert "--require-hashes" in words
        assert words[words.index("--only-binary") + 1] == ":all:"
        locks = [words[place + 1] for place, word in enumerate(words) if word == "-r"]
        assert locks and all(Path(lock).is_file() and lock.endswith(".lock") for lock in locks)
        assert not [word for word in words if "://" in word or "==" in word]


def test_the_small_environment_alone_leaves_compiling_to_its_first_use(tmp_path):
    compiled = {
        name: "--no-compile" not in calls(tmp_path / name, *words.split(), TORCH="cpu", **settings)[0]
        for name, words, settings in (
            ("light", "light", {}),
            ("unwritten", "light", {"PYTHONDONTWRITEBYTECODE": "1"}),  # it would compile at every start
            ("full", "full", {}),
        )
    }
    assert compiled == {"light": False, "unwritten": True, "full": True}


def test_the_build_that_was_there_goes_first_and_a_mark_says_what_is_there(tmp_path):
    words = calls(tmp_path / "venv", "full", ".torch-cuda", TORCH="cuda12")
    assert words[0][:3] == ["uninstall", "--yes", "torch"]
    assert {"nvidia-cudnn-cu13", "triton"} & set(words[0]) == {"nvidia-cudnn-cu13"}
    assert "nvidia-ml-py" not in words[0]
    assert {mark.name for mark in (tmp_path / "venv").glob(".*")} == {".torch-cuda12", ".full"}
    again = calls(tmp_path / "other", "full", ".torch-cuda12", TORCH="cuda12")
    assert [call[0] for call in again] == ["install"] * 3


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        ('raise subprocess.CalledProcessError(1, "ensurepip")', "-venv (Debian, Ubuntu)"),
        ('raise OSError(28, "No space left on device")', "VENV=DIR"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
    ],
)
def test_an_environment_that_breaks_on_the_way_is_told_and_does_not_stay(weird_path, failure, said):
    """What venv leaves when ensurepip is missing has a Python and no pip: taken for whole, nothing would ever work."""
    code = f"""
import subprocess, sys, setup
def create(builder, folder):
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").touch()
    {failure}
setup.venv.EnvBuilder.create = create
sys.argv = ["setup.py", "light"]
setup.main()
"""
    environment = {"VENV": str(weird_path / "venv"), "PATH": "/usr/bin:/bin"}
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, env=environment, cwd=ENV, check=False)
    assert done.returncode not in (0, 2)
    assert said in done.stderr
    assert "remedy: " in done.stderr or "Interrupt" in said
    assert not (weird_path / "venv").exists()


def test_a_folder_that_was_there_keeps_its_files(tmp_path):
    (tmp_path / "mine").touch()
    code = "import setup\nsetup.venv.EnvBuilder.create = lambda *_: (_ for _ in ()).throw(OSError(13, 'no'))\n"
    code += "setup.make_environment()"
    words = [sys.executable, "-c", code]
    done = subprocess.run(words, capture_output=True, text=True, env={"VENV": str(tmp_path)}, cwd=ENV, check=False)
    assert (done.returncode, "VENV=DIR" in done.stderr) == (1, True)
    assert (tmp_path / "mine").exists()


@pytest.mark.parametrize(
    ("locks", "said"),
    [
        ({"a": "numpy==1.24.0 \\\n    --hash=sha256:00\n"}, r"patches/a/requirements\.lock pins numpy 1\.24\.0, env/"),
        ({"a": "Addict==2.4.0\n", "b": "addict==2.3\n"}, "patches/b/.* pins addict 2.3, patches/a/.* pins 2.4.0"),
        ({"a": "addict>=2\n"}, "'addict>=2' is no package at a version"),
        ({"a": "--index-url https://elsewhere.invalid\n"}, "is no package at a version"),
        ({"a": "addict @ https://elsewhere.invalid/addict.whl\n"}, "is no package at a version"),
        ({"a": "addict==2.4.0\n--hash=sha256:00 --index-url https://x.invalid\n"}, "line 2: '--hash=.*' is no p"),
        ({"a": "numpy==1.24.0\nnumpy==2.5.5 ; python_version < '3'\n"}, r"pins numpy 1\.24\.0, env/.* 2\.4\.6 or 2"),
    ],
)
def test_a_models_lock_changes_no_package_of_the_kit(tmp_path, monkeypatch, locks, said):
    monkeypatch.syspath_prepend(ENV)
    import model_locks

    for model, text in locks.items():
        (tmp_path / "patches" / model).mkdir(parents=True)
        (tmp_path / "patches" / model / "requirements.lock").write_text(text)
    with pytest.raises(SystemExit, match=said) as caught:
        model_locks.model_locks(tmp_path / "patches")
    assert "remedy: " in str(caught.value)


def test_two_models_may_share_a_package(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ENV)
    import model_locks

    for model in ("a", "b"):
        (tmp_path / "patches" / model).mkdir(parents=True)
        (tmp_path / "patches" / model / "requirements.lock").write_text(
            "# by make lock\naddict==2.4.0 ; python_version < '4' \\\n    --hash=sha256:00\n"
        )
    assert [path.parent.name for path in model_locks.model_locks(tmp_path / "patches")] == ["a", "b"]

"""An offline bundle of tiny made-up packages and repositories: made, carried, checked, installed; and tampered with."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest

ENV = Path(__file__).resolve().parents[2] / "env"
GET = ENV.parent / "third_party" / "get.sh"
PACKAGES = {
    "light": {"tinylight": "1.0"},
    "base": {"torch": "2.13.0", "tinylight": "1.0"},
    "cuda": {"nvidia-tiny": "13.0"},
    "cuda12": {"torch": "2.10.0", "tinylight": "1.0", "nvidia-tiny-cu12": "12.8"},
    "upstream": {"tinyupstream": "3"},
}


def wheel(folder: Path, name: str, version: str) -> Path:
    """Write the smallest wheel that pip installs."""
    module = name.replace("-", "_")
    path = folder / f"{module}-{version}-py3-none-any.whl"
    info = f"{module}-{version}.dist-info"
    with zipfile.ZipFile(path, "w") as file:
        for inner, text in (
            (f"{module}.py", f"version = {version!r}\n"),
            (f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"),
            (f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"),
            (f"{info}/RECORD", ""),
        ):
            file.writestr(zipfile.ZipInfo(inner), text)
    return path


def run(*words: str | Path, folder: Path, ok: bool = True, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {
        "PATH": "/usr/bin:/bin", "HOME": str(folder), "PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1",
        "GIT_CONFIG_GLOBAL": os.devnull, "GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a",
        "GIT_COMMITTER_EMAIL": "a@b", "GIT_ALLOW_PROTOCOL": "file", **settings,
    }  # fmt: skip
    done = subprocess.run(
        list(map(str, words)), capture_output=True, text=True, cwd=folder, env=environment, check=False
    )
    assert not ok or done.returncode == 0, done.stderr
    return done


def environment_with_pip(folder: Path) -> None:
    """Make an environment with the pip of this one: installing it anew takes ten times as long."""
    found = importlib.util.find_spec("pip")
    venv.EnvBuilder(with_pip=found is None, symlinks=True).create(folder)
    if found is not None and found.submodule_search_locations:
        site = next(folder.glob("lib/python*/site-packages"))
        (site / "pip").symlink_to(found.submodule_search_locations[0], target_is_directory=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A kit with one submodule, an index of tiny wheels, an environment with pip, and the bundle of it all."""
    base = tmp_path_factory.mktemp("bundle")
    index, kit, theirs = base / "index", base / "kit", base / "theirs"
    for folder in (index, kit / "env", kit / "third_party", theirs):
        folder.mkdir(parents=True)
    for name, packages in PACKAGES.items():
        lines = []
        for package, version in packages.items():
            digest = hashlib.sha256(wheel(index, package, version).read_bytes()).hexdigest()
            lines.append(f"{package}=={version} \\\n    --hash=sha256:{digest}\n")
        (kit / "env" / f"{name}.lock").write_text("".join(lines))
    digest = hashlib.sha256(wheel(index, "tinymodel", "2").read_bytes()).hexdigest()
    lock = kit / "patches" / "mine" / "requirements.lock"  # of a model beyond the four
    lock.parent.mkdir(parents=True)
    lock.write_text(f"tinymodel==2 \\\n    --hash=sha256:{digest}\n")
    (kit / "env" / "cpu.txt").write_text("torch==2.13.0+cpu\n")
    for path in ENV.glob("*.py"):
        shutil.copy(path, kit / "env")
    shutil.copy(GET, kit / "third_party")
    (theirs / "train.py").write_text("print('theirs')\n")
    run("git", "init", "-q", folder=theirs)
    run("git", "add", ".", folder=theirs)
    run("git", "commit", "-qm", "theirs", folder=theirs)
    commit = run("git", "rev-parse", "HEAD", folder=theirs).stdout.strip()
    run("git", "clone", "-q", theirs, kit / "third_party" / "Theirs", folder=kit)
    (kit / ".gitmodules").write_text(
        '[submodule "third_party/Theirs"]\n\tpath = third_party/Theirs\n\turl = https://theirs.invalid/them/theirs.git\n'
    )
    run("git", "init", "-q", folder=kit)
    run("git", "add", "env", "third_party/get.sh", ".gitmodules", folder=kit)
    run("git", "update-index", "--add", "--cacheinfo", f"160000,{commit},third_party/Theirs", folder=kit)
    run("git", "commit", "-qm", "kit", folder=kit)
    environment_with_pip(base / "venv")
    (base / "data" / "annotations").mkdir(parents=True)
    (base / "data" / "annotations" / "a.json").write_text("{}")
    words = ("--torch", "cuda,cuda12", "--data", base / "data")
    done = run(
        sys.executable, "env/bundle.py", "make", "--out", base / "bundle", *words, folder=kit,
        VENV=str(base / "venv"), PIP_FIND_LINKS=index.as_uri(),
    )  # fmt: skip
    assert "make unbundle BUNDLE=bundle" in done.stderr
    return {"kit": kit, "bundle": base / "bundle", "venv": base / "venv", "base": base}


@pytest.fixture
def copy(made: dict[str, Path], weird_path: Path) -> Path:
    """The bundle as it was carried to another place."""
    return Path(shutil.copytree(made["bundle"], weird_path / "bundle"))


def bundle(made: dict[str, Path], *words: Any, ok: bool = True) -> subprocess.CompletedProcess[str]:
    return run(sys.executable, "env/bundle.py", *words, folder=made["kit"], ok=ok)


def setup(
    made: dict[str, Path], folder: Path, layer: str, ok: bool = True, torch: str = "cuda12"
) -> subprocess.CompletedProcess[str]:
    settings = {"VENV": str(made["venv"]), "BUNDLE": str(folder), "LOCKS_ONLY": "1", "TORCH": torch}
    return run(sys.executable, "env/setup.py", layer, folder=made["kit"], ok=ok, **settings)


def test_a_bundle_holds_what_the_locks_pin(made):
    manifest = json.loads((made["bundle"] / "manifest.json").read_text())
    names = {name.removesuffix("-py3-none-any.whl") for name in manifest["files"]}
    assert names == {
        "wheels/tinylight-1.0", "wheels/torch-2.13.0", "wheels/nvidia_tiny-13.0", "wheels/torch-2.10.0",
        "wheels/nvidia_tiny_cu12-12.8", "wheels/tinyupstream-3", "wheels/tinymodel-2",
        "repositories/Theirs.bundle", "repositories/tal-repro.bundle", "data/annotations/a.json",
    }  # fmt: skip
    assert manifest["torch"] == ["cuda", "cuda12"]
    assert [path.name for path in made["base"].glob(".*")] == []  # nothing half made is left


def test_there_everything_comes_from_the_bundle(made, copy, tmp_path):
    assert "10 files are as they were put in" in bundle(made, "check", copy).stderr
    assert "every file as it was put in" in setup(made, copy, "full").stderr
    assert "the packages of patches/mine/requirements.lock" in setup(made, copy, "upstream").stderr
    found = run(made["venv"] / "bin" / "python", "-m", "pip", "list", "--format=freeze", folder=tmp_path).stdout.split()
    assert {"torch==2.10.0", "nvidia-tiny-cu12==12.8", "tinylight==1.0", "tinyupstream==3", "tinymodel==2"} <= set(
        found
    )
    site = tmp_path / "site"
    run("git", "clone", "-q", copy / "repositories" / "tal-repro.bundle", site, folder=tmp_path)
    run(sys.executable, "env/bundle.py", "mirror", copy, tmp_path / "mirror", folder=site)
    run("bash", "third_party/get.sh", folder=site, MIRROR=str(tmp_path / "mirror"))
    assert (site / "third_party" / "Theirs" / "train.py").read_text() == "print('theirs')\n"
    bundle(made, "data", copy, tmp_path / "thumos14")
    assert (tmp_path / "thumos14" / "annotations" / "a.json").read_text() == "{}"
    assert "left as it is" in bundle(made, "data", copy, tmp_path / "thumos14").stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda b: (b / "wheels" / "tinylight-1.0-py3-none-any.whl").write_bytes(b"x"), "bytes, not"),
        (lambda b: flip(b / "wheels" / "torch-2.10.0-py3-none-any.whl"), "has another sha256"),
        (
            lambda b: (b / "wheels" / "evil-1-py3-none-any.whl").touch(),
            "evil-1-py3-none-any.whl is not in the manifest",
        ),
        (lambda b: (b / "wheels" / "tinyupstream-3-py3-none-any.whl").unlink(), "is missing"),
        (lambda b: (b / "wheels" / "more").symlink_to("/etc"), "is a link"),
        (lambda b: os.mkfifo(b / "wheels" / "pipe"), "no plain file"),
        (lambda b: (b / "manifest.json").unlink(), "cannot be read"),
        (lambda b: (b / "manifest.json").write_text("[]"), "is not of schema"),
    ],
)
def test_a_bundle_that_was_changed_is_refused(made, copy, change, said):
    change(copy)
    for done in (bundle(made, "check", copy, ok=False), setup(made, copy, "full", ok=False)):
        assert done.returncode == 2
        assert said in done.stderr and "remedy: " in done.stderr and "Traceback" not in done.stderr


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[40] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "a/../../b", "a\\b", "", ".", "manifest.json", "a//b"])
def test_a_manifest_that_leads_out_is_refused(made, copy, name):
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["files"][name] = {"bytes": 0, "sha256": "0" * 64}
    (copy / "manifest.json").write_text(json.dumps(manifest))
    done = bundle(made, "check", copy, ok=False)
    assert (done.returncode, "names a file that no bundle holds" in done.stderr) == (2, True)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("files", []),
        ("files", {"a": {"bytes": -1, "sha256": "0" * 64}}),
        ("files", {"a": 1}),
        ("torch", "cuda"),
        ("schema", "x"),
    ],
)
def test_a_manifest_of_other_values_is_refused(made, copy, key, value):
    manifest = {**json.loads((copy / "manifest.json").read_text()), key: value}
    (copy / "manifest.json").write_text(json.dumps(manifest))
    done = bundle(made, "check", copy, ok=False)
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)


def test_in_an_image_a_models_packages_are_a_layer_of_their_own(made, copy, tmp_path):
    run(made["venv"] / "bin" / "python", "-m", "pip", "uninstall", "-y", "tinymodel", folder=copy)
    settings = {"VENV": str(made["venv"]), "BUNDLE": str(copy), "PREFIX": str(tmp_path / "layer"), "ELSEWHERE": "1"}
    run(sys.executable, "env/setup.py", "models", folder=made["kit"], **settings)
    assert [path.name for path in tmp_path.rglob("*.py")] == ["tinymodel.py"]
    assert not list(made["venv"].rglob("tinymodel.py"))


@pytest.mark.parametrize("package", ["tinyupstream-3", "tinymodel-2"])
def test_a_wheel_under_another_hash_is_not_installed(made, copy, package):
    """A wheel and the manifest changed together: the lock's hash is what holds."""
    path = copy / "wheels" / f"{package}-py3-none-any.whl"
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("evil.py", "print('code ran')\n")
    manifest = json.loads((copy / "manifest.json").read_text())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    manifest["files"][f"wheels/{path.name}"] = {"bytes": path.stat().st_size, "sha256": digest}
    (copy / "manifest.json").write_text(json.dumps(manifest))
    bundle(made, "check", copy)
    run(made["venv"] / "bin" / "python", "-m", "pip", "uninstall", "-y", package.partition("-")[0], folder=copy)
    done = setup(made, copy, "upstream", ok=False)
    assert done.returncode == 1
    assert "HASHES" in done.stderr
    assert not list(made["venv"].rglob("evil.py"))


def test_a_repository_of_another_commit_is_refused(made, copy, tmp_path):
    """The kit's own bundle in the place of theirs, with a manifest to match."""
    shutil.copy(copy / "repositories" / "tal-repro.bundle", copy / "repositories" / "Theirs.bundle")
    manifest = json.loads((copy / "manifest.json").read_text())
    manifest["files"]["repositories/Theirs.bundle"] = manifest["files"]["repositories/tal-repro.bundle"]
    (copy / "manifest.json").write_text(json.dumps(manifest))
    done = bundle(made, "mirror", copy, tmp_path / "mirror", ok=False)
    assert (done.returncode, "this checkout pins" in done.stderr) == (2, True)
    assert list((tmp_path / "mirror").iterdir()) == []


def test_what_the_bundle_does_not_hold_is_told(made, copy):
    done = setup(made, copy, "full", ok=False, torch="cpu")
    assert "PIP_FIND_LINKS" in done.stderr  # no CPU wheel in it
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps({**manifest, "torch": ["cuda"]}))
    done = setup(made, copy, "full", ok=False)
    assert "the bundle holds torch for cuda, chosen is cuda12" in done.stderr
    (copy / "manifest.json").write_text(json.dumps({**manifest, "python": "3.9"}))
    assert "was made for python 3.9" in setup(made, copy, "full", ok=False).stderr


def test_a_bundle_is_never_written_over_and_never_half(made, tmp_path):
    done = bundle(made, "make", "--out", made["bundle"], "--torch", "cuda", ok=False)
    assert (done.returncode, "is there" in done.stderr) == (2, True)
    settings = {"VENV": str(made["venv"]), "PIP_FIND_LINKS": tmp_path.as_uri()}
    words = (sys.executable, "env/bundle.py", "make", "--out", tmp_path / "half", "--torch", "cuda")
    done = run(*words, folder=made["kit"], ok=False, **settings)
    assert (done.returncode, "pip failed" in done.stderr) == (2, True)
    assert list(tmp_path.iterdir()) == []
    assert "use torch: cuda" in run(*words[:-1], "rocm", folder=made["kit"], ok=False).stderr

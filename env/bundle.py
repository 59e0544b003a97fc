"""An offline bundle for a site without a network: `make bundle`, then there `make unbundle BUNDLE=DIR`.

    bundle.py make --out DIR [--torch cuda,cuda12] [--layers full,upstream] [--data DIR] [--no-code]
    bundle.py check DIR            every file against the manifest
    bundle.py mirror DIR OUT       bare clones of the authors' repositories, for make submodules MIRROR=OUT
    bundle.py data DIR OUT         the data that were put in, if any

Standard library, git and the environment's pip. It is for your own machines: it holds code and data that their authors
gave no licence to pass on.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import setup
from bundle_files import check, die, listed, write_manifest
from torch_builds import BUILDS

ROOT = Path(__file__).resolve().parents[1]
HASHED = ("--require-hashes", "--no-deps", "--only-binary", ":all:", "--no-binary", "fvcore,iopath")
EMPTY = "give the folder that holds the data set: make bundle DATA=DIR; or leave it out"


def say(text: str) -> None:
    print(f"bundle: {text}", file=sys.stderr)


def git(*words: str, folder: Path = ROOT) -> str:
    """Run git; end the program with what it said where it fails."""
    done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=False)
    if done.returncode:
        die(f"git {' '.join(words[:2])} in {folder}: {done.stderr.strip()[-200:]}", "see the message; make submodules")
    return done.stdout.strip()


def make(out: Path, builds: list[str], layers: list[str], data: Path | None, code: bool) -> None:
    """Gather everything beside `out`, write the manifest, rename: half a bundle never has its name."""
    if out.exists():
        die(f"{out} is there", "name a new folder: OUT=DIR")
    staging = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    shutil.rmtree(staging, ignore_errors=True)
    try:
        staging.mkdir(parents=True)
        # What can be refused comes before what takes gigabytes.
        commits = repositories(staging / "repositories") if code else {}
        if data is not None:
            copy_data(data, staging / "data")
        wheels(staging / "wheels", builds, layers)
        about = {
            "kit_commit": git("rev-parse", "HEAD"),
            "made": time.strftime("%Y-%m-%d", time.gmtime()),
            **setup.here(),
            "torch": builds,
            "layers": layers,
            "repositories": commits,
        }
        write_manifest(staging, about)
        staging.rename(out)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    size = sum(path.stat().st_size for _, path in listed(out))
    say(f"{out}: {size / 2**30:.2f} GiB; there: make unbundle BUNDLE={out.name}")


def wheels(target: Path, builds: list[str], layers: list[str]) -> None:
    """Download what the locks pin, each under its hash; one call of pip for what is installed by one."""
    for name in ("light", *(layer for layer in layers if layer in setup.EXTRAS)):
        download(target, setup.locked(name))
    for lock in setup.model_locks() if "upstream" in layers else ():
        download(target, ["-r", str(lock)])
    for layer in layers:
        for build in builds if layer in ("full", "dev") else ():
            constraint = ["-c", str(setup.ENV / "cpu.txt")] if build == "cpu" else []
            download(target, [*setup.locked(*BUILDS[build].locks, *setup.LAYERS[layer][2:]), *constraint])


def download(target: Path, arguments: list[str]) -> None:
    # The two source distributions are asked for their names by the locked setuptools of the environment.
    words = ["download", *HASHED, "--no-build-isolation", "--dest", str(target), *arguments]
    if code := setup.pip(*words):
        die(f"pip failed ({code}) at: pip {' '.join(words)}", "read pip's message above; is there a network?")


def repositories(target: Path) -> dict[str, str]:
    """Write git bundles of the kit and of the authors' repositories at their pinned commits; return the commits."""
    target.mkdir()
    commits = {}
    for path, pinned in pins().items():
        checkout = ROOT / path
        if not (checkout / ".git").exists():
            die(f"{path} is not checked out", "make submodules, or leave the code out: make bundle ARGS=--no-code")
        if (found := git("rev-parse", "HEAD", folder=checkout)) != pinned:
            die(f"{path} is at {found}, pinned is {pinned}", f"git -C {path} checkout {pinned}")
        name = Path(path).name
        git("bundle", "create", str(target.resolve() / f"{name}.bundle"), "HEAD", folder=checkout)
        commits[name] = pinned
    git("bundle", "create", str(target.resolve() / "tal-repro.bundle"), "HEAD")
    if git("status", "--porcelain", "--untracked-files=no", "--ignore-submodules"):
        say("changes of the kit that are not committed stay behind")
    return commits


def pins() -> dict[str, str]:
    """Return path -> pinned commit of each submodule, as the index of this checkout has it."""
    rows = [line.split(maxsplit=3) for line in git("ls-files", "--stage", "third_party").splitlines()]
    return {row[3]: row[1] for row in rows if row[0] == "160000"}


def copy_data(source: Path, target: Path) -> None:
    """Copy a data folder; a link in it ends the program, so that nothing else than it comes along."""
    files = list(listed(source)) if source.is_dir() else []
    if not files:
        die(f"{source} holds no files", EMPTY)
    for name, path in files:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, target / name)


def mirror(bundle: Path, out: Path) -> None:
    """Make bare clones named as get.sh looks for them; each must hold exactly the commit that this checkout pins."""
    if not check(bundle, "repositories/").get("repositories"):
        say("it holds no repositories")
        return
    remotes = dict(
        line.split(maxsplit=1)
        for line in git("config", "--file", ".gitmodules", "--get-regexp", r"^submodule\..*\.url$").splitlines()
    )
    for path, pinned in pins().items():
        source = (bundle / "repositories" / f"{Path(path).name}.bundle").resolve()
        if not source.is_file():
            die(f"{source} is not there", "make the bundle with the code: make bundle")
        target = out / (Path(remotes[f"submodule.{path}.url"]).name.removesuffix(".git") + ".git")
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        git("init", "--quiet", "--bare", folder=target)
        git("fetch", "--quiet", str(source), "HEAD:refs/heads/pinned", folder=target)
        git("symbolic-ref", "HEAD", "refs/heads/pinned", folder=target)
        if (found := git("rev-parse", "refs/heads/pinned", folder=target)) != pinned:
            shutil.rmtree(target)
            die(
                f"{source.name} holds {found}, this checkout pins {pinned}", "make the bundle with the kit that you use"
            )
    say(f"clones in {out}: make submodules MIRROR={out}")


def data(bundle: Path, out: Path) -> None:
    """Copy the data out of a bundle into a new folder; nothing to do where it holds none."""
    manifest = check(bundle, "data/")
    if not any(name.startswith("data/") for name in manifest["files"]):
        say("it holds no data")
        return
    if out.exists():
        say(f"{out} is there already and left as it is")
        return
    staging = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        shutil.copytree(bundle / "data", staging)
        staging.rename(out)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    say(f"data in {out}: tal-repro data verify {out}")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="bundle.py")
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("make")
    verb.add_argument("--out", type=Path, default=Path("bundle"))
    verb.add_argument("--torch", default="", help="builds, by commas; default: this machine's")
    verb.add_argument("--layers", default="full,upstream", help="of env/setup.py, by commas")
    verb.add_argument("--data", type=Path, help="a data folder to take along")
    verb.add_argument("--no-code", action="store_true", help="without the repositories")
    verbs.add_parser("check").add_argument("bundle", type=Path)
    for name in ("mirror", "data"):
        verb = verbs.add_parser(name)
        verb.add_argument("bundle", type=Path)
        verb.add_argument("out", type=Path)
    words = parser.parse_args()
    if words.verb == "make":
        builds = [name for name in words.torch.split(",") if name] or [setup.torch_choice()[0]]
        layers = [name for name in words.layers.split(",") if name]
        if unknown := [*(set(builds) - set(BUILDS)), *(set(layers) - {*setup.LAYERS, *setup.EXTRAS})]:
            known = f"torch: {', '.join(BUILDS)}; layers: {', '.join((*setup.LAYERS, *setup.EXTRAS))}"
            die(f"{unknown[0]} is not known", f"use {known}")
        if "cpu" in builds and not setup.cpu_wheel_at_hand():
            die("pip finds no CPU wheel of torch", "put it in a folder and set PIP_FIND_LINKS, or TORCH=cuda")
        make(words.out, builds, layers, words.data, not words.no_code)
    elif words.verb == "check":
        say(f"{len(check(words.bundle)['files'])} files are as they were put in")
    else:
        (mirror if words.verb == "mirror" else data)(words.bundle, words.out)


if __name__ == "__main__":
    main()

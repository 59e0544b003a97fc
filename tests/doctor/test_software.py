"""Locks, the authors' code and its patches."""

from __future__ import annotations

from typing import Any

import pytest
from machines import COMMIT, ENV, checkout, machine, needs

from tal_repro.doctor import environment, sources
from tal_repro.doctor.environment import lock_names
from tal_repro.engines.upstream.requirements import read_pins
from tal_repro.machine.host import Answer


def pins(*names: str) -> dict[str, str]:
    return {package: version for name in names for package, version in read_pins(ENV / f"{name}.lock").items()}


def locks(layers: set[str], installed: dict[str, str], **wanted: Any) -> Any:
    probes = machine(layers=lambda: frozenset(layers), installed=lambda: installed)
    (found,) = environment.findings(needs(**wanted), probes)
    return found


@pytest.mark.parametrize(
    ("layers", "names"),
    [
        ({"light"}, ("light",)),
        ({"light", "full", "torch-cpu"}, ("light", "base")),
        ({"full", "torch-cuda", "upstream"}, ("light", "base", "cuda", "upstream")),
        ({"full", "torch-cuda12"}, ("light", "cuda12")),
        ({"dev", "torch-cpu"}, ("light", "base", "upstream", "slurm", "dev")),
    ],
)
def test_an_environment_as_locked(layers, names):
    installed = {**pins(*names), "pip": "26", "tal-repro": "0"}
    assert tuple(lock_names(frozenset(layers), installed)) == names
    found = locks(layers, installed)
    assert found.status == "ok", found
    assert f"{len(pins(*names))} packages equal" in found.what


def test_the_local_part_of_a_version_is_the_cpu_wheel():
    installed = pins("light", "base")
    assert locks({"full", "torch-cpu"}, {**installed, "torch": installed["torch"] + "+cpu"}).status == "ok"


@pytest.mark.parametrize(
    ("change", "status", "said", "remedy"),
    [
        ({"numpy": "1.26.4"}, "fail", "numpy 1.26.4, locked", "env/setup.py full"),
        ({"scipy": None}, "fail", "scipy is missing, locked", "env/setup.py full"),
        ({"torch": "2.10.0"}, "fail", "torch 2.10.0, locked 2.13.0", "env/setup.py full"),
        ({"left-pad": "1"}, "warn", "in no lock: left-pad", "distclean"),
        ({"ruff": "0.17.6"}, "ok", "packages equal", ""),  # locked in another layer
    ],
)
def test_a_difference_is_named(change, status, said, remedy):
    installed: dict[str, Any] = {**pins("light", "base"), **change}
    found = locks({"full", "torch-cpu"}, {name: version for name, version in installed.items() if version})
    assert (found.status, said in found.what, remedy in found.remedy) == (status, True, True), found


def test_an_environment_of_somebody_else():
    assert locks(set(), {}).status == "warn"
    assert locks(set(), {}, runtime="docker").status == "ok"


def code(
    wanted: dict[str, Any] | None = None, answers: Any = None, programs: tuple[str, ...] = ("git",), **changes: Any
) -> Any:
    return {one.check: one for one in sources.findings(needs(**wanted or {}), machine(answers, programs, **changes))}


def test_checkouts_at_their_commits():
    found = code()
    assert list(found) == ["code of tadtr", "code of tridet", "patches"]
    assert {one.status for one in found.values()} == {"ok"}
    assert found["code of tadtr"].figures == {"commit": COMMIT}
    assert found["patches"].figures == {"fit": 2, "patched": 0}


def test_the_native_engine_needs_none():
    (found,) = code({"upstream": ()}).values()
    assert (found.status, "native engine" in found.what) == ("ok", True)


MISSING = {
    "present": False,
    "commit": "",
    "clean": None,
    "files": {},
    "problem": "the checkout is missing",
    "remedy": "make submodules",
}
DRIFTED = {
    "files": {"main.py": "drifted (blob 1, expected 2)"},
    "problem": "main.py is drifted",
    "remedy": "git checkout",
}


@pytest.mark.parametrize(
    ("change", "check", "status", "said"),
    [
        (MISSING, "code of tadtr", "fail", "is missing"),
        (MISSING, "patches", "fail", "cannot be compared: tadtr, tridet"),
        ({**MISSING, "prepared": "/copies/x"}, "code of tadtr", "ok", "only the patched copy is here"),
        (
            {"problem": "is at commit 1", "remedy": "git checkout", "commit": "1"},
            "code of tadtr",
            "fail",
            "is at commit 1",
        ),
        (
            {"problem": "has local changes", "remedy": "git stash", "clean": False},
            "code of tridet",
            "fail",
            "local changes",
        ),
        ({"commit": "", "clean": None}, "code of tadtr", "warn", "it is no git checkout"),
        ({"prepared": "/copies/x"}, "code of tadtr", "ok", "patched copy in /copies/x"),
        (DRIFTED, "patches", "fail", "do not fit tadtr: main.py is drifted"),
        (DRIFTED, "code of tadtr", "ok", "clean"),
    ],
)
def test_what_is_wrong_with_a_checkout(change, check, status, said):
    found = code(checkout=lambda model: checkout(model, **change))[check]
    assert (found.status, said in found.what) == (status, True), found


def test_a_patched_copy_that_was_changed():
    states = {"main.py": "patched", "util.py": "drifted (blob 1, expected 2)"}
    found = code(checkout=lambda m: checkout(m, prepared="/copies/x"), copy_files=lambda model: states)["patches"]
    assert (found.status, found.remedy) == ("fail", "move /copies/x away: it is made again")


def test_code_and_containers():
    """An image is built from checkouts; one that is built has the copies; the image kit has none."""
    only_copy = lambda model: checkout(model, **{**MISSING, "prepared": "/copies/x"})  # noqa: E731
    assert code({"runtime": "docker"}, checkout=only_copy)["code of tadtr"].status == "fail"
    built = {"docker image inspect": Answer(0, "sha256:1")}
    (inside,) = code({"runtime": "docker"}, built, ("docker",)).values()
    assert (inside.status, "in the image" in inside.what) == ("ok", True)
    kit = {"environment": {"TAL_REPRO_CONTAINER": "kit"}}
    assert code(**kit)["authors' code"].status == "warn"
    assert code({"before_fetch": True}, **kit)["authors' code"].status == "ok"


def test_without_git_the_commit_cannot_be_told():
    found = code(programs=(), checkout=lambda model: checkout(model, commit="", clean=None))["code of tadtr"]
    assert (found.status, "git is not installed" in found.what) == ("warn", True)


def test_the_extra_packages_of_a_model_are_compared_too(monkeypatch):
    monkeypatch.setattr(environment, "extra_pins", lambda model: {"addict": "2.4.0"} if model == "tetad" else {})
    installed = pins("light", "base", "upstream")
    layers = frozenset({"full", "torch-cpu", "upstream"})
    for version, status in ((None, "fail"), ("2.3.0", "fail"), ("2.4.0", "ok")):
        here = installed if version is None else {**installed, "addict": version}
        probes = machine(layers=lambda: layers, installed=lambda here=here: here)
        _, extra = environment.findings(needs(upstream=("tadtr", "tetad")), probes)
        assert (extra.check, extra.status) == ("packages of tetad", status), extra
        assert ("make setup-upstream" in extra.remedy) == (status == "fail")

"""The authors' code: submodules at their commits and clean, patches that fit, patched copies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from tal_repro.doctor.container import has_image
from tal_repro.doctor.finding import Finding, fail, ok, warn
from tal_repro.doctor.needs import Needs
from tal_repro.doctor.probes import Probes

if TYPE_CHECKING:
    from tal_repro.engines.upstream.checkout import Status

FITTING_STATES = ("pristine", "patched")


def findings(needs: Needs, probes: Probes) -> Iterator[Finding]:
    """Check each checkout the study runs, then the patches of all of them, in checkouts and copies."""
    if not needs.upstream:
        yield ok("authors' code", f"not needed: study {needs.study} runs the native engine")
        return
    if probes.environment.get("TAL_REPRO_CONTAINER") == "kit":
        yield _elsewhere(needs)
        return
    if needs.runtime != "none" and has_image(needs, probes):
        yield ok("authors' code", f"patched copies of {', '.join(needs.upstream)} are in the image")
        return
    statuses = [probes.checkout(model) for model in needs.upstream]
    git = probes.which("git") is not None
    yield from (_checkout(status, git, needs.runtime) for status in statuses)
    yield _patches(statuses, {status.model: probes.copy_files(status.model) for status in statuses})


def _elsewhere(needs: Needs) -> Finding:
    what = f"patched copies of {', '.join(needs.upstream)} are in the image upstream, this is the image kit"
    if needs.before_fetch:  # reproduce-all goes over to that image
        return ok("authors' code", what)
    return warn("authors' code", what, "docker/kit.sh --target upstream, or make ... TARGET=upstream")


def _checkout(status: Status, git: bool, runtime: str) -> Finding:
    name = f"code of {status.model}"
    copy = (
        f"; patched copy in {status.prepared}" if status.prepared else "; its patched copy is made when a run needs it"
    )
    if not status.present and runtime != "none":
        return fail(name, f"{status.problem}, and the image is built from it", status.remedy)
    if status.prepared and not status.present:
        return ok(name, f"only the patched copy is here: {status.prepared}", commit=status.pinned_commit)
    drifted = [path for path, state in status.files.items() if state not in FITTING_STATES]
    if status.problem and not (drifted and not _wrong_commit(status)):
        return fail(name, status.problem, status.remedy, commit=status.commit)
    if not status.commit:
        why = "it is no git checkout" if git else "git is not installed"
        return warn(name, f"its commit cannot be told: {why}{copy}", "make submodules", commit="")
    return ok(name, f"commit {status.commit[:12]}, clean{copy}", commit=status.commit)


def _wrong_commit(status: Status) -> bool:
    return (
        not status.present or (bool(status.commit) and status.commit != status.pinned_commit) or status.clean is False
    )


def _patches(statuses: Sequence[Status], copies: Mapping[str, Mapping[str, str]]) -> Finding:
    """Check by blob id that the patches fit the sources and the patched copies are unchanged; name what is missing."""
    files = [(status, path, state) for status in statuses for path, state in status.files.items()]
    wrong = [(status, path, state) for status, path, state in files if state not in FITTING_STATES]
    if wrong:
        status, path, state = wrong[0]
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        return fail(
            "patches", f"do not fit {status.model}: {path} is {state}{more}", status.remedy or "make submodules"
        )
    patched = [(model, path, state) for model, states in copies.items() for path, state in states.items()]
    if changed := [(model, path) for model, path, state in patched if state != "patched"]:
        model, path = changed[0]
        folder = next(status.prepared for status in statuses if status.model == model)
        return fail(
            "patches", f"the patched copy of {model} was changed: {path}", f"move {folder} away: it is made again"
        )
    if missing := [status.model for status in statuses if not status.present and not status.prepared]:
        return fail("patches", f"cannot be compared: {', '.join(missing)} not checked out", "make submodules")
    text = f"{len(files)} files fit by blob id, {len(patched)} are patched in the copies"
    return ok("patches", text, fit=len(files), patched=len(patched))

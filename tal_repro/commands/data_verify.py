"""Check a data folder and say what was found: what `data verify` does, and `data fetch` at its end."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from tal_repro.console import echo, echo_progress, emit, tell_next
from tal_repro.errors import InputError

if TYPE_CHECKING:
    from tal_repro.data.fingerprint import Fingerprint
    from tal_repro.data.verify import LayoutReport

VERIFY_SCHEMA = "tal-repro/data-verify/1"


def verify_folder(
    folder: Path,
    layout: str | None,
    no_fingerprint: bool = False,
    as_json: bool = False,
    manifest: Path | None = None,
) -> int:
    """Check a data folder, print the report, write its fingerprint (and a manifest); return the exit code."""
    from tal_repro.data.fingerprint import write_fingerprints
    from tal_repro.data.layouts import is_definition
    from tal_repro.data.verify import verify as verify_layouts

    reports = verify_layouts(folder, layout, progress_of("feature files"))  # type: ignore[arg-type]
    errors = sum(report.errors for report in reports)
    if as_json:
        content = {"root": str(folder), "errors": errors, "layouts": [report.to_json() for report in reports]}
        emit(json.dumps({"schema": VERIFY_SCHEMA, **content}, indent=1))
    else:
        for report in reports:
            _print_report(report)
    good = [(report.dataset, report.fingerprint) for report in reports if report.dataset and report.fingerprint]
    if errors:
        echo(f"{errors} errors; no fingerprint written{'' if no_fingerprint else _forget(folder)}", err=True)
    elif good and not no_fingerprint:
        for changed in _changed(folder, [fingerprint for _, fingerprint in good]):
            echo(f"warning: {changed}", err=True)
        try:
            written = write_fingerprints(folder, good[0][0], [fingerprint for _, fingerprint in good])
            echo(f"fingerprint written to {written}", err=True)
        except InputError as error:  # of a read-only data folder, as in containers: the data are sound all the same
            echo(f"warning: {error.where}: {error.what}; the check itself is done", err=True)
    if manifest is not None and not errors and good:
        _write_manifest(manifest, [fingerprint for _, fingerprint in good], real=not any(d.synthetic for d, _ in good))
    if not as_json:
        again = f"mend what is named above, then again: tal-repro data verify {quote(str(folder))}"
        own = f"tal-repro study new --data {quote(str(folder))} --out my-study.toml"
        ready = own if is_definition(folder) else f"tal-repro train --model MODEL --data {quote(str(folder))}"
        tell_next(again if errors else ready)
    return 1 if errors else 0


def _write_manifest(path: Path, fingerprints: list[Fingerprint], real: bool) -> None:
    """Write the checksums; of the real set, say what they are good for."""
    from tal_repro.data.manifest import kept_manifest, write_manifest
    from tal_repro.thumos14 import ANNOTATION_HASH

    write_manifest(path, fingerprints)
    echo(f"manifest written to {path} (check with: sha256sum -c)", err=True)
    for fingerprint in fingerprints:
        if real and fingerprint.annotation_hash == ANNOTATION_HASH and not kept_manifest(fingerprint.layout).is_file():
            echo(f"nobody has contributed one of {fingerprint.layout}'s archive yet: docs/data.md says how", err=True)


def _changed(folder: Path, fingerprints: list[Fingerprint]) -> Iterator[str]:
    """Say which layouts are no longer what an earlier check recorded."""
    from tal_repro.data.fingerprint import recorded_fingerprint

    for fingerprint in fingerprints:
        try:
            recorded = recorded_fingerprint(folder, fingerprint.layout)
        except InputError as error:
            yield f"{error.where}: {error.what}; written anew"
            return
        if recorded not in (None, fingerprint.digest):
            yield (
                f"the {fingerprint.layout} layout changed since its last check: fingerprint {fingerprint.digest[:16]}, "
                f"recorded {str(recorded)[:16]}; runs made before are of other data"
            )


def _forget(folder: Path) -> str:
    """Remove the fingerprint of an earlier check, which the data no longer pass; say so."""
    from tal_repro.data.fingerprint import fingerprint_file

    path = fingerprint_file(folder)
    if not path.is_file():
        return ""
    try:
        path.unlink()
    except OSError as error:
        return f"; the old one, {path}, no longer holds and cannot be removed ({error.strerror})"
    return ", and the old one removed: it no longer holds"


def _print_report(report: LayoutReport) -> None:
    content = report.to_json()
    kind = "synthetic, " if content["synthetic"] else ""
    layout = report.layout
    title = layout.definition.name if layout.defined else f"{layout.name} layout"
    echo(f"{title} ({kind}{layout.definition.path if layout.defined else layout.folder})")
    echo(f"  train: {counted(content['train'])}; test: {counted(content['test'])}")
    echo(f"  {report.feature_files} feature files, {report.feature_bytes / 2**20:.0f} MiB")
    for problem in report.problems:
        echo(f"  {problem.severity}: {problem.where}: {problem.what} [{problem.remedy}]")
        if problem.severity == "error":
            echo(f"    in {problem.file}")
    if content["fingerprint"]:
        echo(f"  annotations {content['annotation_hash'][:16]}, fingerprint {content['fingerprint'][:16]}")


def counted(counts: dict[str, int]) -> str:
    return f"{counts['videos']} videos with {counts['instances']} actions"


def progress_of(noun: str) -> Callable[[int, int], None]:
    """Report progress on standard error: a line rewritten on a terminal, a line a quarter when piped."""
    started = time.monotonic()
    terminal = sys.stderr.isatty()

    def report(done: int, total: int) -> None:
        quarter = max(total // 4, 1)
        if not terminal and done % quarter and done != total:
            return
        rate = done / max(time.monotonic() - started, 1e-9)
        line = f"{done}/{total} {noun}, {rate:.1f}/s, {(total - done) / rate:.0f} s left"
        echo_progress(line, ended=done == total, terminal=terminal)

    return report

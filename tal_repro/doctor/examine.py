"""All checks in the order of a report. Each is a pure function of what a study needs and how the machine is seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tal_repro.doctor import container, dataset, environment, gpu, host, sources
from tal_repro.doctor.finding import Finding, fail
from tal_repro.doctor.needs import Needs
from tal_repro.doctor.probes import Probes
from tal_repro.errors import InputError

Check = Callable[[Needs, Probes], Iterator[Finding]]
CHECKS: dict[str, Check] = {
    "driver": gpu.findings,
    "container": container.findings,
    "machine": host.findings,
    "authors' code": sources.findings,
    "locks": environment.findings,
    "data set": dataset.findings,
    "write access": host.write_access,
}


def examine(needs: Needs, probes: Probes) -> list[Finding]:
    """Run every check; one that cannot look is a finding itself, and the others go on."""
    findings: list[Finding] = []
    for name, check in CHECKS.items():
        try:
            findings.extend(check(needs, probes))
        except InputError as error:
            where = f"{error.where}: " if error.where else ""
            findings.append(fail(name, f"cannot be looked at: {where}{error.what}", error.remedy or "mend that first"))
        except OSError as error:
            findings.append(fail(name, f"cannot be looked at: {error}", "mend that first"))
    return findings

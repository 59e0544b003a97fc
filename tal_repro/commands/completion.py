"""What the shell offers for claims, runs and studies (docs/shell-completion.md). Bad input offers nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from click import Context, Parameter

MOST = 200  # runs offered; type a few digits to see the others


def claim_ids(context: Context, parameter: Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the claims whose id begins so, each with its statement."""
    from tal_repro.paper.claims.statements import load_claims

    begun = incomplete.upper()
    return [CompletionItem(claim.id, help=claim.statement) for claim in load_claims() if claim.id.startswith(begun)]


def run_ids(context: Context, parameter: Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the runs in the results folder whose id begins so, each with experiment, model and state."""
    from tal_repro.runs.folder import folders, planned_id

    usual = next(option.get_default(context) for option in context.command.params if option.name == "results")
    root = Path(context.params.get("results") or str(usual))
    offered: dict[str, str] = {}
    for experiment in folders(root):
        for model in folders(experiment):
            for folder in folders(model):
                if folder.name.startswith(incomplete) and len(offered) < MOST:
                    state = folder.suffix.removeprefix(".") or "done"
                    offered[planned_id(folder.name)] = f"{experiment.name}, {model.name}, {state}"
    return [CompletionItem(run_id, help=text) for run_id, text in offered.items()]


def studies(context: Context, parameter: Parameter, incomplete: str) -> list[CompletionItem]:
    """Offer the shipped studies, and files."""
    from tal_repro.study import SHIPPED

    names = sorted(path.stem for path in SHIPPED.glob("*.toml"))
    shipped = [CompletionItem(name, help="shipped") for name in names if name.startswith(incomplete)]
    return [*shipped, CompletionItem(incomplete, type="file")]

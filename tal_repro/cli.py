"""Every verb of `tal-repro`, in the order of the path of data. A command is imported when it is called, not before."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Iterator
from typing import Any

import click
from click.shell_completion import CompletionItem

from tal_repro import __version__
from tal_repro.console import echo
from tal_repro.errors import NO_SPACE, InputError, commands_for_host, of_system
from tal_repro.interrupt import drop

# verb -> (module in tal_repro.commands, attribute, one line for --help)
VERBS: dict[str, tuple[str, str, str]] = {
    "demo": ("demo", "demo", "Run the whole study in miniature on synthetic data."),
    "verify": ("verify", "verify", "Give a verdict on every number of the paper."),
    "forecast": ("forecast", "forecast", "Predict mAP at more data from a few (train %, mAP) points."),
    "advise": ("advise", "advise", "Say whether more labelled videos would pay, and which model to take."),
    "figure": ("figure", "figure", "Draw a figure of the paper from published numbers and your runs."),
    "table": ("table", "table", "Print a table of the paper as CSV, Markdown or LaTeX."),
    "report": ("report", "report", "Write one page with every verdict, table, figure and run."),
    "data": ("data", "data", "Make, check, pack or fetch a data set."),
    "subset": ("subset", "subset", "Draw the training units of a run."),
    "train": ("train", "train", "Train one model on a data set and print its mAP."),
    "evaluate": ("evaluate", "evaluate", "Compute the mAP of anybody's detections."),
    "models": ("models", "models", "List the models, check one, or start a new one."),
    "doctor": ("doctor", "doctor", "Check this machine for a study, and say what to do."),
    "gpu-check": ("gpu_check", "gpu_check", "Check this machine's GPU before data and money are spent."),
    "plan": ("plan", "plan", "Show a study's runs, what is done, and what the rest will cost."),
    "study": ("study", "study", "Write a study of a data set of your own."),
    "run": ("run", "run", "Run what a study has left, here or on a Slurm cluster."),
    "status": ("status", "status", "Show how far a study is and who runs what (--watch)."),
    "show": ("show", "show", "Show one run and the command that repeats it."),
    "gc": ("gc", "gc", "List or delete what a results folder can do without."),
    "results": ("results", "results", "Carry finished runs between machines, or list all their metrics."),
    "released": ("released", "released", "Evaluate the authors' checkpoint beside its published mAP."),
    "upstream": ("upstream", "upstream", "Look at the authors' code and prepare patched copies."),
    "macs": ("macs", "macs", "Count multiply-accumulate operations of a model."),
    "trace": ("trace", "trace", "Run any command under the hardware sampler."),
    "bench": ("bench", "bench", "Time inference against length; find what a training waits for."),
    "compare": ("compare", "compare", "Compare the measurements of two machines."),
}

# What the light environment does without (env/base.in).
FULL_ONLY = frozenset({"torch", "fvcore", "psutil", "pynvml", "yaml"})


class LazyVerbs(click.Group):
    """A group that imports a command's module only when that command runs."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        if name not in VERBS:
            return None
        module, attribute, _ = VERBS[name]
        command: click.Command = getattr(importlib.import_module(f"tal_repro.commands.{module}"), attribute)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Offer verbs without importing their modules."""
        verbs = [CompletionItem(verb, help=line) for verb, (*_, line) in VERBS.items() if verb.startswith(incomplete)]
        return [*verbs, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(verb, line) for verb, (_, _, line) in VERBS.items()])

    def make_context(self, *args: Any, **extra: Any) -> click.Context:
        with _left_by_ctrl_c():
            return super().make_context(*args, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            with _left_by_ctrl_c():
                return super().invoke(ctx)
        except InputError as error:
            echo(f"error: {commands_for_host(str(error))}", err=True)
            sys.exit(2)
        except OSError as error:  # of a file or folder that a command was given
            if (readable := of_system(error)) is None:
                raise
            if error.filename is None and error.errno in NO_SPACE:
                raise  # the output's own disk, see below
            echo(f"error: {readable}", err=True)
            sys.exit(2)
        except ModuleNotFoundError as error:
            if error.name not in FULL_ONLY:
                raise
            echo(f"error: this needs {error.name}, which is not installed\n  remedy: make setup", err=True)
            sys.exit(2)

    def main(self, *args: Any, **extra: Any) -> Any:
        """Run; tell in a line where the output's own disk is full."""
        try:
            return super().main(*args, **extra)
        except OSError as error:
            if error.errno not in NO_SPACE:
                raise
            drop(1)  # the interpreter's last flush would complain of the same full disk again
            where = error.filename or "the output"
            echo(f"error: {where} cannot be written ({error.strerror})\n  remedy: free space there", err=True)
            sys.exit(2)


@contextlib.contextmanager
def _left_by_ctrl_c() -> Iterator[None]:
    """Leave with 130, as the shell has it, where click itself would end with 1."""
    try:
        yield
    except (KeyboardInterrupt, click.Abort) as error:
        if isinstance(error, click.Abort) and not isinstance(error.__context__, KeyboardInterrupt):
            raise  # the end of the input at a question
        echo("interrupted", err=True)
        sys.exit(130)


@click.group(cls=LazyVerbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """Reproduce, check and extend a study of four models that find actions in long videos.

    Begin with "tal-repro verify" (seconds), then "tal-repro demo" (minutes). Words: docs/glossary.md.
    """

"""Tables 1 and 2 as CSV, Markdown and LaTeX: published numbers beside what runs measured."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from tal_repro.errors import InputError
from tal_repro.measure.surroundings import MOST_STOLEN_PERCENT, QUIET_CPU_PERCENT
from tal_repro.models.registry import MODELS
from tal_repro.paper.claims.derivation import Reading
from tal_repro.paper.claims.judging import compare
from tal_repro.paper.claims.statements import load_claims
from tal_repro.paper.energy import Assumed, assumed, energy_table, significant, summarise
from tal_repro.paper.statistics import Sample, describe
from tal_repro.paper.table_text import TextTable as TextTable
from tal_repro.paper.verdicts import derive
from tal_repro.published.load import Published
from tal_repro.runs.apart import WORDS, apart, processors
from tal_repro.runs.load import Runs
from tal_repro.runs.run import Run, Setting
from tal_repro.untrusted import csv_cell

Format = Literal["csv", "markdown", "latex"]
NOT_RUN = "not run"
WIDE_COLUMNS = 6  # a LaTeX table with more spans both columns of a page
# What the paper's seconds are of, read from each model's training script (TadTR evaluates after every epoch).
PUBLISHED_SECONDS_OF = {
    "tadtr": "training and an evaluation an epoch",
    "tridet": "training without evaluation",
    "actionformer": "training without evaluation",
    "temporalmaxer": "training, 7 to 15 evaluations, early stop",
}
PUBLISHED_SELECTION = {
    "tadtr": "best-on-test raw", "tridet": "last ema", "actionformer": "last ema", "temporalmaxer": "best-on-test ema",
}  # fmt: skip
NOT_ALONE = (
    "A run that was not alone counts with its mAP, its time is left out. Not alone: started beside others; or others "
    f"used more than {QUIET_CPU_PERCENT:g} % of the CPU, a hypervisor withheld more than {MOST_STOLEN_PERCENT:g} %, or "
    "somebody else was on its GPU."
)
MAP_CLAIMS = {"tadtr": "T2.5", "tridet": "T2.6", "actionformer": "T2.7", "temporalmaxer": "T2.8"}


def table(number: int | str, published: Published, runs: Runs, stated: Assumed | None = None) -> TextTable:
    """Return Table 1 or 2, or "energy"; raise InputError for another. `stated` None: what the environment states."""
    if str(number) == "1":
        return table_1(published)
    stated = assumed() if stated is None else stated
    if str(number) == "2":
        return table_2(published, runs, stated)
    if number == "energy":
        return energy_table(runs, stated)
    raise InputError(f"the paper has no Table {number}", remedy="use 1, 2 or energy")


HYPERPARAMETERS = {
    "epochs": "# of epochs",
    "learning_rate": "Base learning rate (LR)",
    "weight_decay": "Weight decay",
    "lr_decay_epoch": "LR decay epoch",
    "batch_size": "Batch size",
    "train_overlap": "Slice overlap",
}


def table_1(published: Published) -> TextTable:
    """Hyper-parameters of TadTR: the recipe the kit trains with, beside the authors' default."""
    recipe = MODELS["tadtr"].recipe
    defaults = published["upstream_defaults"].where(model="tadtr")
    authors = dict(zip(defaults["hyperparameter"].tolist(), defaults["value"].tolist(), strict=True))
    rows = []
    for name, title in HYPERPARAMETERS.items():
        ours, theirs = float(getattr(recipe, name)), float(authors[name])
        rows.append((title, _setting(name, ours), _setting(name, theirs), "" if ours == theirs else "differs"))
    commit = MODELS["tadtr"].commit[:7]
    return TextTable(
        "Default hyper-parameters of TadTR (paper, Table 1)",
        ("Hyper-parameter", "Value", f"Authors' default at {commit}", "Deviation"),
        tuple(rows),
    )


def _setting(name: str, value: float) -> str:
    return f"{100 * value:g} %" if name.endswith("overlap") else f"{value:.10g}"


TABLE_2_HEADER = (
    "Model", "Source", "Training (s)", "mAP (%)", "n", "± is", "Selection", "Protocol", "Engine", "Seconds are of",
    "Data", "Machine", "Energy (kWh)", "kWh a point of mAP", "Runs",
)  # fmt: skip


def table_2(published: Published, runs: Runs, stated: Assumed) -> TextTable:
    """Training time and mAP of each model: the paper's line, then one line for each engine and data set run here."""
    rows: list[tuple[str, ...]] = []
    for row in published["table2"].rows():
        rows.append(_published_row(row["model"], row, published))
        rows += _measured_rows(row["model"], runs, stated) or [_not_run(row["model"])]
    others = [m for m in dict.fromkeys(r.model for r in runs.of("baseline")) if m not in published["table2"]["model"]]
    for model in others:
        rows += _measured_rows(model, runs, stated)
    return TextTable(
        "Training time and mAP on THUMOS14 (paper, Table 2) beside runs of this kit",
        TABLE_2_HEADER,
        tuple(rows),
        tuple(_notes(published, runs)),
    )


def _published_row(model: str, row: Mapping[str, float | str], published: Published) -> tuple[str, ...]:
    n, kind = _published_n(model, published)
    return (
        _title(model), "paper", f"{row['train_seconds_mean']:.0f} ± {row['train_seconds_std']:.0f}",
        f"{row['map_mean']:.1f} ± {row['map_std']:.1f}", n, kind, PUBLISHED_SELECTION[model], "not stated",
        "upstream", PUBLISHED_SECONDS_OF[model], "THUMOS14", str(row["hardware"]), "-", "-", str(row["source"]),
    )  # fmt: skip


def _published_n(model: str, published: Published) -> tuple[str, str]:
    """Return the n and kind of std that Table 2's mAP follows under: as stated, or as corrected by the claims."""
    claim = next(c for c in load_claims() if c.id == MAP_CLAIMS[model])
    verdict, derived = compare(claim, derive(claim.id, published))
    sample = derived.sample if isinstance(derived, Reading) else None
    if verdict == "consistent with correction" and sample is not None:
        return f"{sample.n} (5 stated)", f"{sample.kind} std"
    return "5 (stated)", "std, kind not stated"


def _measured_rows(model: str, runs: Runs, stated: Assumed) -> list[tuple[str, ...]]:
    groups: dict[tuple[str, Setting], list[Run]] = {}
    for setting, group in apart(runs.of("baseline", model)).items():
        for run in group:  # times of one kind of machine only
            groups.setdefault((run.device, setting), []).append(run)
    settings = [setting for _, setting in groups]
    return [
        _measured_row(model, _engine(setting, settings), group, runs, stated) for (_, setting), group in groups.items()
    ]


def _engine(setting: Setting, settings: Sequence[Setting]) -> str:
    """Name an engine, and what else tells one measured line of a model from the others."""
    differing = {name for other in settings for name in setting.differences(other)} - {
        "engine",
        "recipe",
        "data",
        "options",
    }
    values = (
        f"{WORDS.get(name, name)} {getattr(setting, name) or 'all'}" for name in Setting._fields if name in differing
    )
    return ", ".join([setting.engine, *values])


def _measured_row(model: str, engine: str, group: Sequence[Run], runs: Runs, stated: Assumed) -> tuple[str, ...]:
    machine = group[0].device
    timed = [run for run in group if run.alone]
    shared = "" if len(timed) == len(group) else f" ({len(group) - len(timed)} of {len(group)} not alone: not timed)"
    accurate = [run for run in group if run.average_map is not None]
    maps = [run.average_map for run in group if run.average_map is not None]
    seconds = [run.train_seconds for run in timed if run.train_seconds is not None]
    selection = accurate[0].reported if accurate else None
    n = f"{len(seconds)}" if len(seconds) == len(maps) else f"{len(seconds)} timed, {len(maps)} scored"
    spread = "sample std" if max(len(seconds), len(maps)) > 1 else "one run"
    return (
        _title(model), "measured", _mean(seconds, 1), _mean(maps, 2), n, spread,
        " ".join(selection[:2]) if selection else "-", selection[2] if selection else "-", engine,
        group[0].train_seconds_of or "-", group[0].data_title, machine + shared,
        *_energy(group, runs, stated), " ".join(run.run_id for run in group),
    )  # fmt: skip


def _energy(group: Sequence[Run], runs: Runs, stated: Assumed) -> tuple[str, str]:
    """Return kWh a training and a point of mAP; where several ways of knowing meet, the table of energy has each."""
    known = [summary for summary in summarise(group, runs, stated.power) if summary.how]
    if len(known) != 1:
        return ("see the table of energy",) * 2 if known else ("not measured",) * 2
    (summary,) = known
    how = "" if summary.how.startswith("counted") else " (estimated)"
    return significant(summary.kwh) + how, significant(summary.kwh_a_point) + how


def _mean(values: Sequence[float], digits: int) -> str:
    if not values:
        return "-"
    sample: Sample = describe(values)
    return f"{sample.mean:.{digits}f}" + (f" ± {sample.std:.{digits}f}" if sample.n > 1 else "")


def _not_run(model: str) -> tuple[str, ...]:
    return (_title(model), "measured", NOT_RUN, NOT_RUN, "0", *["-"] * (len(TABLE_2_HEADER) - 5))


def _title(model: str) -> str:
    return MODELS[model].title if model in MODELS else model


def _notes(published: Published, runs: Runs) -> Iterable[str]:
    yield "The seconds are not of the same thing in each line; see the column."
    yield "Energy is from start to end; how it is known, and carbon: tal-repro table energy."
    for claim in load_claims():
        if claim.section == "Table 2":
            derivation = derive(claim.id, published)
            verdict, _ = compare(claim, derivation)
            yield f"{claim.id} {verdict}: {derivation.reason if derivation else claim.not_derivable}."
    if not all(run.alone for run in runs.of("baseline")):
        yield NOT_ALONE
    yield from (f"{note}." for note in [*runs.notes, processors(runs.of("baseline"))] if note)
    if any(run.synthetic for run in runs.of("baseline")):
        yield "Lines marked SYNTHETIC are of made-up data: they show that the kit works and say nothing about THUMOS14."


def render(text: TextTable, kind: Format) -> str:
    """Return the table in one of the three formats, ending in a newline."""
    return {"csv": _csv, "markdown": _markdown, "latex": _latex}[kind](text)


def _csv(text: TextTable) -> str:
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    rows = zip(*(column for pair in _columns(text) for column in _split(*pair)), strict=True)
    writer.writerows([csv_cell(cell) for cell in row] for row in rows)
    return buffer.getvalue()


def _columns(text: TextTable) -> Iterable[tuple[str, list[str]]]:
    return ((name, [row[index] for row in text.rows]) for index, name in enumerate(text.header))


def _split(name: str, cells: list[str]) -> list[list[str]]:
    """Give the number before and after "±" a column each, for programs."""
    if not any(" ± " in cell for cell in cells):
        return [[name, *cells]]
    parts = [cell.partition(" ± ") for cell in cells]
    return [[f"{name} mean", *(first for first, _, _ in parts)], [f"{name} std", *(last for _, _, last in parts)]]


def _markdown(text: TextTable) -> str:
    lines = [f"**{_md(text.caption)}**", "", _md_row(text.header), "|" + "---|" * len(text.header)]
    lines += [_md_row(row) for row in text.rows]
    if text.notes:
        lines += ["", *(f"- {_md(note)}" for note in text.notes)]
    return "\n".join(lines) + "\n"


def _md_row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(_md(cell) for cell in cells) + " |"


def _md(cell: str) -> str:
    for old, new in (("\\", "\\\\"), ("|", "\\|"), ("<", "&lt;"), ("\n", " ")):
        cell = cell.replace(old, new)
    return cell


LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "<": r"$<$", ">": r"$>$", "\n": " ",
}  # fmt: skip


def _tex(cell: str) -> str:
    return "".join(LATEX.get(letter, letter) for letter in cell)


def _latex(text: TextTable) -> str:
    wide = len(text.header) > WIDE_COLUMNS
    place = "table*" if wide else "table"
    columns = "l" * len(text.header)
    lines = [rf"\begin{{{place}}}", r"\centering", rf"\caption{{{_tex(text.caption)}}}"]
    lines += [r"\resizebox{\textwidth}{!}{% (package graphicx)"] if wide else []
    lines += [rf"\begin{{tabular}}{{{columns}}}", r"\hline", _tex_row(text.header), r"\hline"]
    lines += [*map(_tex_row, text.rows), r"\hline", r"\end{tabular}"]
    lines += ["}"] if wide else []
    lines += [rf"\par\footnotesize {_tex(note)}" for note in text.notes]
    return "\n".join([*lines, rf"\end{{{place}}}"]) + "\n"


def _tex_row(cells: Iterable[str]) -> str:
    return " & ".join(map(_tex, cells)) + r" \\"

"""The advice in plain sentences: the answer first, the numbers behind it after. Says nothing that the data do not."""

from __future__ import annotations

from typing import Any

from tal_repro.advice.build import ASKED, OPEN, PAYS, PAYS_NOT, UNKNOWN

MOST_NAMED = 8
_ANSWERS = {
    PAYS: "Yes, more labelled videos would probably pay",
    OPEN: "More labelled videos may pay, the runs do not settle it",
    PAYS_NOT: "No, more labelled videos would hardly pay",
    UNKNOWN: "The runs cannot tell whether more labelled videos would pay",
}


def sentences(advice: dict[str, Any]) -> list[str]:
    """Return the advice of `build.advise` as sentences, one a paragraph."""
    curve = chosen_curve(advice)
    lines = [_about(advice)]
    lines += [_answer(curve, advice["delta"]), _flat(curve), _next(curve), _short(advice), _model(advice)]
    others = _others(advice, curve)
    return [line for line in [*lines, others, _trust(curve)] if line]


def _about(advice: dict[str, Any]) -> str:
    """Name the data set that all that follows is of, and say where it is made up."""
    if advice["synthetic"]:
        return f"SYNTHETIC DATA ({advice['data']}): this shows that the kit works, and says nothing about real videos."
    return f"Advice on the data set {advice['data']}."


def chosen_curve(advice: dict[str, Any]) -> dict[str, Any]:
    """Return the curve of the model that is advised, of the best where none is."""
    choice = advice["choice"]
    same = [row for row in advice["curves"] if (row["model"], row["engine"]) == (choice["model"], choice["engine"])]
    curve: dict[str, Any] = (same or advice["curves"])[0]
    return curve


def _answer(curve: dict[str, Any], delta: float) -> str:
    row = _asked(curve)
    text = f"{_ANSWERS[curve['pays']]} ({curve['title']}, {curve['last_map']:.1f} mAP at {curve['last_percent']:g} %)."
    if not row["answerable"]:
        return f"{text} Why: {row['reason']}."
    low, high = row["interval"]
    text += f" With {ASKED:g} times the videos: {row['prediction']:.1f} mAP, {curve['level']:.0%} interval "
    text += f"{low:.1f} to {high:.1f}"
    if row["gain_probability"] is None:
        return f"{text}."
    return f"{text}; a gain of {delta:g} mAP or more has a probability of {_percent(row['gain_probability'])}."


def _asked(curve: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = next(row for row in curve["ahead"] if row["times"] == ASKED)
    return row


def _percent(probability: float) -> str:
    """Two decimals would claim more than the calibration knows."""
    return "less than 1 %" if probability < 0.01 else "more than 99 %" if probability > 0.99 else f"{probability:.0%}"


def _flat(curve: dict[str, Any]) -> str:
    tested = curve["saturation"]
    if not tested["tested"]:
        return f"Where the curve is flat is not tested: it {tested['reason']}."
    if tested["percent"] is None:
        return f"The curve is not shown to be flat anywhere: {tested['reason']}."
    return (
        f"The curve is flat from {tested['percent']:g} % of the videos on: {tested['reason']}. "
        f"So much would have been enough for {curve['title']}."
    )


def _next(curve: dict[str, Any]) -> str:
    following = curve["next_run"]
    seconds = following["like_seconds"]
    cost = "" if seconds is None else f"; its like took {duration(seconds)}"
    return f"The cheapest next run: {curve['title']} at {following['percent']:g} % ({following['reason']}{cost})."


def _short(advice: dict[str, Any]) -> str:
    rows = advice["classes"]["rows"]
    if not rows:
        return (
            "Which classes are short of videos cannot be told: the runs keep no AP by class (a newer kit's runs do; "
            "tal-repro evaluate RUN_FOLDER/detections.csv.gz ANNOTATIONS --per-class shows that of one run)."
        )
    by = {answer: [row["class"] for row in rows if row["pays"] == answer] for answer in _ANSWERS}
    parts = [f"short of videos: {_listed(by[PAYS])}"] if by[PAYS] else ["no class is shown to be short of videos"]
    parts += [f"open: {_listed(by[OPEN])}"] if by[OPEN] else []
    parts += [f"hardly better with more: {_listed(by[PAYS_NOT])}"] if by[PAYS_NOT] else []
    rising = [row["class"] for row in rows if row["pays"] == UNKNOWN and row["last_rise"] >= advice["delta"]]
    parts += [f"still rising, how far cannot be told: {_listed(rising)}"] if rising else []
    rest = [name for name in by[UNKNOWN] if name not in rising]
    parts += [f"cannot be told: {_listed(rest)}"] if rest else []
    return f"Classes, {'; '.join(parts)}. Label the short ones first; intervals of single classes are not calibrated."


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return ", ".join(names[:MOST_NAMED]) + more


def _model(advice: dict[str, Any]) -> str:
    choice = advice["choice"]
    if choice["model"] is None:
        return f"Which model to take for its cost cannot be told: {choice['reason']}."
    row = next(r for r in advice["models"] if (r["model"], r["engine"]) == (choice["model"], choice["engine"]))
    shared = "" if row["alone"] else ", measured beside other runs"
    return (
        f"The model to take: {row['title']}, {row['map']:.1f} mAP at {row['percent']:g} % of the videos in "
        f"{duration(row['seconds'])} of training{shared}: {choice['reason']}."
    )


def _others(advice: dict[str, Any], curve: dict[str, Any]) -> str:
    answers = [f"{row['title']}: {row['pays']}" for row in advice["curves"] if row is not curve]
    return f"The same question for the others: {'; '.join(answers)}." if answers else ""


def _trust(curve: dict[str, Any]) -> str:
    if not any(row["answerable"] for row in curve["ahead"]):
        return ""
    return f"The intervals are calibrated on {curve['coverage']['calibrated_on']}, not on these runs."


def duration(seconds: float) -> str:
    """Return seconds as a person says them."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"

"""Read `sentences.toml`: which claim holds what a sentence of the paper says, or why nothing in it can be checked."""

from __future__ import annotations

import tomllib
from collections.abc import Set
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tal_repro.errors import InputError
from tal_repro.paper.claims.statements import load_claims

SENTENCES_FILE = Path(__file__).with_name("sentences.toml")


@dataclass(frozen=True)
class Sentence:
    """One sentence of the paper: its number in the paper's order, its section, its first words, claims or a reason."""

    n: int
    section: str
    begins: str
    claims: tuple[str, ...] = ()
    reason: str = ""


@cache
def load_sentences(path: Path = SENTENCES_FILE) -> tuple[Sentence, ...]:
    """Return the sentences in order; raise InputError for one without claim or reason, or out of order."""
    content = tomllib.loads(path.read_text(encoding="utf-8"))
    known, reasons = {claim.id for claim in load_claims()}, content["reasons"]
    found = []
    for place, entry in enumerate(content["paper"]["sentences"], 1):
        sentence = Sentence(entry["n"], entry["section"], entry["begins"], tuple(entry.get("claims", ())),
                            reasons.get(entry.get("reason"), ""))  # fmt: skip
        _check(sentence, place, known, f"{path.name}: sentence {entry['n']}")
        found.append(sentence)
    return tuple(found)


def _check(sentence: Sentence, place: int, known: Set[str], where: str) -> None:
    if sentence.n != place:
        raise InputError(f"stands at place {place}", where, "number the sentences 1, 2, 3, ... in the paper's order")
    if bool(sentence.claims) == bool(sentence.reason):
        raise InputError("needs either claims or one of the reasons", where)
    if unknown := sorted(set(sentence.claims) - known):
        raise InputError(f"names no claim: {unknown[0]}", where, "use the ids of claims.toml")

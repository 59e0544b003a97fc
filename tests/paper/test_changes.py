"""The list of what was changed to run the authors' code: complete, rated, and read from where the changes act."""

from __future__ import annotations

from tal_repro.engines.upstream.shims import needed
from tal_repro.kit import patches as patches_of
from tal_repro.models.registry import MODELS, OF_AUTHORS
from tal_repro.paper.changes import PATCHES, SEVERITIES, changes, count_text


def test_every_patch_and_shim_is_there_once_with_a_rating() -> None:
    listed = [(change.kind, change.name) for change in changes()]
    files = [path for model in MODELS for path in patches_of(model).glob("*.patch")]
    patches = {path.stem for path in files}
    ours = [path for path in files if MODELS[path.parent.name].shipped]
    assert {path.stem for path in ours} == set(PATCHES)
    for path in ours:
        assert path.read_text(encoding="utf-8").partition("\n")[0] == f"{PATCHES[path.stem][1]}."
    assert sorted(name for kind, name in listed if kind == "patch") == sorted(patches)
    assert [name for kind, name in sorted(listed) if kind == "shim"] == sorted(
        {shim.name for model in OF_AUTHORS for shim in needed(model)}
    )
    assert {change.severity for change in changes()} <= set(SEVERITIES)


def test_the_most_severe_comes_first_and_all_are_counted() -> None:
    found = changes()
    ranks = [list(SEVERITIES).index(change.severity) for change in found]
    assert ranks == sorted(ranks) and ranks[0] == 0
    numbers = [int(word) for word in count_text(found).replace(":", "").split() if word.isdigit()]
    assert numbers[0] == len(found) == sum(numbers[1:])

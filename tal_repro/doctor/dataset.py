"""The data set: present, in which layout, verified, and the one that the study declares."""

from __future__ import annotations

from collections.abc import Iterator

from tal_repro.data.layouts import Layout, find_layouts
from tal_repro.doctor.finding import Finding, fail, ok, warn
from tal_repro.doctor.needs import Needs
from tal_repro.doctor.probes import Probes
from tal_repro.errors import InputError

FETCH = "tal-repro data fetch thumos14 --layout {}"


def findings(needs: Needs, probes: Probes) -> Iterator[Finding]:
    """Check what is there without reading the features: a matter of `data verify`."""
    name = "data set"
    if not needs.needs_data:
        yield ok(name, "no run that is left to do needs one")
        return
    folder = needs.data
    there = find_layouts(folder) if folder is not None and folder.is_dir() else []
    if needs.makes_data:
        yield ok(name, f"synthetic, {'in' if there else 'will be made in'} {folder}")
        return
    if not there:
        where = f"{folder} holds none" if folder else "no data folder is given"
        missing_is = warn if needs.before_fetch else fail
        yield missing_is(name, f"{where} and study {needs.study} needs one", _remedy(needs))
        return
    layouts = {layout.name for layout in there}
    if missing := [layout for layout in needs.layouts if layout not in layouts]:
        what = f"{folder} lacks {' and '.join(missing)}'s layout, which the authors' code reads"
        missing_is = warn if needs.before_fetch else fail
        yield missing_is(name, what, "; ".join(FETCH.format(layout) for layout in missing))
    yield from (_layout(needs, layout) for layout in there)


def _remedy(needs: Needs) -> str:
    if needs.synthetic:
        return "make one: tal-repro data synth --out DIR, and name it: --data DIR"
    fetch = "; ".join(FETCH.format(layout) for layout in needs.layouts or ("actionformer",))
    return f"{fetch}; or name its folder: --data DIR"


def _layout(needs: Needs, layout: Layout) -> Finding:
    """Judge one layout by its annotations, the number of its feature files and its recorded fingerprint."""
    from tal_repro.data import load_dataset
    from tal_repro.data.fingerprint import recorded_fingerprint

    name = f"data {layout.name}"
    verify = f"tal-repro data verify {layout.root}"
    try:
        dataset = load_dataset(layout.root, layout.name)
        recorded = recorded_fingerprint(layout.root, layout.name)
    except InputError as error:
        return fail(name, str(error.what), error.remedy or verify)
    if dataset.synthetic != needs.synthetic:
        kinds = {True: "synthetic", False: "not synthetic"}
        what = f"{layout.folder} is {kinds[dataset.synthetic]}, the study declares it {kinds[needs.synthetic]}"
        return fail(name, what, "give the study's own data set: --data DIR; or --set synthetic=true")
    if needs.annotation_hash and dataset.annotation_hash != needs.annotation_hash:
        return fail(name, f"annotations {dataset.annotation_hash[:12]}, not the study's", verify)
    lacking = sum(not video.has_features for video in dataset.videos.values() if len(video.labels))
    seen = f"{len(dataset.train)} training and {len(dataset.test)} test videos in {layout.folder}"
    if lacking:
        return fail(name, f"{seen}; {lacking} have no feature file", verify)
    if recorded is None:
        return warn(name, f"{seen}; never verified", f"{verify} (minutes; reads every feature, keeps a fingerprint)")
    kind = "synthetic, " if dataset.synthetic else ""
    return ok(name, f"{kind}{seen}; fingerprint {recorded[:12]}", fingerprint=recorded)

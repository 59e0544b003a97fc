"""The run specification: what changes a run's id, what does not, and what is refused."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tal_repro.errors import InputError
from tal_repro.spec import RunSpec, SubsetSpec, canonical_json


def test_golden_id_is_stable(spec):
    # Finished runs are found by this id: a change here orphans everybody's results.
    assert spec.run_id == "2767e32e3d7c75e8"


def test_round_trip_keeps_the_id(spec):
    assert RunSpec.from_json(json.loads(json.dumps(spec.to_json()))).run_id == spec.run_id


def test_every_field_defines_the_run(spec):
    changes = {
        "experiment": "baseline", "model": "tridet", "engine": "upstream", "engine_version": "2", "recipe": {},
        "data": None, "subset": None, "seed": 2, "feature_lengths": (5,), "precision": "bf16", "device_kind": "cuda",
        "threads": 2, "options": {"a": 1},
    }  # fmt: skip
    assert set(changes) == {field.name for field in dataclasses.fields(RunSpec)} - {"data_digest"}
    ids = {dataclasses.replace(spec, **{key: value}).run_id for key, value in changes.items()}
    assert len(ids | {spec.run_id}) == len(changes) + 1
    digested = dataclasses.replace(spec, data_digest="d" * 64)
    assert (digested.run_id, digested.name) == (spec.run_id, f"{spec.run_id}-dddddddd"), "planning needs no data"


def test_whole_floats_are_the_same_percentage(spec):
    as_float = dataclasses.replace(spec, subset=dataclasses.replace(spec.subset, percent=10.0))
    assert as_float.run_id == spec.run_id


@pytest.mark.parametrize("percent", [0, -1, 100.5, float("nan"), True, "10"])
def test_percentage_outside_0_to_100_is_refused(spec, percent):
    bad = dataclasses.replace(spec, subset=SubsetSpec(percent=percent))
    with pytest.raises(InputError, match="percentage"):
        bad.check()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"engine": "magic"}, "native, upstream"),
        ({"surprise": 1}, "unknown key 'surprise'"),
        ({"subset": {"unit": "frame"}}, "video, slice"),
        ({"subset": [1]}, "expected an object"),
        ({"threads": 0}, "whole number from 1"),
        ({"engine": "upstream", "precision": "bf16"}, "fp32 only"),
        ({"feature_lengths": "12"}, "feature_lengths = '12'"),
        ({"feature_lengths": [2.7]}, "use a list of whole numbers"),
    ],
)
def test_broken_specification_is_refused_by_name(spec, change, message):
    with pytest.raises(InputError, match=message):
        RunSpec.from_json({**spec.to_json(), **change}, "x.json")


def test_missing_field_is_refused(spec):
    raw = spec.to_json()
    del raw["model"]
    with pytest.raises(InputError, match="not a run specification"):
        RunSpec.from_json(raw)


@given(st.dictionaries(st.text(), st.one_of(st.none(), st.booleans(), st.integers(), st.text()), max_size=5))
def test_canonical_json_ignores_order(value):
    assert canonical_json(value) == canonical_json(dict(reversed(list(value.items()))))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}])
def test_what_json_cannot_hold_is_refused(value):
    with pytest.raises((InputError, ValueError)):
        canonical_json({"recipe": value})

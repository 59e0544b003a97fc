"""A study file becomes the grid it describes; a wrong one is told by file and key, and nothing starts."""

from __future__ import annotations

import dataclasses
from collections import Counter
from pathlib import Path

import pytest

from tal_repro.commands.study_options import open_study
from tal_repro.engines.upstream.settings import resolved
from tal_repro.errors import InputError
from tal_repro.models.registry import MODELS, OF_STUDY
from tal_repro.run.selection import select
from tal_repro.spec import SCOPES, canonical_json
from tal_repro.study import find_study, load_study

HEAD = 'schema = "tal-repro/study/1"\nname = "mine"\n[data]\nname = "mine"\n'
SWEEP = '[[experiments]]\nexperiment = "data_sweep"\nmodels = ["tadtr"]\npercentages = [10, 50]\nrepeats = 2\n'


@pytest.fixture
def write(tmp_path: Path):  # type: ignore[no-untyped-def]
    def call(text: str) -> str:
        path = tmp_path / "mine.toml"
        path.write_text(text)
        return str(path)

    return call


def test_the_papers_grid_is_the_papers() -> None:
    study = load_study("paper")
    core = Counter((run.experiment, run.model) for run in study.runs("core"))
    assert core["data_sweep", "tadtr"] == 24 * 5
    assert all(core["baseline", model] == 5 for model in ("tadtr", "tridet", "actionformer", "temporalmaxer"))
    assert all(core["macs", model] == core["inference", model] // 3 == 1 for model in ("tadtr", "actionformer"))
    full = Counter((run.experiment, run.model) for run in study.runs("full"))
    assert all(full["data_sweep", model] == 30 for model in ("tridet", "actionformer", "temporalmaxer"))
    every = [run for run in study.runs("every-percent") if run.experiment == "data_sweep" and run.model in OF_STUDY]
    assert Counter(run.model for run in every) == dict.fromkeys(
        ("tadtr", "tridet", "actionformer", "temporalmaxer"), 500
    )
    assert {run.subset.unit for run in every if run.subset and run.model == "tadtr"} == {"slice"}
    assert {run.subset.unit for run in every if run.subset and run.model != "tadtr"} == {"video"}


def test_the_later_models_run_when_they_are_asked_for() -> None:
    plain, every = load_study("paper"), load_study("paper", {"models": "all"})
    added = {run.model for run in every.runs("core")} - {run.model for run in plain.runs("core")}
    assert added == {"dyfadet", "tetad"}
    assert {run.run_id for run in plain.runs("full")} < {run.run_id for run in every.runs("full")}
    with pytest.raises(InputError, match="models = 'many'"):
        load_study("paper", {"models": "many"})


def test_a_later_model_that_only_names_is_asked_for() -> None:
    """`make baseline-dyfadet` is this filter."""
    study, _ = open_study("paper", (), "experiment=baseline,model=tridet|dyfadet")
    assert "models=all" in study.settings
    assert {run.model for run in select(study.runs("core"), "model=dyfadet")} == {"dyfadet"}
    for only in ("", "model=tridet", "model!=dyfadet"):
        assert open_study("paper", (), only)[0].settings == ()
    assert open_study("paper", ("models=study",), "model=dyfadet")[0].settings == ("models=study",)


def test_smoke_gives_each_added_model_its_two_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that no study names has them too; a recipe of its own comes first."""
    entry = dataclasses.replace(MODELS["tetad"], name="stepnet", by_default=True)
    monkeypatch.setitem(MODELS, "stepnet", entry)
    epochs = {run.model: run.recipe["epochs"] for run in load_study("smoke", {"models": "all"}).runs("core")}
    assert epochs["stepnet"] == epochs["tetad"] == epochs["tadtr"] == 2 and epochs["dyfadet"] == 3


def test_a_wrong_recipe_for_all_added_models_is_named(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(
        'schema = "tal-repro/study/1"\nname = "m"\n[data]\nname = "d"\nsynthetic = true\n'
        '[[experiments]]\nexperiment = "baseline"\nmodels = ["tridet", "tetad"]\n[recipes.added]\nepoch = 2\n'
    )
    with pytest.raises(InputError, match="recipe of tetad"):
        load_study(str(tmp_path / "mine.toml"))


@pytest.mark.parametrize("name", ["paper", "demo", "smoke"])
def test_every_run_of_a_shipped_study_has_its_own_id(name: str) -> None:
    runs = load_study(name).runs(SCOPES[-1])
    assert len({run.run_id for run in runs}) == len(runs)


def test_bf16_with_the_authors_code_is_refused() -> None:
    with pytest.raises(InputError, match="fp32 only"):
        load_study("smoke", {"precision": "bf16"})
    study = load_study("smoke", {"precision": "bf16", "engine": "native"})
    assert {run.precision for run in study.runs("core")} == {"bf16"}


def test_the_demo_is_small_and_synthetic() -> None:
    study = load_study("demo")
    runs = study.runs("core")
    assert study.data.synthetic and len(runs) <= 66
    assert {run.experiment for run in runs} == {"baseline", "data_sweep", "macs", "inference", "trace"}
    percentages = {run.subset.percent for run in runs if run.experiment == "data_sweep" and run.subset}
    assert len(percentages) >= 6
    full_size = next(run for run in runs if run.experiment == "macs" and run.model == "actionformer")
    assert full_size.recipe["embed_dim"] == 512, "recipes of the demo's trainings do not shrink what is measured"


def test_repeats_draw_other_subsets_and_train_with_other_seeds(write) -> None:  # type: ignore[no-untyped-def]
    runs = load_study(write(HEAD + SWEEP)).runs()
    assert [(run.subset.percent, run.subset.seed, run.seed) for run in runs if run.subset] == [
        (10, 0, 0),
        (10, 1, 1),
        (50, 0, 0),
        (50, 1, 1),
    ]


def test_at_all_of_the_data_there_is_one_subset(write) -> None:  # type: ignore[no-untyped-def]
    runs = load_study(write(HEAD + SWEEP.replace("[10, 50]", "[100]"))).runs()
    assert {run.subset for run in runs if run.subset} == {runs[0].subset}
    assert len({run.run_id for run in runs}) == 2


def test_settings_replace_the_files(write) -> None:  # type: ignore[no-untyped-def]
    study = load_study(write(HEAD + SWEEP), {"engine": "upstream", "device": "cuda", "threads": "4", "repeats": "1"})
    runs = study.runs()
    assert {(run.engine, run.device_kind, run.threads) for run in runs} == {("upstream", "cuda", 4)}
    assert len(runs) == 2
    assert load_study("smoke", {"synthetic": "true"}).data.synthetic


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("schema = = 1", "not TOML.*line 1"),
        ("name = 'x'", "key 'schema' is missing"),
        (HEAD.replace("study/1", "study/9") + SWEEP, "use one of: tal-repro/study/1"),
        (HEAD, "key 'experiments' is missing"),
        (HEAD + SWEEP.replace("repeats", "repaets"), r"experiments\[0\].*unknown key 'repaets'.*known keys: .*repeats"),
        (HEAD + SWEEP.replace("[10, 50]", "[0]"), r"experiments\[0\].percentages: percentage 0"),
        (HEAD + SWEEP.replace("[10, 50]", "[101]"), "percentage 101"),
        (HEAD + SWEEP.replace("[10, 50]", '["10"]'), "percentage '10'"),
        (HEAD + SWEEP.replace("[10, 50]", "[]"), "use a list with at least one value"),
        (HEAD + SWEEP.replace("tadtr", "tadpole"), "unknown model 'tadpole'.*tadtr, actionformer"),
        (HEAD + SWEEP.replace("data_sweep", "datasweep"), "experiment = 'datasweep'.*use one of: baseline"),
        (HEAD + SWEEP.replace("repeats = 2", "repeats = 0"), "use a whole number of 1 or more"),
        (HEAD + SWEEP + 'unit = "frame"\n', "use one of: video, slice"),
        (HEAD + SWEEP + 'scope = "all"\n', "use one of: core, full, every-percent"),
        (HEAD + SWEEP + "recipe = { epoch = 3 }\n", "recipe of tadtr: unknown hyper-parameter 'epoch'"),
        (HEAD + SWEEP + "feature_lengths = [100]\n", "unknown key 'feature_lengths'"),
        (HEAD + SWEEP + "surplus = true\n[cost]\nprice = 1\n", "unknown key"),
        (HEAD + SWEEP + "[recipes.tadpole]\nepochs = 3\n", "unknown model 'tadpole'"),
        (HEAD + SWEEP + "[cost]\nprice_usd_per_hour = -1\n", "use a number of 0 or more"),
        (HEAD + SWEEP + "[cost.run_seconds]\nsleeping = 1\n", "use: training, macs, inference"),
    ],
)
def test_a_wrong_study_is_told_by_key(write, text: str, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=f"(?s){message}"):
        load_study(write(text))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"engines": "native"}, "unknown setting 'engines'"),
        ({"engine": "theirs"}, "use any of: native, upstream"),
        ({"threads": "none"}, "whole number"),
        ({"device": "tpu"}, "use one of: cpu, cuda"),
        ({"synthetic": "maybe"}, "use true or false"),
    ],
)
def test_a_wrong_setting_is_told(settings: dict[str, str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_study("paper", settings)


def test_an_unknown_study_names_the_shipped_ones() -> None:
    with pytest.raises(InputError, match=r"use one of: .*demo.*paper"):
        find_study("papers")
    with pytest.raises(InputError, match="cannot be read"):
        load_study("/nowhere/at/all.toml")


def test_a_study_that_is_no_text_or_far_too_long_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "binary.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not UTF-8"):
        load_study(str(path))
    path.write_bytes(b"#" * (2 << 20))
    with pytest.raises(InputError, match="not a study file"):
        load_study(str(path))
    endless = tmp_path / "endless.toml"
    endless.symlink_to("/dev/zero")
    with pytest.raises(InputError, match="not a file"):
        load_study(str(endless))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"x = {'[' * 5000}{']' * 5000}", "not TOML: maximum recursion"),
        (f"x = {'9' * 5000}", "not TOML: Exceeds the limit"),
        ("x = ", "not TOML: Invalid value"),
        (r'name = "a\u001b[2J"', r"name = [^\n]*\n  remedy: use one line without control characters"),
        ('name = "a\\nb"', r"name = [^\n]*\n  remedy: use one line without control characters"),
    ],
    ids=["nested", "digits", "broken", "escape", "lines"],
)
def test_hostile_lines_of_a_study_are_told(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "study.toml"
    head = HEAD.replace('name = "mine"\n', "", 1) if line.startswith("name") else HEAD
    path.write_text(f"{line}\n{head}{SWEEP}")
    with pytest.raises(InputError, match=message) as told:
        load_study(str(path))
    assert "\x1b" not in str(told.value)


SYNTHETIC = HEAD + "synthesis = { videos = 8, test = 4, feature_dim = 16, classes = 3, seconds = [20, 30] }\n"
MAXER = SWEEP.replace("tadtr", "temporalmaxer")


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ('epochs = "6"', r"mine.toml: recipe of tadtr: epochs = '6' is not a int.*default is epochs = 15"),
        ("epochs = 0", "epochs = 0.*1 or more"),
        ("epochs = -1", "epochs = -1.*1 or more"),
        ("epochs = true", "epochs = True is not a int"),
        ("batch_size = 0", "batch_size = 0.*1 or more"),
        ("learning_rate = nan", "learning_rate = nan.*finite"),
        ("learning_rate = 1979-05-27", "learning_rate = .* is not a float"),
        ("dropout = 1.5", "dropout = 1.5.*from 0 to below 1"),
        ('budget = "hours"', "budget = 'hours'.*use one of: epochs, steps"),
        ("hidden_dim = 48\nattention_heads = 5", "48 is not a multiple of 5 attention_heads"),
    ],
)
def test_a_wrong_hyper_parameter_is_told_by_name(write, recipe: str, message: str) -> None:  # type: ignore[no-untyped-def]
    for text in (SWEEP, MAXER):  # told of a model that no experiment names, too: its recipe is there to be used
        if text == MAXER and "heads" in recipe:
            continue
        with pytest.raises(InputError, match=f"(?s){message}"):
            load_study(write(f"{HEAD}{text}[recipes.tadtr]\n{recipe}\n"))


def test_levels_and_their_ranges_must_match(write) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match="recipe of temporalmaxer: 6 regression_ranges for 4 levels"):
        load_study(write(HEAD + MAXER + "[recipes.temporalmaxer]\nlevels = 4\n"))
    with pytest.raises(InputError, match=r"(?s)regression_ranges = .*use a list of \[low, high\]"):
        load_study(write(HEAD + MAXER + "recipe = { levels = 1, regression_ranges = [[8, 0]] }\n"))


def test_a_recipe_fits_the_data_that_the_study_makes(write) -> None:  # type: ignore[no-untyped-def]
    fitting = "[recipes.tadtr]\nfeature_dim = 16\nnum_classes = 3\n"
    macs = '[[experiments]]\nexperiment = "macs"\nfeature_lengths = [100]\n'  # of the model at full size: no data
    assert load_study(write(SYNTHETIC + SWEEP + macs + fitting)).runs()
    with pytest.raises(InputError, match=r"num_classes = 5, but \[data\].synthesis makes classes = 3"):
        load_study(write(SYNTHETIC + SWEEP + fitting.replace("= 3", "= 5")))
    with pytest.raises(InputError, match=r"(?s)feature_dim = 32, but .*set feature_dim = 16"):
        load_study(write(SYNTHETIC + SWEEP + fitting.replace("= 16", "= 32")))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("videos = 8", "videos = 0", "data.synthesis: videos = 0.*use 1 "),
        ("videos = 8", 'videos = "8"', "data.synthesis: videos = '8'.*whole number"),
        ("videos = 8", "videos = 1979-05-27", "data.synthesis: videos = .*whole number"),
        ("test = 4", "test = 4, foo = 2", "data.synthesis: unknown key 'foo'"),
    ],
)
def test_a_wrong_synthesis_is_told_when_the_study_is_read(write, old: str, new: str, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=f"(?s){message}"):
        load_study(write(SYNTHETIC.replace(old, new) + SWEEP))


@pytest.mark.parametrize(
    ("experiment", "options", "message"),
    [
        ("baseline", "evaluate_evry = 2", r"experiments\[0\].options: unknown key 'evaluate_evry'.*evaluate_every"),
        ("baseline", "evaluate_every = -2", "evaluate_every = -2.*1 or more"),
        ("baseline", "evaluate_every = nan", "evaluate_every = nan.*whole number"),
        ("baseline", "interval_s = 0.5", "unknown key 'interval_s'"),
        ("trace", "interval_s = 0.01", "interval_s = 0.01.*0.05 or more, at most 3600"),
        ("inference", "evaluate_every = 2", "unknown key 'evaluate_every'.*effort"),
        ("inference", "effort = { min_samples = 0 }", "options.effort: min_samples = 0"),
        ("inference", "effort = { samples = 3 }", "options.effort: unknown key 'samples'"),
        ("macs", "effort = {}", "unknown key 'effort'"),
    ],
)
def test_an_option_that_nothing_reads_is_refused(write, experiment: str, options: str, message: str) -> None:  # type: ignore[no-untyped-def]
    lengths = "feature_lengths = [100]\n" if experiment in ("macs", "inference") else ""
    table = f'[[experiments]]\nexperiment = "{experiment}"\n{lengths}options = {{ {options} }}\n'
    with pytest.raises(InputError, match=f"(?s){message}"):
        load_study(write(HEAD + table))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (SWEEP.replace("[10, 50]", "{ from = 1, to = 1000000000000 }"), "percentages: percentage 1000000000000"),
        (SWEEP.replace("repeats = 2", "repeats = 30000000"), r"60000000 runs, .*experiments\[0\].*at most 1000000"),
        (SWEEP + 'policy = "published"\n', r"experiments\[0\].policy: the published subsets are of the real THUMOS14"),
        (SWEEP + "engines = []\n", "engines = .*name at least one of: native, upstream"),
        (SWEEP + "[cost.run_seconds]\ntraining = inf\n", "training = inf.*at most 1e"),
    ],
)
def test_a_grid_that_cannot_be_is_refused_before_it_is_made(write, text: str, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=f"(?s){message}"):
        load_study(write(HEAD + "synthetic = true\n" + text))


def test_a_missing_study_file_is_told_with_a_remedy() -> None:
    with pytest.raises(InputError, match=r"(?s)cannot be read.*remedy: check the path, or name a shipped study"):
        load_study("/nowhere/at/all.toml")


@pytest.mark.parametrize("name", ["paper", "smoke"])
def test_the_authors_code_takes_every_recipe_of_a_shipped_study(name: str) -> None:
    runs = [run for run in load_study(name, {"models": "all"}).runs(SCOPES[-1]) if run.engine == "upstream"]
    trainings = {
        (run.model, canonical_json(run.recipe)): run for run in runs if run.experiment not in ("macs", "inference")
    }
    assert {run.model for run in trainings.values()} == set(MODELS)
    for run in trainings.values():
        resolved(run.model, run.recipe)


TRAINING = '[[experiments]]\nexperiment = "baseline"\nmodels = ["tadtr"]\n'
COUNT = '[[experiments]]\nexperiment = "macs"\nmodels = ["tridet"]\nfeature_lengths = [100]\n'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (TRAINING + 'engines = ["upstream"]\noptions = { evaluate_every = 3 }\n', "options.evaluate_every.*decides"),
        (TRAINING + "options = { interval_s = 1.0 }\n", "interval_s"),
        (TRAINING + "options = { effort = { min_samples = 3 } }\n", "effort"),
        (COUNT + "options = { evaluate_every = 3 }\n", "evaluate_every"),
        (COUNT + "recipe = { epochs = 3 }\n", "epochs changes no multiply-accumulate"),
        (COUNT + 'engines = ["upstream"]\nrecipe = { max_seq_len = 576 }\n', "counted and timed at full size"),
        (COUNT.replace("macs", "inference") + "recipe = { embed_dim = 64 }\n", "timed on the models at full size"),
        (TRAINING + "recipe = { loader_workers = 7 }\n", "loader_workers = 7: the native engine has no loader"),
        (TRAINING + "recipe = { slice_length = 4, train_overlap = 0.9 }\n", "train_overlap 0.9 leaves no step"),
        (TRAINING.replace("tadtr", "tridet") + "recipe = { attention_heads = 8 }\n", "attention_heads = 8: TriDet has"),
    ],
)
def test_what_no_engine_of_an_experiment_reads_is_refused(write, text: str, message: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InputError, match=f"(?s){message}") as caught:
        load_study(write(HEAD + text))
    assert caught.value.remedy


def test_an_option_that_is_read_is_part_of_the_run_and_one_that_is_not_stays_out(write) -> None:  # type: ignore[no-untyped-def]
    plain, every = (
        load_study(write(HEAD + TRAINING + 'engines = ["native", "upstream"]\n' + options)).runs()
        for options in ("", "options = { evaluate_every = 3 }\n")
    )
    assert plain[0].run_id != every[0].run_id and every[0].options == {"evaluate_every": 3}
    assert plain[1].run_id == every[1].run_id, "the authors' code would not read it"


def test_a_count_is_the_same_under_every_precision_and_number_of_threads(write) -> None:  # type: ignore[no-untyped-def]
    path = write(HEAD + COUNT)
    ids = {
        load_study(path, settings).runs()[0].run_id
        for settings in ({}, {"precision": "bf16"}, {"threads": "2"}, {"device": "cuda"})
    }
    assert len(ids) == 1

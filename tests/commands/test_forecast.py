"""`tal-repro forecast` as a user meets it: answers, refusals, JSON, and errors that name line, field and remedy."""

from __future__ import annotations

import json
import re
from pathlib import Path

import jsonschema
import pytest
from click.testing import CliRunner, Result

from tal_repro.cli import main

SCHEMA = json.loads((Path(__file__).parents[2] / "tal_repro" / "schemas" / "forecast.json").read_text())
GOOD = "train_percent,mAP\n10,3.54\n20,24.69\n40,46.86\n60,59.32\n80,62.67\n100,66.25\n"


def run(text: str | bytes, *options: str) -> Result:
    return CliRunner().invoke(main, ["forecast", "-", *options], input=text, catch_exceptions=False)


def as_json(text: str, *options: str) -> dict:
    result = run(text, "--json", *options)
    assert result.exit_code == 0, result.stderr
    answer = json.loads(result.stdout)
    jsonschema.validate(answer, SCHEMA)
    return answer


def test_the_answer_comes_first_and_coverage_last():
    result = run(GOOD)
    assert result.exit_code == 0
    for expected in ("predicted mAP", "80% interval", "data needed", "run next", "how often", "family"):
        assert expected.lower() in result.stdout.lower()
    assert (
        result.stdout.index("predicted mAP")
        < result.stdout.index("calibrated on")
        < result.stdout.index("How often such")
    )
    assert result.stdout.isascii() and "\x1b" not in result.stdout


def test_json_alone_on_standard_output_follows_the_schema():
    answer = as_json(GOOD)
    low, high = answer["interval"]
    assert low <= answer["prediction"] <= high and answer["last_value"] == 66.25 and answer["answerable"]
    assert answer["horizon"]["prediction"] > answer["prediction"]
    assert answer["target"] == 100 and answer["gain"]["at_target"] is None  # that much has been measured
    further = as_json(GOOD, "--target", "105")["gain"]
    assert further["at_horizon"] > 0.5 > further["at_target"]


def test_options_move_the_question():
    answer = as_json(GOOD, "--target", "150", "--horizon", "200", "--value", "68", "--level", "0.5")
    assert answer["target"] == 150 and answer["horizon"]["train_percent"] == 200
    assert answer["data_needed"]["value"] == 68 and answer["level"] == 0.5
    wide = as_json(GOOD, "--target", "150", "--level", "0.9")["interval"]
    assert wide[0] < answer["interval"][0] and wide[1] > answer["interval"][1]


def test_the_terminal_and_the_json_say_the_same():
    answer, text = as_json(GOOD), run(GOOD).stdout
    assert f"{answer['prediction']:.1f}" in text
    assert f"{answer['interval'][0]:.1f} to {answer['interval'][1]:.1f}" in text


def test_few_points_and_far_questions_are_refused_plainly():
    few = as_json("train_percent,mAP\n10,3\n20,25\n40,47\n")
    assert not few["answerable"] and few["prediction"] is None and "3 percentages" in few["reason"]
    far = as_json(GOOD, "--horizon", "5000")
    assert far["answerable"] and not far["horizon"]["answerable"] and "no back-test" in far["horizon"]["reason"]
    assert "cannot be answered" in run("train_percent,mAP\n10,3\n20,25\n40,47\n").stdout


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("train_percent,mAP\n10,60\n20,50\n40,40\n60,30\n80,20\n", "falls with more data"),
        ("train_percent,mAP\n1,1\n2,40\n3,2\n4,70\n", "no back-test tells how far off"),
        (
            "train_percent,mAP\n20,64\n30,63\n40,55\n50,41\n60,52\n80,60\n",
            "lower values are better, say --direction down",
        ),
    ],
)
def test_a_refusal_gives_no_numbers_beside_it(text, words):
    answer = as_json(text, "--target", "100", "--horizon", "120")
    assert not answer["answerable"] and not answer["horizon"]["answerable"]
    assert answer["families"] == [] and answer["family_spread"] is None and answer["next_percentage"] is None
    told = run(text, "--target", "100", "--horizon", "120").stdout
    assert words in " ".join(told.split())
    assert "run next" not in told and "family" not in told
    assert answer["data_needed"]["searched_up_to"] is None and "data needed" not in told and "predicted   :" not in told


def test_counts_keep_their_digits_and_are_not_said_to_be_all_there_is():
    text = "count,mAP\n123456,40\n246912,50\n493824,58\n1234567,62\n"
    shown = run(text, "--x-unit", "count", "--target", "2469134").stdout
    assert "1234567 examples" in shown and "2469134 examples" in shown and "e+0" not in shown
    assert "1234567 examples count as all the data" in " ".join(shown.split())


NEAR = "train_percent,mAP\n5,40\n6,44\n7,46\n8,47\n9,48\n"


def test_where_one_of_two_amounts_is_refused_nothing_is_said_of_it():
    answer = as_json(NEAR, "--target", "12", "--horizon", "100")
    assert answer["answerable"] and not answer["horizon"]["answerable"]
    assert {row["prediction_at_horizon"] for row in answer["families"]} == {None}
    shown = run(NEAR, "--target", "12", "--horizon", "100").stdout
    assert "at 100 %" not in shown.replace("why: 100 %", "")
    turned = as_json(NEAR, "--target", "100", "--horizon", "12")
    assert {row["prediction"] for row in turned["families"]} == {None} and turned["family_spread"] is None
    assert "at 12 %" in turned["next_percentage"]["reason"] and "at 100 %" not in turned["next_percentage"]["reason"]
    assert any(row["prediction_at_horizon"] is not None for row in turned["families"])


def test_what_lies_below_the_smallest_point_is_refused():
    answer = as_json(NEAR, "--target", "4", "--horizon", "12")
    assert not answer["answerable"] and answer["prediction"] is None and "smallest amount" in answer["reason"]
    assert answer["horizon"]["answerable"] and as_json(NEAR, "--target", "5")["answerable"]


def test_a_target_below_the_last_point_has_no_value_without_more_data():
    answer = as_json(GOOD, "--target", "50")
    assert answer["answerable"] and answer["gain"]["at_target"] is None
    lines = run(GOOD, "--target", "50").stdout.splitlines()
    (line,) = (line for line in lines if line.startswith("  50 % "))
    assert line.endswith(" -") and "66.2" not in line and "  -: below the last point, 100 %" in lines


def test_runs_are_counted_and_saturation_tested():
    rows = "".join(
        f"{p},{m + d},{r}\n"
        for p, m in ((10, 20), (30, 40), (60, 50), (80, 50), (100, 50))
        for r, d in enumerate((-0.1, 0, 0.1))
    )
    answer = as_json("train_percent,mAP,run\n" + rows)
    assert answer["points"]["runs"] == 15 and answer["points"]["percentages"] == 5
    assert answer["saturation"]["tested"] and answer["saturation"]["percent"] == 60
    assert as_json("train_percent,mAP,run\n" + rows, "--weights", "se2")["points"]["weights"] == "se2"


@pytest.mark.parametrize(
    "text",
    [
        GOOD.replace("\n", "\r\n"),
        "\ufeff" + GOOD,
        GOOD.replace(",", ";"),
        GOOD.replace(",", "\t"),
        "\n".join(["train_percent,mAP", *reversed(GOOD.splitlines()[1:])]),
        GOOD + "\n\n",
        GOOD.replace("train_percent,mAP", " Train_Percent , map "),
        "mAP,train_percent\n" + "".join(f"{r.split(',')[1]},{r.split(',')[0]}\n" for r in GOOD.splitlines()[1:]),
    ],
    ids=["crlf", "bom", "semicolons", "tabs", "unsorted", "trailing blank lines", "header case", "column order"],
)
def test_harmless_spellings_give_the_same_answer(text):
    assert as_json(text)["prediction"] == as_json(GOOD)["prediction"]


BAD = {
    "empty": ("", "holds no points"),
    "header only": ("train_percent,mAP\n", "no points"),
    "no header": ("10,3\n20,4\n", "-:1|standard input:1"),
    "missing column": ("train_percent,accuracy\n10,3\n", "no column 'mAP'"),
    "one point": ("train_percent,mAP\n10,3\n", "one point"),
    "nan": (GOOD.replace("46.86", "nan"), "standard input:4.*'mAP' is nan"),
    "infinite": (GOOD.replace("46.86", "inf"), "standard input:4"),
    "not a number": (GOOD.replace("46.86", "abc"), "standard input:4.*'mAP' is not a number: 'abc'"),
    "unit": (GOOD.replace("46.86", "46.86%"), "without a unit"),
    "empty field": (GOOD.replace("46.86", ""), "standard input:4.*'mAP' is empty"),
    "missing field": (GOOD.replace("40,46.86", "40"), "1 fields where the header has 2"),
    "empty row": (GOOD.replace("40,46.86", ""), "standard input:4.*the row is empty"),
    "locale comma": (GOOD.replace("46.86", "46,86"), "decimals with a point"),
    "locale comma between semicolons": (GOOD.replace(",", ";").replace("46.86", "46,86"), "decimals with a point"),
    "above 100": (GOOD.replace("46.86", "146.86"), "outside \\[0, 100\\]"),
    "zero percent": (GOOD.replace("10,3", "0,3"), "outside \\(0, 100\\]"),
    "negative": (GOOD.replace("46.86", "-1"), "outside"),
    "duplicate": (GOOD + "40,46.86\n", "standard input:8: repeats line 4"),
    "duplicate run": ("train_percent,mAP,run\n10,3,1\n10,4,1\n", "run '1' at 10 % already stands on line 2"),
    "fractions": (
        "train_percent,mAP\n10,0.1\n20,0.2\n40,0.3\n80,0.4\n",
        "say --metric-unit fraction, or multiply mAP by 100",
    ),
    "share as fraction": (
        "train_percent,mAP\n0.1,10\n0.2,20\n0.4,30\n1,40\n",
        "say --x-unit fraction, or multiply train_percent",
    ),
    "counts": ("train_percent,mAP\n100,10\n200,20\n400,30\n", "say --x-unit count"),
    "counts by name": ("count,mAP\n100,10\n200,20\n400,30\n", "say --x-unit count"),
    "errors by name": ("train_percent,error\n10,60\n20,50\n40,40\n", "say --direction down"),
    "two models": ("model,train_percent,mAP\na,10,3\nb,10,4\n", "second curve"),
    "twice the column": ("mAP,train_percent,mAP\n1,2,3\n", "appears twice"),
    "not text": (b"train_percent,mAP\n\xff\xfe,3\n", "not UTF-8"),
    "nul": ("train_percent,mAP\n1\x000,3\n", "NUL"),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_bad_input_is_named_with_a_remedy_and_exit_code_2(name, options):
    import re

    text, message = BAD[name]
    result = run(text, *options)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert re.search(message, result.stderr), result.stderr
    assert "remedy" in result.stderr and "Traceback" not in result.stderr


def test_files_that_are_none(tmp_path):
    for path in (tmp_path, tmp_path / "absent \n'ü'.csv"):
        result = CliRunner().invoke(main, ["forecast", str(path)])
        assert result.exit_code == 2 and "remedy" in result.stderr and result.stdout == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", [("--target", "0"), ("--target", "nan"), ("--level", "1"), ("--value", "101")])
def test_options_out_of_range_are_named(option):
    result = run(GOOD, *option)
    assert result.exit_code == 2 and option[0] in result.stderr


def test_a_hundred_thousand_points(tmp_path):
    import numpy as np

    random = np.random.default_rng(0)
    x = random.uniform(1, 100, 100_000)
    y = 60 * (1 - np.exp(-x / 25)) + random.normal(0, 0.5, x.size) + 5
    path = tmp_path / "many.csv"
    path.write_text(
        "train_percent,mAP\n" + "".join(f"{a!r},{b!r}\n" for a, b in zip(x.tolist(), y.tolist(), strict=True))
    )
    result = CliRunner().invoke(main, ["forecast", str(path), "--json"], catch_exceptions=False)
    assert result.exit_code == 0
    answer = json.loads(result.stdout)
    assert answer["points"]["merged"] and answer["prediction"] == pytest.approx(63.9, abs=0.5)


UNITS = {
    "an error rate": (
        "train_percent,error",
        lambda x, y: (x, 100 - y),
        ("--direction", "down"),
        lambda low, high: [100 - high, 100 - low],
    ),
    "fractions": (
        "train_fraction,mAP",
        lambda x, y: (x / 100, y / 100),
        ("--x-unit", "fraction", "--metric-unit", "fraction", "--target", "1.5"),
        lambda low, high: [low / 100, high / 100],
    ),
    "counts": ("count,mAP", lambda x, y: (20 * x, y), ("--x-unit", "count", "--target", "3000"), lambda *ends: [*ends]),
}


@pytest.mark.parametrize("name", UNITS)
def test_units_that_are_said_give_the_same_answer_in_those_units(name):
    header, turned, options, expected = UNITS[name]
    rows = [turned(*map(float, line.split(","))) for line in GOOD.splitlines()[1:]]
    text = header + "\n" + "".join(f"{x!r},{y!r}\n" for x, y in rows)
    target = () if "--target" in options else ("--target", "150")
    answer, plain = as_json(text, *options, *target), as_json(GOOD, "--target", "150")
    assert answer["interval"] == pytest.approx(expected(*plain["interval"]), rel=1e-6)
    assert answer["gain"]["at_target"] == pytest.approx(plain["gain"]["at_target"], abs=1e-6)
    low, high = answer["interval"]
    assert low <= answer["prediction"] <= high
    assert run(text, *options).exit_code == 0


def test_help_and_the_error_of_an_empty_file_show_the_format():
    assert "10,18.1,1" in CliRunner().invoke(main, ["forecast", "--help"]).stdout
    assert "10,18.1,1" in run("").stderr


def test_help_names_at_most_eight_options():
    text = CliRunner().invoke(main, ["forecast", "--help"]).stdout
    assert text.count("\n  --") <= 8 and "standard input" in text


def test_a_plot_is_vector_the_same_each_time_and_draws_the_interval(tmp_path):
    paths = [tmp_path / "deep" / name for name in ("a.svg", "b.svg")]
    for path in paths:
        result = run(GOOD, "--plot", str(path))
        assert result.exit_code == 0 and result.stdout.splitlines()[-1] == f"drawn into {path}"
    first, second = (path.read_text(encoding="utf-8") for path in paths)
    assert first == second and "<image" not in first
    assert (
        "fill: #d9d9d9" in first and "stroke-dasharray" in first
    )  # the band, and the prediction apart from the points
    assert set(re.findall(r"#[0-9a-f]{6}", first)) <= {"#d9d9d9", "#7f7f7f", "#000000", "#ffffff"}  # greys alone


def test_a_plot_of_too_few_points_draws_no_band(tmp_path):
    path = tmp_path / "few.svg"
    assert run("train_percent,mAP\n10,3\n20,25\n40,47\n", "--plot", str(path)).exit_code == 0
    assert "#d9d9d9" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["plot.jpg", "plot"])
def test_a_plot_of_another_kind_is_refused_and_nothing_is_written(tmp_path, name):
    result = run(GOOD, "--plot", str(tmp_path / name))
    assert result.exit_code == 2 and "name it .svg, .png or .pdf" in result.stderr and not list(tmp_path.iterdir())


def test_without_points_the_format_is_shown():
    for arguments in (["forecast"], ["forecast", "no-such-file.csv"]):
        result = CliRunner().invoke(main, arguments)
        assert result.exit_code == 2 and "train_percent,mAP,run\n10,18.1,1" in result.stderr
    assert run(GOOD).stderr.splitlines()[0].startswith("next: the same with --plot")

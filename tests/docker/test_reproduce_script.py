"""docker/reproduce.sh (`make reproduce-all`) with a stand-in engine: which steps, in which order, and what stops it."""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tal_repro import __version__

ROOT = Path(__file__).resolve().parents[2]
# Every call is a line: the image, what is special about the container, the words of the command.
ENGINE = f"""#!/bin/bash
all=" $* "; special=""
case "$all" in *" --gpus all "*) special=" gpu" ;; esac
case "$all" in *" --network none "*) ;; *" run "*) special="$special network" ;; esac
words=${{all##*:{__version__}-cpu }}
case "$1" in
  info) ;;
  image) case "$4" in *version*) echo {__version__} ;; *) echo sha256:abc ;; esac ;;
  build) [[ $all =~ target\\ ([a-z]+) ]]; echo "build ${{BASH_REMATCH[1]}}" >> "$LOG" ;;
  run)
    case "$all" in
      *" nvidia-smi -L "*) echo "gpu check" >> "$LOG"; [ "$FAILS" != gpu ] || exit 125; echo "GPU 0: A10"; exit 0 ;;
      *" --entrypoint true "*) exit 0 ;; *" --json "*) cat "$PLAN"; exit 0 ;; esac
    [[ $all =~ tal-repro-([a-z]+): ]]; echo "${{BASH_REMATCH[1]}}$special: ${{words% }}" >> "$LOG"
    case "$words" in "$FAILS"*) eval "$HOW" ;; esac ;;
esac
"""
DRAWING = [
    "kit: figure all --results results{0}/runs --out results{0}/figures",
    "kit: table 1 --results results{0}/runs --out results{0}/tables/table-1.md",
    "kit: table 2 --results results{0}/runs --out results{0}/tables/table-2.md",
    "kit: verify --results results{0}/runs",
    "kit: report --results results{0}/runs --out results{0}/report",
]
DEMO = [
    "build kit",
    "kit: doctor --study demo --results results/demo/runs --before-fetch",
    "kit: plan --study demo --results results/demo/runs",
    "kit: run --study demo --results results/demo/runs",
    *(line.format("/demo") for line in DRAWING),
]
PAPER = [
    "gpu check",
    "build kit",
    "kit gpu: doctor --study paper --results results/runs --before-fetch --scope full",
    "kit: plan --study paper --results results/runs --scope full",
    "build upstream",
    "upstream gpu: gpu-check --out results/reference --once",
    "kit network: data fetch thumos14 --layout actionformer --out data/thumos14",
    "kit network: data fetch thumos14 --layout tadtr --out data/thumos14",
    "upstream gpu: run --study smoke --results results/smoke --retry-failed --only model=tadtr|tridet",
    "upstream gpu: run --study paper --results results/runs --scope full --retry-failed --set jobs_per_gpu=measured",
    *(line.format("") for line in DRAWING),
]


@pytest.fixture
def reproduce(tmp_path, monkeypatch):
    """Start the script on a stand-in engine; return how it ended and the engine's log."""
    # git has nothing to say, so that a build of `upstream` needs no submodules here
    for name, body in (("docker", ENGINE), ("git", "#!/bin/sh\n"), ("nvidia-smi", "#!/bin/sh\necho GPU 0: A10\n")):
        (tmp_path / name).write_text(body)
        (tmp_path / name).chmod(0o755)

    def start(
        *words: str, study="demo", fails="no such step", how="", wait=True, models=("tridet", "tadtr"), status="todo",
        **settings: str,
    ):  # fmt: skip
        paper = study != "demo"
        engine, device = ("upstream", "cuda") if paper else ("native", "cpu")
        runs = [
            {"experiment": kind, "model": model, "engine": engine, "device_kind": device, "status": told}
            for kind, model, told in [("macs", "temporalmaxer", "todo")]
            + [("baseline", model, status) for model in models if paper]
        ]
        plan = {"synthetic": not paper, "runs": runs}
        (tmp_path / "plan").write_text(json.dumps(plan, indent=1))
        (tmp_path / "log").unlink(missing_ok=True)
        environment = {
            "PATH": f"{tmp_path}:{os.environ['PATH']}", "LOG": str(tmp_path / "log"), "PLAN": str(tmp_path / "plan"),
            "FAILS": fails, "HOW": how, "STUDY": study, "TORCH": "cpu", "YES": "1",
            "RESULTS_DIR": str(tmp_path / "results"), "DATA_DIR": str(tmp_path / "data"), **settings,
        }  # fmt: skip
        command = ["bash", str(ROOT / "docker" / "reproduce.sh"), *words]
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            # a shell cannot trap what it inherits as ignored, and under nohup this process ignores hang-ups
            preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),
        )
        return process if not wait else ended(process)

    def ended(process):
        said = process.communicate(timeout=60)[1]
        log = (tmp_path / "log").read_text().splitlines() if (tmp_path / "log").exists() else []
        return process.returncode, log, said

    start.ended = ended
    start.log = tmp_path / "log"
    return start


def test_demo_needs_neither_gpu_nor_data(reproduce):
    code, log, said = reproduce()
    assert code == 0, said
    assert log == DEMO


def test_the_paper_takes_every_step_and_one_container_has_a_network(reproduce):
    code, log, said = reproduce("--scope", "full", "--retry-failed", study="paper")
    assert code == 0, said
    assert log == PAPER


@pytest.mark.parametrize(
    ("models", "layouts"),
    [(["tadtr"], ["tadtr"]), (["tridet", "actionformer"], ["actionformer"]), (["fifth"], ["actionformer", "tadtr"])],
)
def test_only_what_the_models_read_is_fetched_and_only_they_are_smoked(reproduce, models, layouts):
    """TadTR's archive may be gone: the other models need not wait for it."""
    code, log, said = reproduce(study="paper", models=models)
    assert code == 0, said
    fetched = [line.split()[6] for line in log if "data fetch" in line]
    assert fetched == layouts
    (smoke,) = [line for line in log if "smoke" in line]
    assert smoke.endswith(f"--only model={'|'.join(sorted(models))}")


def test_a_study_that_is_done_needs_no_data(reproduce):
    code, log, said = reproduce(study="paper", status="done")
    assert code == 0, said
    assert not [line for line in log if "data fetch" in line or "smoke" in line]
    assert log[-1] == DRAWING[-1].format("")


def test_derived_features_leave_out_the_smoke_runs_which_declare_the_authors(reproduce, tmp_path):
    study = tmp_path / "derived.toml"
    study.write_text('[data]\nname = "thumos14-derived-from-actionformer"\n')
    code, log, said = reproduce("--only", "model=tadtr", study=str(study), models=["tadtr"])
    assert code == 0, said
    assert not [line for line in log if "smoke" in line]
    runs = "upstream gpu: run --study derived.toml --results results/derived/runs --only model=tadtr"
    assert f"{runs} --set jobs_per_gpu=measured" in log


def test_failed_runs_are_reported_and_drawn_and_remembered(reproduce):
    code, log, said = reproduce(fails="run --study demo", how="exit 1")
    assert code == 1
    assert log == DEMO
    assert "--retry-failed" in said


@pytest.mark.parametrize(
    ("step", "last"),
    [("doctor", PAPER[2]), ("gpu-check", PAPER[5]), ("data fetch", PAPER[6]), ("run --study smoke", PAPER[8])],
)
def test_what_must_work_stops_it(reproduce, step, last):
    code, log, _ = reproduce("--scope", "full", study="paper", fails=step, how="exit 1")
    assert code == 1
    assert log[-1] == last


def test_it_asks_before_it_starts(reproduce):
    code, log, said = reproduce(YES="")
    assert code == 2
    assert "YES=1" in said
    assert log == DEMO[:3]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_reaches_the_step_and_its_exit_code_comes_back(reproduce, number):
    how = "trap 'exit 143' TERM; for i in $(seq 100); do sleep 0.1; done"
    process = reproduce(fails="run --study demo", how=how, wait=False)
    end = time.monotonic() + 30
    while not (reproduce.log.exists() and DEMO[3] in reproduce.log.read_text()):
        assert time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(number)
    code, log, said = reproduce.ended(process)
    assert code == 143
    assert log == DEMO[:4]
    assert "goes on from here" in said


def test_results_of_single_commands_are_refused_with_a_remedy(reproduce):
    code, log, said = reproduce(RESULTS="elsewhere")
    assert (code, log) == (2, [])
    assert "remedy: RESULTS_DIR=" in said


def test_a_gpu_that_containers_cannot_see_stops_it_before_any_image_is_built(reproduce):
    code, log, said = reproduce(study="paper", fails="gpu")
    assert (code, log) == (2, ["gpu check"])
    assert "not under docker" in said


@pytest.mark.parametrize("words", [("--only", "model=tridet"), ("--only=model=tridet",), ("--set", "device=cpu")])
def test_what_may_need_no_gpu_is_not_asked_for_one(reproduce, words):
    assert reproduce(*words, study="paper")[1][0] == "build kit"


@pytest.mark.parametrize(("words", "settings"), [(("--executor", "slurm"), {}), ((), {"GPU_CHECK": "no"})])
def test_no_card_of_this_machine_is_checked_for_slurm_or_where_nobody_wants_it(reproduce, words, settings):
    code, log, said = reproduce(*words, study="paper", **settings)
    assert code == 0, said
    assert not [line for line in log if "gpu-check" in line]


def test_what_is_asked_for_of_jobs_per_gpu_is_left_as_it_is(reproduce):
    log = reproduce("--set", "jobs_per_gpu=2", study="paper")[1]
    (runs,) = [line for line in log if "run --study paper" in line]
    assert runs.endswith("--set jobs_per_gpu=2")

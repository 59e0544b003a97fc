"""Kills and other signals at random moments, start-up included, of `run`, `train` and `released` (native training).

    python benchmarks/kills.py [--kills 100] [--seconds 1200] [--seed 0] [--out FILE.json]

After every signal: the exit status, how long the command took to leave, and whether a process of it is left. At the
end every command is run to its end and its results are compared, byte for byte, with those of undisturbed ones. Exits 1
where anything was not as it should be.
Synthetic data and miniature models: nothing here says anything about a model.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from benchmarks import skeleton  # noqa: E402
from benchmarks.runner import _results as results_of  # noqa: E402
from benchmarks.runner import workplace, write_study  # noqa: E402

MARK = "TAL_REPRO_KILLS"  # in the environment of everything that is started here
PROMISED_SECONDS = 10.0  # in which every command leaves: the documents say so
MOST_SECONDS = PROMISED_SECONDS + 2.0  # what a busy machine takes to tell
WARM_UP_SECONDS = 5.0  # the same for Ctrl-C twice before any run has begun: 3, and what a busy machine takes to tell
FINISHING_SECONDS = 4.0  # a command that was about to end may be done before it is told
# what is sent, and the statuses that may come of it; before Python runs a signal ends a process by itself
SENT = {
    "kill": ([signal.SIGKILL], {-9}),
    "term": ([signal.SIGTERM], {143, -15}),
    "twice": ([signal.SIGINT, signal.SIGINT], {130, -2}),
    "hup": ([signal.SIGHUP], {129, -1}),
}
STUDY = ("run", "--jobs", "2")


class Command:
    """One command line with a folder of results, disturbed and calm."""

    def __init__(self, name: str, words: list[str], longest_s: float, environment: dict[str, str]) -> None:
        self.name, self.words, self.longest_s = name, words, longest_s
        self.environment = {**os.environ, **environment}

    def start(self, results: Path, mark: str) -> subprocess.Popen[bytes]:
        option = "--results" if self.name == "run" else "--out"
        command = [sys.executable, "-m", "tal_repro", *self.words, option, str(results)]
        environment = {**self.environment, MARK: mark}
        with results.with_suffix(".stderr").open("wb") as said:
            return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=said)


def commands(folder: Path) -> list[Command]:
    """Return the three ways in, each with inputs made below `folder`."""
    from tal_repro.data.synthetic import write_synthetic
    from tal_repro.data.synthetic_config import SyntheticConfig
    from tests.commands.test_train import SMALL
    from tests.run.test_released import SIZES

    data = write_synthetic(folder / "data", SyntheticConfig(20, 20, 16, 20, (20.0, 25.0), difficulty=0.1, seed=4))
    study = write_study(folder, [10], 12)
    plan = '{"epochs": 4, "epoch_seconds": 0.1}'
    stand_in = {"TAL_REPRO_STAND_IN": "standin", "TAL_REPRO_STAND_IN_PLAN": plan, "PYTHONPATH": f"{HERE}:{HERE.parent}"}
    epochs = [setting for setting in SMALL if not setting.startswith("epochs")] + ["epochs=8"]
    train = ["train", "--model", "temporalmaxer", "--data", str(data), *_settings(epochs)]
    sizes = _settings([f"{name}={value}" for name, value in SIZES.items()])
    released = ["released", "--model", "temporalmaxer", "--data", str(data), *sizes]
    return [
        Command("run", [*STUDY, "--study", str(study)], 6.0, stand_in),
        Command("train", train, 8.0, {}),
        Command("released", [*released, "--checkpoint", str(_checkpoint(folder))], 5.0, {}),
    ]


def _settings(pairs: list[str]) -> list[str]:
    return [word for pair in pairs for word in ("--set", pair)]


def _checkpoint(folder: Path) -> Path:
    import torch

    from tal_repro.models import build
    from tests.run.test_released import SIZES, upstream_name

    model: Any = build("temporalmaxer", feature_dim=16, num_classes=20, **SIZES)
    path = folder / "checkpoint.pth.tar"
    weights = {upstream_name(name): value.detach() for name, value in model.named_parameters()}
    torch.save({"epoch": 35, "state_dict": weights, "state_dict_ema": weights}, path)
    return path


def disturb(command: Command, results: Path, how: str) -> dict[str, Any]:
    """Start a command, send it signals at a random moment, and say how it left."""
    mark = uuid.uuid4().hex
    results.parent.mkdir(parents=True, exist_ok=True)
    process = command.start(results, mark)
    # the same chance for start-up (no handler, imports) as for the work
    time.sleep(random.uniform(0.0, random.choice([0.4, 2.0, command.longest_s])))
    numbers, expected = SENT[how]
    alive = process.poll() is None
    warm_up = how == "twice" and not list(results.glob("*/*/*.partial/heartbeat"))
    for place, number in enumerate(numbers):
        time.sleep(0.3 * (place > 0))
        process.send_signal(number)
    began = time.monotonic()
    try:
        status = process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        status = process.wait()
    took = time.monotonic() - began
    right = status in expected or (status == 0 and took < FINISHING_SECONDS)
    if status == 1 and how == "twice":  # Python's own start, before the first line of ours
        right = b"Fatal Python error: init_" in results.with_suffix(".stderr").read_bytes()
    return {
        "command": command.name, "how": how, "alive": alive, "status": status, "seconds": round(took, 2),
        "right": right, "warm_up": warm_up, "orphans": orphans(mark),
        "in_time": took < (WARM_UP_SECONDS if warm_up else MOST_SECONDS),
    }  # fmt: skip


def orphans(mark: str, patience_s: float = 5.0) -> list[int]:
    """Return the processes of a command that are still there a few seconds after it."""
    end = time.monotonic() + patience_s
    while (left := _marked(mark)) and time.monotonic() < end:
        time.sleep(0.1)
    return left


def _marked(mark: str) -> list[int]:
    pids = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if f"{MARK}={mark}".encode() in path.read_bytes():
                pids.append(int(path.parent.name))
        except OSError:
            continue
    return pids


def kills(folder: Path, count: int, seconds: float, seed: int) -> dict[str, Any]:
    """Disturb until `count` signals have met a living command or the time is up; then finish and compare."""
    random.seed(seed)
    given, end = commands(folder), time.monotonic() + seconds
    told: list[dict[str, Any]] = []
    compared: Counter[str] = Counter()
    finished: Counter[str] = Counter()
    calm = {}
    (folder / "calm").mkdir()
    for command in given:
        assert command.start(folder / "calm" / command.name, "calm").wait() == 0
        calm[command.name] = results_of(folder / "calm" / command.name)
    number = 0
    while sum(one["alive"] for one in told) < count and time.monotonic() < end:
        command, how = given[number % len(given)], ("kill", "term", "kill", "twice", "hup")[number % 5]
        results = folder / "disturbed" / command.name / str(finished[command.name])
        told.append(disturb(command, results, how))
        number += 1
        if told[-1]["status"] == 0:  # it was done: the next signals meet a fresh folder
            compared += _compare(results_of(results), calm[command.name])
            finished[command.name] += 1
    for command in given:
        results = folder / "disturbed" / command.name / str(finished[command.name])
        status = command.start(results, "last").wait()
        compared += _compare(results_of(results), calm[command.name])
        compared["reruns_failed"] += status != 0
    met = [one for one in told if one["alive"]]
    return {
        "signals": len(met),
        "by": dict(Counter(f"{one['command']} {one['how']}" for one in met)),
        "wrong_statuses": [one for one in met if not one["right"]],
        "late": [one for one in met if not one["in_time"]],
        "orphans": [one for one in told if one["orphans"]],
        "slowest_seconds": max((one["seconds"] for one in met), default=0.0),
        "slowest_warm_up_seconds": max((one["seconds"] for one in met if one["warm_up"]), default=0.0),
        "statuses": dict(Counter(str(one["status"]) for one in met)),
        "runs": {name: compared[name] for name in ("compared", "lost", "wrong")},
        "reruns_failed": compared["reruns_failed"],
    }


def _compare(there: dict[str, bytes], expected: dict[str, bytes]) -> Counter[str]:
    found = Counter(compared=len(expected))
    found["lost"] = sum(name not in there for name in expected)
    found["wrong"] = sum(name in there and there[name] != content for name, content in expected.items())
    return found


def main() -> None:
    parser = skeleton.parser(__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=1200.0, help="start no more after them")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup what is started would ignore it, as it should
    signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background of a script, too
    with workplace(False) as folder:
        report = kills(folder, options.kills, options.seconds, options.seed)
    print(report)
    skeleton.write(options.out, {"schema": "tal-repro/bench-kills/1", **report})
    faults = [report[name] for name in ("wrong_statuses", "late", "orphans", "reruns_failed")]
    sys.exit(int(any(faults) or report["runs"]["lost"] or report["runs"]["wrong"]))


if __name__ == "__main__":
    main()

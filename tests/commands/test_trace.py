"""`tal-repro trace`: any command, its exit code, its phases, its summary; bad input with exit code 2."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import pytest

import tal_repro

SCHEMA = json.loads((Path(tal_repro.__file__).parent / "schemas" / "trace.json").read_text())
QUICK = ("--interval", "0.05", "--baseline", "0", "--no-figure")


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tal_repro", "trace", *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run(*arguments: str) -> tuple[int, str, str]:
    process = start(*arguments)
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


PHASES = """
import time
from tal_repro import hooks
for epoch in range(2):
    for kind in ("train", "eval"):
        hooks.event(kind, "start", epoch)
        time.sleep(0.4)
        hooks.event(kind, "end", epoch)
raise SystemExit(7)
"""


def test_phases_exit_code_summary_and_figure(weird_path: Path) -> None:
    out = weird_path / "trace"
    code, text, err = run(
        "--out", str(out), "--interval", "0.05", "--baseline", "0.3", "--json", "--", sys.executable, "-c", PHASES
    )
    assert code == 7
    summary = json.loads(text)
    jsonschema.validate(summary, SCHEMA)
    assert summary == json.loads((out / "trace.json").read_text())
    assert summary["baseline"]["columns"]["cpu_mean_percent"]["mean"] >= 0
    kinds = [(phase["kind"], phase["epoch"]) for phase in summary["phases"]]
    assert kinds == [("train", 0), ("eval", 0), ("train", 1), ("eval", 1)]
    # phases are on the trace's clock: each lies where its events lie, and they follow each other
    told = [json.loads(line)["time"] for line in (out / "events.jsonl").read_text().splitlines()]
    placed = [phase[edge] for phase in summary["phases"] for edge in ("start_s", "end_s")]
    assert [at - placed[0] for at in placed] == pytest.approx([at - told[0] for at in told], abs=1e-3)
    assert placed == sorted(placed)
    assert sum(phase["end_s"] - phase["start_s"] for phase in summary["phases"]) >= 1.6
    assert 0 <= summary["phases"][0]["start_s"] < summary["phases"][-1]["end_s"] <= summary["sampler"]["seconds"]
    assert (out / "figure-6.png").stat().st_size > 10_000
    assert "missed; sampling used" in err


def test_output_of_the_command_passes_through(tmp_path: Path) -> None:
    code, out, err = run("--out", str(tmp_path / "a"), *QUICK, "--", "sh", "-c", "echo out; echo err >&2; sleep 0.2")
    assert (code, out) == (0, "out\n")
    assert "err\n" in err
    summary = json.loads((tmp_path / "a" / "trace.json").read_text())
    jsonschema.validate(summary, SCHEMA)
    assert summary["baseline"] is None


def test_a_command_that_forks_is_traced_with_its_children(tmp_path: Path) -> None:
    script = "import os, time\npid = os.fork()\nwhile not pid and time.process_time() < 0.4: pass\n"
    script += "pid and os.wait()"
    code, _, _ = run("--out", str(tmp_path / "a"), *QUICK, "--", sys.executable, "-c", script)
    columns = json.loads((tmp_path / "a" / "trace.json").read_text())["columns"]
    assert code == 0
    assert columns["thread_busiest_percent"]["max"] > 5


HOG = """
import time
held = bytearray(b"x") * (400 << 20)
end = time.monotonic() + 1.5
while time.monotonic() < end: pass
print(open("/proc/self/statm").read().split()[1])
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="reads /proc: run it on Linux")
def test_memory_is_the_command_s_own(tmp_path: Path) -> None:
    arguments = ("--out", str(tmp_path / "a"), "--interval", "0.1", "--baseline", "0", "--no-figure")
    code, text, _ = run(*arguments, "--", sys.executable, "-I", "-S", "-c", HOG)
    columns = json.loads((tmp_path / "a" / "trace.json").read_text())["columns"]
    resident_mib = int(text) * resource.getpagesize() / 2**20
    assert code == 0
    assert columns["process_memory_mib"]["max"] == pytest.approx(resident_mib, rel=0.01)
    assert columns["process_memory_mib"]["max"] == pytest.approx(400, rel=0.05)
    assert columns["process_cpu_percent"]["mean"] == pytest.approx(columns["thread_busiest_percent"]["mean"], abs=12)


def test_a_command_that_does_nothing_uses_nothing(tmp_path: Path) -> None:
    code, _, _ = run("--out", str(tmp_path / "a"), *QUICK, "--", "sleep", "0.6")
    columns = json.loads((tmp_path / "a" / "trace.json").read_text())["columns"]
    assert code == 0
    assert columns["process_memory_mib"]["max"] < 10
    assert columns["thread_busiest_percent"]["mean"] < 5
    assert columns["process_cpu_percent"]["mean"] < 5


def test_a_command_too_short_for_a_sample(tmp_path: Path) -> None:
    code, _, err = run("--out", str(tmp_path / "a"), "--interval", "30", "--baseline", "0", "--", "true")
    summary = json.loads((tmp_path / "a" / "trace.json").read_text())
    assert (code, summary["columns"], summary["sampler"]["samples"]) == (0, {}, 0)
    assert "no figure" in err


def test_sigterm_reaches_the_command_and_the_trace_is_kept(tmp_path: Path) -> None:
    process = start("--out", str(tmp_path / "a"), *QUICK, "--", "sleep", "60")
    trace = tmp_path / "a" / "trace.csv"
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not (trace.exists() and trace.read_text().count("\n") > 3):
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 128 + signal.SIGTERM
    assert json.loads((tmp_path / "a" / "trace.json").read_text())["sampler"]["samples"] >= 3


def test_a_command_that_is_killed_has_its_trace_and_its_phases(tmp_path: Path) -> None:
    script = """
import os, sys, time
from tal_repro import hooks
hooks.event("train", "start", 0)
time.sleep(0.4)
hooks.event("train", "end", 0)
hooks.event("eval", "start", 0)
os.write(hooks._events().fileno(), b'{"time": 1, "ki')  # killed in the middle of a line
time.sleep(0.3)
os.kill(os.getpid(), 9)
"""
    code, _, err = run("--out", str(tmp_path / "a"), *QUICK, "--", sys.executable, "-c", script)
    summary = json.loads((tmp_path / "a" / "trace.json").read_text())
    jsonschema.validate(summary, SCHEMA)
    assert (code, summary["exit_code"]) == (128 + 9, 128 + 9)
    assert summary["columns"]["cpu_mean_percent"]["max"] >= 0
    assert [phase["kind"] for phase in summary["phases"]] == ["train", "eval"]  # the second ends with the trace
    assert "Traceback" not in err


SAMPLER_DIES = """
import os, signal, subprocess, sys, time
from pathlib import Path
trace = Path(sys.argv[1])
while not trace.exists() or trace.read_text().count("\\n") < 5:
    time.sleep(0.02)
for folder in Path("/proc").glob("[0-9]*"):
    try:
        words = (folder / "cmdline").read_bytes().split(b"\\0")
    except OSError:
        continue
    if b"tal_repro.measure.sampler" in words and any(str(trace).encode() in word for word in words):
        os.kill(int(folder.name), signal.SIGKILL)
"""


@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="finds the sampler in /proc: run it on Linux")
def test_a_sampler_that_is_killed_leaves_the_command_alone(tmp_path: Path) -> None:
    trace = tmp_path / "a" / "trace.csv"
    code, _, err = run("--out", str(tmp_path / "a"), *QUICK, "--", sys.executable, "-c", SAMPLER_DIES, str(trace))
    summary = json.loads((tmp_path / "a" / "trace.json").read_text())
    jsonschema.validate(summary, SCHEMA)
    assert code == 0
    assert "the trace is not whole: the sampling process was killed" in err
    assert summary["columns"]["cpu_mean_percent"]["max"] >= 0


def test_bad_input_exits_with_2(tmp_path: Path) -> None:
    held = tmp_path / "held"
    held.mkdir()
    (held / "trace.csv").write_text("x")
    for arguments, words in (
        (("--out", str(tmp_path / "a"), "--", "no-such-command-here"), "no such command"),
        (("--out", str(tmp_path / "b"), "--interval", "0", "--", "true"), "sampling interval 0 s"),
        (("--out", str(tmp_path / "c"), "--baseline", "-1", "--", "true"), "idle baseline of -1 s"),
        (("--out", str(held), "--", "true"), "holds a trace already"),
        (("--out", str(tmp_path / "d"), "--gpu", "99", "--", "true"), "no GPU 99"),
    ):
        code, out, err = run(*arguments)
        assert (code, out) == (2, ""), arguments
        assert words in err
        assert "Traceback" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["held"]  # no empty folders
    assert (held / "trace.csv").read_text() == "x"

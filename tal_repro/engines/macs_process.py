"""Count one model's MACs in a process of its own: python -m tal_repro.engines.macs_process MODEL ENGINE LENGTH.

Three upstreams own a package called `libs`, so a process can hold the authors' code of one model only.
"""

from __future__ import annotations

import json
import subprocess
import sys

from tal_repro import kit
from tal_repro.engines.registry import get_adapter
from tal_repro.errors import InputError


def count_apart(model: str, engine: str, length: int) -> dict[str, object]:
    """Return {"macs", "by_operator", "unsupported_ops", "padded_length"} of a model.

    Raises InputError with the child's last words.
    """
    command = [sys.executable, "-m", __name__, model, engine, str(length)]
    answer = subprocess.run(command, capture_output=True, text=True, check=False, env=kit.child_environment())
    if answer.returncode != 0:
        lines = answer.stderr.strip().splitlines() or ["no message"]
        words, mark, remedy = lines[-1].partition("  remedy: ")  # the kit's own errors end with theirs
        raise InputError(
            f"counting MACs of {model} failed: {words or lines[-2].partition(': ')[2]}",
            remedy=remedy if mark else _remedy(words),
        )
    counted: dict[str, object] = json.loads(answer.stdout.strip().splitlines()[-1])
    return counted


def _remedy(words: str) -> str:
    if "No module named" in words:
        return "`make setup-upstream` installs what most authors import; the rest: requirements.lock, or OWN_SHIMS"
    return "does build(tree) return the whole model?"


def main() -> None:
    """Print the counts as one line of JSON."""
    from tal_repro.measure.macs import count_module, padded_steps

    model, engine, length = sys.argv[1], sys.argv[2], int(sys.argv[3])
    adapter = get_adapter(model, engine)
    module, inputs = adapter.build_for_macs(length), adapter.example_input(length)
    macs, by_operator, unsupported = count_module(module, *inputs)
    counted = {"macs": macs, "by_operator": by_operator, "unsupported_ops": unsupported}
    print(json.dumps({**counted, "padded_length": padded_steps(module, *inputs)}))


if __name__ == "__main__":
    main()

"""The thread that prepares batches has no OpenMP team: with more such threads than cores every operator would wait."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

COUNT = """
import os
import numpy as np
import torch
from tal_repro.engines.native.batches import epoch_batches
from tal_repro.engines.native.samples import Sample, window_features
from tal_repro.data.windows import Window


class Units:
    ids = [f"unit {i}" for i in range(8)]

    def sample(self, index, draws):
        length = 100 + index
        rows = window_features(self, Window(**WINDOW), 300)
        return Sample(self.ids[index], rows[:, :length], torch.zeros(1, 2), torch.zeros(1).long())

    def read(self, video_id, start, stop):
        return torch.from_numpy(np.ones((2048, 200), np.float32))


WINDOW = {name: None for name in Window.__dataclass_fields__} | {"video_id": "v", "start": 0, "stop": 300}
torch.ones(1 << 20).add_(1)  # the main thread's own team
alone = len(os.listdir("/proc/self/task"))
batches = epoch_batches(Units(), [(0, [0, 1, 2, 3]), (0, [4, 5, 6, 7])], 0)
first = next(batches)
next(batches)
print(torch.get_num_threads(), len(os.listdir("/proc/self/task")) - alone, tuple(first.features.shape))
"""


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="counts threads in /proc: run it on Linux")
def test_only_the_loader_itself_is_added() -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, env=environment, check=False)
    assert done.stdout.split(" ", 2) == ["2", "1", "(4, 2048, 103)\n"], done.stderr

"""The authors' model, timed: a pyramid's forward pass ends before its last step, and `postprocess` is that step."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import tal_repro

# As the three pyramid models are: a configuration file, a maker, and a forward pass that calls `inference` at its end.
STAND_IN = {
    "libs/__init__.py": "",
    "libs/core.py": "def load_config(path):\n    return {'model_name': 'one', 'model': {'width': 3}}\n",
    "libs/modeling.py": """
from torch import nn

class Meta(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layer = nn.Conv1d(2, width, 1)

    def forward(self, videos):
        points = self.layer(videos[0]['feats'][None])
        return self.inference(videos, [points], [points > 0])

    def inference(self, videos, points, masks):
        return [{'video_id': video['video_id'], 'segments': points[0] * masks[0]} for video in videos]

def make_meta_arch(name, **settings):
    return Meta(**settings)
""",
}
CODE = """
import sys
from pathlib import Path
import torch
from tal_repro.engines.upstream import models
from tal_repro.measure.macs import count_module

tree, inputs = Path(sys.argv[1]), (torch.rand(1, 2, 7), torch.tensor([7]))
torch.manual_seed(0)
whole = models.load('temporalmaxer', tree)
torch.manual_seed(0)
bare = models.load('temporalmaxer', tree, bare=True)
with torch.no_grad():
    expected, outputs = whole(*inputs), bare(*inputs)
assert isinstance(expected, list) and 'segments' in expected[0], expected
videos, points, masks = outputs  # what the last step is given, untouched
assert points[0].shape == (1, 3, 7) and videos[0]['video_id'] == 'video'
(found,) = models.postprocess(bare, outputs, inputs)
assert torch.equal(found['segments'], expected[0]['segments'])
assert count_module(whole, *inputs)[0] == count_module(bare, *inputs)[0] == 2 * 3 * 7
"""


def test_a_bare_model_and_its_post_processing_are_the_whole(weird_path: Path) -> None:
    for name, content in STAND_IN.items():
        (weird_path / name).parent.mkdir(exist_ok=True)
        (weird_path / name).write_text(content)
    environment = {**os.environ, "PYTHONPATH": str(Path(tal_repro.__file__).parents[1])}
    command = [sys.executable, "-c", CODE, str(weird_path)]
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr

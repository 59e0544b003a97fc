"""Windows of THUMOS14 as TadTR lays it out, one window a sample."""

import json
import os

import torch
from torch.utils.data import Dataset

STEPS = 64


class Windows(Dataset):
    def __init__(self, root, subset):
        with open(os.path.join(root, "th14_annotations_with_fps_duration.json")) as stream:
            annotations = json.load(stream)
        with open(os.path.join(root, "th14_i3d2s_ft_info.json")) as stream:
            lengths = json.load(stream)
        self.folder, self.classes = os.path.join(root, "I3D_2stream_Pth"), annotations["classes"]
        windows = []
        for name, video in annotations["database"].items():
            if video["subset"] == subset and video["annotations"]:
                actions = [a for a in video["annotations"] if a["label"] in self.classes]
                for start in range(0, lengths[name]["feature_length"], STEPS):
                    windows.append((name, start, lengths[name]["feature_fps"], actions))
        self.windows = windows

    def __len__(self):
        return len(self.windows)

    def __getitem__(self, index):
        name, start, rate, actions = self.windows[index]
        features = torch.load(os.path.join(self.folder, name))
        features = features[0] if features.dim() == 3 else features
        features = features if features.shape[0] >= features.shape[1] else features.t()
        features = features[start : start + STEPS].float()
        times = (torch.arange(start, start + len(features)) + 1) / rate
        wanted = torch.zeros(len(features), len(self.classes))
        for action in actions:
            inside = (times >= action["segment"][0]) & (times <= action["segment"][1])
            wanted[inside, self.classes.index(action["label"])] = 1
        return features, wanted, {"video": name, "start": start, "rate": rate}

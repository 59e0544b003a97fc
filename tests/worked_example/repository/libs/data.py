"""THUMOS14 as ActionFormer lays it out: annotations/thumos14.json and i3d_features/*.npy."""

import json
import os

import numpy as np
import torch


class Videos:
    def __init__(self, root, subset, is_training):
        with open(os.path.join(root, "annotations", "thumos14.json")) as stream:
            database = json.load(stream)["database"]
        self.folder = os.path.join(root, "i3d_features")
        labels = {a["label"]: a["label_id"] for v in database.values() for a in v["annotations"]}
        self.classes = sorted(labels, key=labels.get)
        items = [dict(video, id=name) for name, video in database.items() if video["subset"].lower() == subset]
        items = [video for video in items if video["annotations"]]
        self.items = items
        self.is_training = is_training
        self.dim = self.features(0).shape[1]

    def __len__(self):
        return len(self.items)

    def features(self, index):
        path = os.path.join(self.folder, self.items[index]["id"] + ".npy")
        return torch.from_numpy(np.load(path).astype(np.float))

    def targets(self, index, steps):
        video = self.items[index]
        wanted = torch.zeros(steps, len(self.classes))
        times = (torch.arange(steps) * 4 + 8) / video["fps"]
        for action in video["annotations"]:
            start, end = action["segment"]
            wanted[(times >= start) & (times <= end), action["label_id"]] = 1
        return wanted

"""Evaluate the average of the weights in a checkpoint: python eval.py DATA CHECKPOINT."""

import sys

import torch
from data import Windows
from model import SliceNet, average_map, decode
from torch.utils.data import DataLoader


def evaluate(model, windows):
    rows = []
    with torch.no_grad():
        for features, _, place in DataLoader(windows, batch_size=1):
            found = decode(model(features[0]).sigmoid(), place["start"].item(), place["rate"].item())
            rows += [(place["video"][0], *row) for row in found]
    result = average_map(rows, windows)
    print("average mAP %.4f" % result)


def main(root, checkpoint):
    windows = Windows(root, "test")
    model = SliceNet(windows[0][0].shape[1], len(windows.classes))
    model.load_state_dict(torch.load(checkpoint)["state_dict_ema"])
    evaluate(model, windows)


if __name__ == "__main__":
    main(*sys.argv[1:])

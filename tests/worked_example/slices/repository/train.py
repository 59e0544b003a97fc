"""Train SliceNet and keep a checkpoint; it evaluates nothing: python train.py DATA OUT EPOCHS LR SEED."""

import copy
import os
import sys

import torch
from data import Windows
from model import SliceNet
from torch.utils.data import DataLoader


def train_one_epoch(model, ema, optimizer, loader, epoch):
    for step, (features, wanted, _) in enumerate(loader):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(model(features[0]), wanted[0])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for average, weights in zip(ema.parameters(), model.parameters()):
            average.data.mul_(0.9).add_(weights.data, alpha=0.1)


def main(root, out, epochs, rate, seed):
    torch.manual_seed(int(seed))
    windows = Windows(root, "val")
    model = SliceNet(windows[0][0].shape[1], len(windows.classes))
    ema = copy.deepcopy(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=float(rate))
    loader = DataLoader(windows, batch_size=1, shuffle=True)
    for epoch in range(int(epochs)):
        train_one_epoch(model, ema, optimizer, loader, epoch)
        state = {"state_dict": model.state_dict(), "state_dict_ema": ema.state_dict()}
        torch.save(state, os.path.join(out, "epoch_%03d.pth.tar" % epoch))


if __name__ == "__main__":
    main(*sys.argv[1:])

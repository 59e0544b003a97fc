"""One epoch of training, and an evaluation."""

import torch
import torch.nn.functional as F

from libs.metrics import average_map
from libs.model import detect


def train_one_epoch(model, optimizer, videos, batch, epoch):
    model.train()
    order = torch.randperm(len(videos)).tolist()
    for first in range(0, len(order) - batch + 1, batch):
        losses = []
        for index in order[first : first + batch]:
            features = videos.features(index).float()
            losses.append(F.binary_cross_entropy_with_logits(model(features), videos.targets(index, len(features))))
        loss = torch.stack(losses).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.cuda.synchronize()
    print("epoch %d loss %.4f" % (epoch, loss.item()))


def evaluate(model, videos, epoch):
    model.eval()
    rows = []
    with torch.no_grad():
        for index, video in enumerate(videos.items):
            scores = model(videos.features(index).float()).sigmoid()
            rows += [(video["id"], *row) for row in detect(scores, video["fps"])]
    result = average_map(rows, videos.items)
    print("epoch %d average mAP %.4f" % (epoch, result))
    return result

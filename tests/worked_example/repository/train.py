"""Train StepNet and evaluate it after every epoch: python train.py --data DIR --out DIR."""

import argparse
import os

import torch
from libs.data import Videos
from libs.engine import evaluate, train_one_epoch
from libs.model import StepNet


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--hidden", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    torch.manual_seed(options.seed)
    training = Videos(options.data, "validation", is_training=True)
    testing = Videos(options.data, "test", is_training=False)
    model = StepNet(training.dim, options.hidden, len(training.classes))
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.lr)
    path = os.path.join(options.out, "last.pth")
    for epoch in range(options.epochs):
        train_one_epoch(model, optimizer, training, options.batch, epoch)
        torch.save({"weights": model.state_dict(), "options": options}, path)
        saved = torch.load(path, map_location=lambda storage, place: storage)
        model.load_state_dict(saved["weights"])
        evaluate(model, testing, epoch)
    print("done")


if __name__ == "__main__":
    main()

"""Small networks and data for the tests with PyTorch."""

import random

import numpy
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset


class Noisy(Dataset):
    """Two classes of points, with augmentation from all three global random streams."""

    def __init__(self, n=256):
        generator = torch.Generator().manual_seed(1)
        self.target = torch.randint(2, (n,), generator=generator)
        self.points = torch.randn(n, 1, 6, 6, generator=generator) + self.target.view(-1, 1, 1, 1) * 0.7
        self.seen = 0

    def __len__(self):
        return len(self.target)

    def __getitem__(self, index):
        self.seen += 1
        shift = 0.05 * (random.random() + float(numpy.random.rand()) + float(torch.rand(())))
        return self.points[index] + shift, self.target[index]


def network():
    """Convolution, batch norm and dropout."""
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.3), nn.Flatten(), nn.Linear(64, 2)
    )


def loader(workers=0, **options):
    return DataLoader(Noisy(), batch_size=16, shuffle=True, num_workers=workers, **options)


def optimizer_of(name, model, lr=0.05):
    if name == "SGD":
        return torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9, weight_decay=1e-4)
    return torch.optim.AdamW(model.parameters(), lr=lr * 0.1)


def seed_all(seed=7):
    torch.manual_seed(seed)
    numpy.random.seed(seed)
    random.seed(seed)

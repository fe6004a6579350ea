"""The words of each command, for tests that change one of them."""

from __future__ import annotations

import numpy as np
import torch
from small import digits

PIXELS = (digits("test", 24).pixels * 255).round().to(torch.uint8).numpy()
LABELS = digits("test", 24).labels.numpy()


def evaluate(data="digits", model="zoo:simple-cnn", out="out", **more):
    words = {"eps": "8/255", "suite": "quick", "limit": 16, **more}
    options = [w for key, value in words.items() for w in (f"--{key.replace('_', '-')}", value)]
    return ["evaluate", "--data", data, "--model", model, "--out", out, *options]


def train(data="digits", model="zoo:simple-cnn", out="out", **more):
    words = {"recipe": "standard", "epochs": 1, "limit": 32, **more}
    options = [w for key, value in words.items() for w in (f"--{key.replace('_', '-')}", value)]
    return ["train", "--data", data, "--model", model, "--out", out, *options]


def attack(data="digits", model="zoo:simple-cnn", out="out", **more):
    words = {"attack": "pgd", "eps": "8/255", "limit": 16, **more}
    options = [w for key, value in words.items() for w in (f"--{key.replace('_', '-')}", value)]
    return ["attack", "--data", data, "--model", model, "--out", out, *options]


COMMANDS = (evaluate, train, attack)


def archive(**arrays):
    np.savez("data.npz", **arrays)
    return "data.npz"


USER = """
import torch
from torch import nn

class Wrapped(nn.Module):
    def __init__(self, change):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
        self.change = change

    def forward(self, x):
        return self.change(self.net(x))

def probabilities(): return Wrapped(lambda z: z.softmax(1))
def pair(): return Wrapped(lambda z: (z, z))
def nan(): return Wrapped(lambda z: z / 0 * 0)
def whole(): return Wrapped(lambda z: z.argmax(1))
def few(): return Wrapped(lambda z: z[:, :4])
def one(): return Wrapped(lambda z: z[:, :1])
def colour(): return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(10))
def bigger(): return nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
def number(): return 3
def fails(): raise RuntimeError("no luck")
def needs(secret): return None
"""

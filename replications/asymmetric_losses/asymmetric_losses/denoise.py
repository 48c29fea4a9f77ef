"""The regression part: a small denoiser trained with the squared error and with the two bounded kernels, on photographs with noise.

Photographs are those that come with scikit-learn: the left half of each is for training, the right half for the test.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from itertools import pairwise

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from asymmetric_losses.toy import Adam
from losslab.seeding import generator, torch_seed

LOSSES = ("l2", "l_heat", "l_poisson")
MODES = ("noise2clean", "noise2noise", "noise2self")
SIDE = 5
NOISES = ("gaussian", "salt-pepper", "bernoulli", "impulse")
LEVEL = {"gaussian": 20 / 255, "salt-pepper": 0.3, "bernoulli": 0.3, "impulse": 0.3}


# Losses, per pixel


def l_p(error: Tensor, p: float = 2.0) -> Tensor:
    """`(|e| + 1e-7)^p`."""
    return (error.abs() + 1e-7) ** p


def l_heat(error: Tensor, a: float = 0.2) -> Tensor:
    """`(1 - exp(-e^2 / a^2)) / (a sqrt(pi))`: bounded, so a pixel far off adds a constant."""
    return -torch.expm1(-((error / a) ** 2)) / (a * math.sqrt(math.pi))


def l_poisson(error: Tensor, a: float = 0.2) -> Tensor:
    """`a / pi (1 / a^2 - 1 / (a^2 + e^2))`."""
    return error**2 / (math.pi * a * (a**2 + error**2))


def loss_of(name: str, error: Tensor) -> Tensor:
    """One of LOSSES, a = 0.2."""
    return {"l2": l_p, "l_heat": l_heat, "l_poisson": l_poisson}[name](error)


# Images, noise, metrics


@cache
def photographs(shrink: int = 3) -> Tensor:
    """Two grey photographs in [0, 1], `(2, 1, H, W)`, averaged over squares of `shrink` pixels."""
    from sklearn.datasets import load_sample_images

    images = np.stack(load_sample_images().images).astype(np.float64) / 255
    grey = torch.from_numpy(images @ np.array([0.299, 0.587, 0.114])).unsqueeze(1)
    small = torch.nn.functional.avg_pool2d(grey, shrink)
    height, width = (side - side % 4 for side in small.shape[-2:])
    return small[..., :height, :width].float()


def corrupt(images: Tensor, kind: str, level: float, draw: np.random.Generator) -> Tensor:
    """A noisy copy of images in [0, 1].

    gaussian: level is the standard deviation; bernoulli: a share `level` of the pixels becomes 0; salt-pepper: `level` becomes 0, `level`
    becomes 1; impulse: a share `level` is drawn anew, uniformly.
    """
    shape = tuple(images.shape)
    if kind == "gaussian":
        return images + level * torch.from_numpy(draw.standard_normal(shape, dtype=np.float32))
    chance = torch.from_numpy(draw.random(shape, dtype=np.float32))
    if kind == "bernoulli":
        return torch.where(chance < level, 0.0, images)
    if kind == "salt-pepper":
        return torch.where(chance < level, 0.0, torch.where(chance < 2 * level, 1.0, images))
    if kind == "impulse":
        return torch.where(chance < level, torch.from_numpy(draw.random(shape, dtype=np.float32)), images)
    raise ValueError(f"kind is {kind!r}; it can be one of {', '.join(NOISES)}")


def psnr(image: Tensor, clean: Tensor) -> float:
    """Peak signal-to-noise ratio in dB of `image` clipped to [0, 1]; the peak is 1."""
    return float(-10 * torch.log10(((image.clamp(0, 1) - clean) ** 2).mean()))


def ssim(image: Tensor, clean: Tensor, data_range: float = 1.0, window: int = 7) -> float:
    """Mean structural similarity (Wang et al. 2004) of images `(n, 1, H, W)`: flat windows, sample variances, C1, C2 = (0.01 R)^2, (0.03 R)^2."""
    x, y = image.clamp(0, 1).double(), clean.double()

    def mean(values: Tensor) -> Tensor:
        return torch.nn.functional.avg_pool2d(values, window, 1)

    unbiased = window**2 / (window**2 - 1)
    mx, my = mean(x), mean(y)
    vx, vy = unbiased * (mean(x * x) - mx * mx), unbiased * (mean(y * y) - my * my)
    cov = unbiased * (mean(x * y) - mx * my)
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    return float(((2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))).mean())


# Small denoisers, a stack of them at once


class Windows(torch.nn.Module):
    """`count` denoisers side by side: each predicts a pixel from its 5x5 window, as the window's mean plus a small network."""

    def __init__(self, count: int, width: int = 32) -> None:
        super().__init__()
        sizes = (SIDE**2, width, width, 1)
        self.weights = torch.nn.ParameterList(
            torch.randn(1, i, o).repeat(count, 1, 1) * math.sqrt((2.0 if o > 1 else 0.02) / i)
            for i, o in pairwise(sizes)
        )
        self.biases = torch.nn.ParameterList(torch.zeros(count, 1, o) for o in sizes[1:])

    def forward(self, windows: Tensor) -> Tensor:
        """Windows `(count or 1, n, 25)` to pixels `(count, n)`."""
        x = windows.expand(len(self.biases[0]), -1, -1)
        mean = x.mean(-1)
        x = x - 0.5
        for place, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            x = torch.baddbmm(bias, x, weight)
            x = x.relu() if place < 2 else x
        return mean + x.squeeze(-1)


def _windows(images: Tensor) -> Tensor:
    """Every pixel's window, borders mirrored: `(n, 1, H, W)` to `(n H W, 25)`."""
    padded = torch.nn.functional.pad(images, [SIDE // 2] * 4, mode="reflect")
    return torch.nn.functional.unfold(padded, SIDE).mT.reshape(-1, SIDE**2)


def train_windows(kind: str, cases: Sequence[tuple[str, str]], steps: int, seed: int, batch: int = 512) -> Windows:
    """One denoiser per case (mode, loss); all start from the same weights and see the same windows and noise."""
    draw = generator("asymmetric_losses", "denoise", kind, seed)
    torch.manual_seed(torch_seed("asymmetric_losses", "denoiser", seed))
    network = Windows(len(cases))
    pool = _windows(photographs()[..., : photographs().shape[-1] // 2])
    values, adam = list(network.parameters()), Adam()
    centre = torch.arange(SIDE**2) == SIDE**2 // 2
    for step in range(steps):
        clean = pool[torch.from_numpy(draw.integers(0, len(pool), batch))]
        noisy, other = corrupt(clean, kind, LEVEL[kind], draw), corrupt(clean[:, centre], kind, LEVEL[kind], draw)[:, 0]
        masked = torch.where(centre, torch.from_numpy(draw.random((batch, 1), dtype=np.float32)), noisy)
        target = {"noise2clean": clean[:, centre][:, 0], "noise2noise": other, "noise2self": noisy[:, centre][:, 0]}
        out = network(torch.stack([masked if mode == "noise2self" else noisy for mode, _ in cases]))
        losses = [loss_of(loss, line - target[mode]).mean() for line, (mode, loss) in zip(out, cases, strict=True)]
        gradients = torch.autograd.grad(torch.stack(losses).sum(), values)
        with torch.no_grad():
            adam.step(values, gradients, 0.005 * (1 + math.cos(math.pi * step / steps)))
    return network.eval()


@torch.no_grad()
def study(
    seeds: int, steps: int, kinds: Sequence[str] = NOISES, modes: Sequence[str] = MODES
) -> tuple[pd.DataFrame, dict[tuple[str, str, str], Tensor]]:
    """PSNR and SSIM of every noise, mode and loss, one row per seed; and the denoised second photograph of seed 0."""
    rows, shown = [], {}
    cases = [(mode, loss) for mode in modes for loss in LOSSES]
    clean = photographs()[..., photographs().shape[-1] // 2 :]
    for kind in kinds:
        for seed in range(seeds):
            noisy = corrupt(clean, kind, LEVEL[kind], generator("asymmetric_losses", "test", kind, seed))
            with torch.enable_grad():
                network = train_windows(kind, cases, steps, seed)
            restored = network(_windows(noisy)[None]).reshape(len(cases), *clean.shape)
            for (mode, loss), out in zip(cases, restored, strict=True):
                rows.append((kind, mode, loss, seed, psnr(out, clean), ssim(out, clean), ssim(out, clean, 2.0)))
                if seed == 0:
                    shown[kind, mode, loss] = out[1, 0].clamp(0, 1)
            if seed == 0:
                shown[kind, "clean", ""], shown[kind, "noisy", ""] = clean[1, 0], noisy[1, 0].clamp(0, 1)
    columns = ["noise", "mode", "loss", "seed", "psnr", "ssim", "ssim, range 2"]
    return pd.DataFrame(rows, columns=columns), shown


# What the targets say, without a network


def pointwise_minimisers(clean: float = 0.6, count: int = 2001) -> pd.DataFrame:
    """The constant u that minimises the expected loss against noisy copies of one pixel: where each loss is drawn to, by noise.

    Exact expectations: sums over the atoms, and fine sums for the continuous parts. Gaussian noise has sigma = 20 / 255.
    """
    u = torch.linspace(0, 1, count, dtype=torch.float64)
    e = torch.linspace(-4, 4, 801, dtype=torch.float64) * LEVEL["gaussian"]
    bell = torch.exp(-(e**2) / (2 * LEVEL["gaussian"] ** 2))
    even = torch.linspace(0, 1, 1001, dtype=torch.float64)
    flat = torch.ones_like(even)
    atoms = {
        "gaussian": [(1.0, clean + e, bell / bell.sum())],
        "bernoulli": _mixture([(0.7, clean), (0.3, 0.0)]),
        "bernoulli, 70 % dropped": _mixture([(0.3, clean), (0.7, 0.0)]),
        "salt-pepper": _mixture([(0.4, clean), (0.3, 0.0), (0.3, 1.0)]),
        "impulse": [*_mixture([(0.7, clean)]), (0.3, even, flat / flat.sum())],
    }
    rows = {}
    for kind, parts in atoms.items():
        found = {}
        for loss in LOSSES:
            risk = torch.zeros_like(u)
            for share, values, chances in parts:
                risk += share * (loss_of(loss, u[:, None] - values[None, :]) * chances).sum(1)
            found[loss] = float(u[int(risk.argmin())])
        rows[kind] = found
    return pd.DataFrame(rows).T


def _mixture(parts: Sequence[tuple[float, float]]) -> list[tuple[float, Tensor, Tensor]]:
    one = torch.ones(1, dtype=torch.float64)
    return [(share, value * one, one) for share, value in parts]


def gaussian_powers(powers: Sequence[float] = (0.5, 1.0, 1.5, 2.0, 3.0), clean: float = 0.6) -> pd.Series:
    """Where `E |u - (y + e)|^p`, e Gaussian, is least: the distance from y."""
    e = torch.linspace(-6, 6, 4801, dtype=torch.float64) * LEVEL["gaussian"]
    bell = torch.exp(-(e**2) / (2 * LEVEL["gaussian"] ** 2))
    u = torch.linspace(clean - 0.2, clean + 0.2, 401, dtype=torch.float64)
    found = {p: float(u[int(((u[:, None] - clean - e).abs() ** p @ bell).argmin())]) - clean for p in powers}
    return pd.Series(found, name="distance from y").rename_axis("p")


def expected_psnr(dropped: float) -> float:
    """PSNR in dB of the mean `(1 - dropped) x`, which the squared error learns from pixels that are dropped; over the test halves."""
    clean = photographs()[..., photographs().shape[-1] // 2 :]
    return psnr((1 - dropped) * clean, clean)

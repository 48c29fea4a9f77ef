"""Colour jitter of a batch of images, every image with its own strengths."""

import torch

_GREY = (0.2989, 0.587, 0.114)  # torchvision's weights


def _grey(images: torch.Tensor) -> torch.Tensor:
    red, green, blue = images.unbind(dim=-3)
    return (_GREY[0] * red + _GREY[1] * green + _GREY[2] * blue).unsqueeze(-3)


def _blend(images: torch.Tensor, other: torch.Tensor, share: torch.Tensor) -> torch.Tensor:
    weight = share.view(-1, 1, 1, 1).to(images.dtype)
    return (weight * images + (1 - weight) * other).clamp(0, 1)


def turn_hue(images: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
    """Hue turned by a share of the full circle per image, through HSV; ``images`` (N, 3, H, W) in [0, 1]."""
    red, green, blue = images.unbind(dim=1)
    value, low = images.amax(dim=1), images.amin(dim=1)
    chroma = value - low
    flat = chroma == 0
    safe = torch.where(flat, torch.ones_like(chroma), chroma)
    hue = torch.where(
        value == red,
        ((green - blue) / safe) % 6,
        torch.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    hue = (torch.where(flat, torch.zeros_like(hue), hue) / 6 + turn.view(-1, 1, 1).to(images.dtype)) % 1.0
    channels = []
    for offset in (5, 3, 1):
        k = (offset + 6 * hue) % 6
        channels.append(value - chroma * torch.minimum(k, 4 - k).clamp(0, 1))
    return torch.stack(channels, dim=1)


def jitter(
    images: torch.Tensor, brightness: torch.Tensor, contrast: torch.Tensor, saturation: torch.Tensor, hue: torch.Tensor
) -> torch.Tensor:
    """Brightness, contrast, saturation, hue in this order; ``images`` (N, C, H, W) float in [0, 1], strengths ``(N,)``.

    Grey images (C = 1) get brightness and contrast alone.
    """
    images = _blend(images, torch.zeros_like(images), brightness)
    coloured = images.shape[-3] == 3
    mean = (_grey(images) if coloured else images).mean(dim=(-3, -2, -1), keepdim=True)
    images = _blend(images, mean, contrast)
    if coloured:
        images = turn_hue(_blend(images, _grey(images), saturation), hue)
    return images

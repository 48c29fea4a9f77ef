"""Batched augmentation on the device, for one model or a stack of models at once.

Random numbers are drawn on the CPU from a named `torch.Generator` as small tensors (`Policy.draw`), so that a run gets the same
augmentations on every device and whoever shares its batch; `Policy.apply` does the pixel work where the images are.

    crop_flip = augment.policy("crop_flip")
    draws = augment.stack([crop_flip.draw(batch, generator) for generator in generators])
    images = crop_flip.apply(images, draws)  # (M, B, C, H, W)

Images are raw pixels, uint8 or float in [0, 1], before normalisation. Policies without colour jitter also take normalised
float images: give ``fill=border(stats)`` then, so that the border is what it is in the papers' codes (black).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F

from losslab.data.colour import jitter
from losslab.data.normalisation import Stats
from losslab.errors import InputError, near

Draws = Mapping[str, torch.Tensor]
Fill = torch.Tensor | float
Size = tuple[int, int]


def _uniform(n: int, low: float, high: float, rng: torch.Generator) -> torch.Tensor:
    return torch.rand(n, generator=rng) * (high - low) + low


def _angle(n: int, degrees: float, rng: torch.Generator) -> dict[str, torch.Tensor]:
    angle = torch.deg2rad(_uniform(n, -degrees, degrees, rng))
    return {"cos": torch.cos(angle), "sin": torch.sin(angle)}


@dataclass(frozen=True)
class Crop:
    """Random crop after padding, as torchvision's ``RandomCrop(side, padding)``; ``side`` None keeps the size."""

    padding: int = 4
    side: int | None = None

    def size(self, height: int, width: int) -> Size:
        """Size of the result."""
        high, wide = (height, width) if self.side is None else (self.side, self.side)
        if high > height + 2 * self.padding or wide > width + 2 * self.padding:
            raise InputError(f"cannot crop {high}x{wide} from {height}x{width} images padded by {self.padding}")
        return high, wide

    def draw(self, n: int, rng: torch.Generator) -> dict[str, torch.Tensor]:
        """Place of the crop as shares of the room there is, in [0, 1)."""
        return {"top": torch.rand(n, generator=rng), "left": torch.rand(n, generator=rng)}

    def source(self, y: torch.Tensor, x: torch.Tensor, d: Draws, size: Size) -> tuple[torch.Tensor, torch.Tensor]:
        """Where the pixels of the result come from."""
        high, wide = self.size(*size)
        down, right = size[0] + 2 * self.padding - high, size[1] + 2 * self.padding - wide
        top, left = (torch.floor(d[k] * (room + 1)).long() for k, room in (("top", down), ("left", right)))
        return y + (top - self.padding), x + (left - self.padding)


@dataclass(frozen=True)
class Flip:
    """Horizontal flip with probability 1/2."""

    def size(self, height: int, width: int) -> Size:
        """Size of the result."""
        return height, width

    def draw(self, n: int, rng: torch.Generator) -> dict[str, torch.Tensor]:
        """Whether to flip."""
        return {"flip": torch.rand(n, generator=rng) < 0.5}

    def source(self, y: torch.Tensor, x: torch.Tensor, d: Draws, size: Size) -> tuple[torch.Tensor, torch.Tensor]:
        """Where the pixels of the result come from."""
        return y, torch.where(d["flip"], size[1] - 1 - x, x)


@dataclass(frozen=True)
class Rotate:
    """Rotation by up to ``degrees`` about the centre, nearest pixel, as torchvision's ``RandomRotation``."""

    degrees: float

    def size(self, height: int, width: int) -> Size:
        """Size of the result."""
        return height, width

    def draw(self, n: int, rng: torch.Generator) -> dict[str, torch.Tensor]:
        """Cosine and sine of the angle."""
        return _angle(n, self.degrees, rng)

    def source(self, y: torch.Tensor, x: torch.Tensor, d: Draws, size: Size) -> tuple[torch.Tensor, torch.Tensor]:
        """Where the pixels of the result come from."""
        up, side = y + 0.5 - size[0] / 2, x + 0.5 - size[1] / 2
        from_x = torch.floor(d["cos"] * side - d["sin"] * up + size[1] / 2)
        from_y = torch.floor(d["sin"] * side + d["cos"] * up + size[0] / 2)
        return from_y.long(), from_x.long()


@dataclass(frozen=True)
class Shift:
    """Shift by up to a share of the side along both axes, after a rotation; bilinear, border pixels repeated.

    As Keras' ``ImageDataGenerator(width_shift_range, height_shift_range, rotation_range)`` with its default fill (SCE).
    """

    share: float = 0.2
    degrees: float = 0.0

    def size(self, height: int, width: int) -> Size:
        """Size of the result."""
        return height, width

    def draw(self, n: int, rng: torch.Generator) -> dict[str, torch.Tensor]:
        """Shifts as shares of the sides; cosine and sine of the angle."""
        shifts = {name: _uniform(n, -self.share, self.share, rng) for name in ("down", "right")}
        return {**shifts, **_angle(n, self.degrees, rng)}

    def image(self, images: torch.Tensor, d: Draws) -> torch.Tensor:
        """The shifted images, float."""
        height, width = images.shape[-2:]
        cos, sin, aspect = d["cos"], d["sin"], height / width
        rows = [
            torch.stack([cos, -sin * aspect, 2 * d["right"]], -1),
            torch.stack([sin / aspect, cos, 2 * d["down"]], -1),
        ]
        return _sample(images, torch.stack(rows, dim=-2), (height, width))


@dataclass(frozen=True)
class ResizedCrop:
    """Random part of the image resized to ``side``: torchvision's ``RandomResizedCrop``, but bilinear without antialiasing."""

    side: int
    area: tuple[float, float] = (0.08, 1.0)
    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    tries: int = 10

    def size(self, height: int, width: int) -> Size:
        """Size of the result."""
        return self.side, self.side

    def draw(self, n: int, rng: torch.Generator) -> dict[str, torch.Tensor]:
        """Share of the area and ratio of the sides for every try ``(n, tries)``; place as shares of the room there is."""
        low, high = (torch.log(torch.tensor(a)).item() for a in self.aspect)
        return {
            "area": _uniform(n * self.tries, *self.area, rng).view(n, self.tries),
            "ratio": torch.exp(_uniform(n * self.tries, low, high, rng)).view(n, self.tries),
            "top": torch.rand(n, generator=rng),
            "left": torch.rand(n, generator=rng),
        }

    def image(self, images: torch.Tensor, d: Draws) -> torch.Tensor:
        """The resized parts, float."""
        height, width = images.shape[-2:]
        area = d["area"] * (height * width)
        wide, tall = torch.sqrt(area * d["ratio"]).round(), torch.sqrt(area / d["ratio"]).round()
        fits = (wide >= 1) & (wide <= width) & (tall >= 1) & (tall <= height)
        first = fits.float().argmax(dim=1, keepdim=True)  # the first that fits
        wide, tall = wide.gather(1, first)[:, 0], tall.gather(1, first)[:, 0]
        none = ~fits.any(dim=1)  # then the largest central part of an allowed aspect
        ratio = min(max(width / height, self.aspect[0]), self.aspect[1])
        wide = torch.where(none, float(min(width, round(height * ratio))), wide)
        tall = torch.where(none, float(min(height, round(width / ratio))), tall)
        places = []
        for share, room in ((d["top"], height - tall), (d["left"], width - wide)):
            places.append(torch.where(none, torch.floor(room / 2), torch.floor(share * (room + 1))))
        top, left = places
        zero = torch.zeros_like(wide)
        rows = [
            torch.stack([wide / width, zero, (2 * left + wide) / width - 1], dim=-1),
            torch.stack([zero, tall / height, (2 * top + tall) / height - 1], dim=-1),
        ]
        return _sample(images, torch.stack(rows, dim=-2), (self.side, self.side))


@dataclass(frozen=True)
class Jitter:
    """Brightness, contrast, saturation and hue, as torchvision's ``ColorJitter`` but always in this order."""

    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.2

    def size(self, height: int, width: int) -> Size:
        """Size of the result."""
        return height, width

    def draw(self, n: int, rng: torch.Generator) -> dict[str, torch.Tensor]:
        """Strengths, and the turn of the hue as a share of the circle."""
        factors = {name: getattr(self, name) for name in ("brightness", "contrast", "saturation")}
        draws = {name: _uniform(n, max(0.0, 1 - value), 1 + value, rng) for name, value in factors.items()}
        return {**draws, "hue": _uniform(n, -self.hue, self.hue, rng)}

    def image(self, images: torch.Tensor, d: Draws) -> torch.Tensor:
        """The coloured images, float."""
        return jitter(_float(images), d["brightness"], d["contrast"], d["saturation"], d["hue"])


Step = Crop | Flip | Rotate | Shift | ResizedCrop | Jitter


def _float(images: torch.Tensor) -> torch.Tensor:
    return images if images.is_floating_point() else images.float() / 255


def _sample(images: torch.Tensor, theta: torch.Tensor, size: Size) -> torch.Tensor:
    """Bilinear sampling of ``(N, C, H, W)`` along affine maps ``theta`` (N, 2, 3) of the output to the input; the border repeats."""
    values = _float(images)
    grid = F.affine_grid(theta.to(values.dtype), [len(values), 1, *size], align_corners=False)
    return F.grid_sample(values, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _rearrange(images: torch.Tensor, steps: Sequence[tuple[Crop | Flip | Rotate, Draws]], fill: Fill) -> torch.Tensor:
    """Several pixel moves in one gather: the output's coordinates are followed back through all of them."""
    sizes: list[Size] = [(images.shape[-2], images.shape[-1])]
    for step, _ in steps:
        sizes.append(step.size(*sizes[-1]))
    n, device = len(images), images.device
    y = torch.arange(sizes[-1][0], device=device).view(1, -1, 1)
    x = torch.arange(sizes[-1][1], device=device).view(1, 1, -1)
    inside: torch.Tensor | None = None
    for (step, draws), size in zip(reversed(steps), reversed(sizes[:-1]), strict=True):
        y, x = step.source(y, x, {name: value.view(n, 1, 1) for name, value in draws.items()}, size)
        if not isinstance(step, Flip):
            here = (y >= 0) & (y < size[0]) & (x >= 0) & (x < size[1])
            inside = here if inside is None else inside & here
            y, x = y.clamp(0, size[0] - 1), x.clamp(0, size[1] - 1)
    channels, height, width = images.shape[1:]
    pixels, place = images.reshape(n, channels, height * width), y * width + x
    if inside is not None:  # what lies outside comes from one more pixel that holds the fill
        outside = fill.to(device).reshape(1, -1, 1) if isinstance(fill, torch.Tensor) else fill
        ground = torch.zeros(n, channels, 1, dtype=images.dtype, device=device) + outside
        pixels, place = torch.cat([pixels, ground.to(images.dtype)], dim=2), torch.where(inside, place, height * width)
    moved = pixels.gather(2, place.reshape(n, 1, -1).expand(n, channels, -1))
    return moved.view(n, channels, *sizes[-1])


@dataclass(frozen=True)
class Policy:
    """Augmentation steps in their order, under a name."""

    name: str
    steps: tuple[Step, ...]

    def out_size(self, height: int, width: int) -> Size:
        """Height and width of what `apply` returns. Raises InputError where the images are too small."""
        for step in self.steps:
            height, width = step.size(height, width)
        return height, width

    def centre(self, images: torch.Tensor) -> torch.Tensor:
        """The test images' view: the central part of the size that `apply` returns; ``(..., C, H, W)``, not copied."""
        height, width = images.shape[-2:]
        high, wide = self.out_size(height, width)
        top, left = round((height - high) / 2), round((width - wide) / 2)
        return images[..., top : top + high, left : left + wide]

    def draw(self, n: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """Draws for ``n`` images of any size: small CPU tensors ``(n, ...)`` by name."""
        return {f"{i}.{k}": v for i, step in enumerate(self.steps) for k, v in step.draw(n, generator).items()}

    def _runs(self, draws: Draws) -> Iterator[list[tuple[Step, Draws]]]:
        """The steps with their draws; neighbouring pixel moves together."""
        run: list[tuple[Step, Draws]] = []
        for i, step in enumerate(self.steps):
            mine = {name.split(".", 1)[1]: v for name, v in draws.items() if name.startswith(f"{i}.")}
            if run and not (isinstance(step, Crop | Flip | Rotate) and isinstance(run[-1][0], Crop | Flip | Rotate)):
                yield run
                run = []
            run.append((step, mine))
        if run:
            yield run

    def apply(self, images: torch.Tensor, draws: Draws, fill: Fill = 0.0) -> torch.Tensor:
        """Augmented images; ``images`` ``(..., C, H, W)``, draws ``(..., *)`` with the same leading axes; never in place.

        uint8 stays uint8 through crops, flips and rotations, and becomes float in [0, 1] by shifts, resizing and jitter.
        ``fill``: value outside the image, a number or one per channel (see `border`). Makes no host synchronisation when
        the draws and ``fill`` lie on the images' device.
        """
        if not self.steps:
            return images
        leading = images.shape[:-3]
        for name, value in draws.items():
            if value.shape[: len(leading)] != leading:
                raise InputError(f"draw {name} has shape {tuple(value.shape)}, the images {tuple(images.shape)}")
        flat = images.reshape(-1, *images.shape[-3:])
        local = {name: v.to(images.device, non_blocking=True).flatten(0, len(leading) - 1) for name, v in draws.items()}
        for run in self._runs(local):
            moves = [(step, d) for step, d in run if isinstance(step, Crop | Flip | Rotate)]
            if moves:
                flat = _rearrange(flat, moves, fill)
            for step, mine in run:
                if isinstance(step, Shift | ResizedCrop | Jitter):
                    flat = step.image(flat, mine)
        return flat.unflatten(0, leading)


_POLICIES: dict[str, tuple[Step, ...]] = {
    "none": (),
    "flip": (Flip(),),
    "crop": (Crop(4),),
    "crop_flip": (Crop(4), Flip()),  # GCE, APL, ALF, SR, LM-Softmax on CIFAR-10; imbalanced CIFAR
    "crop_flip_rotate15": (Crop(4), Flip(), Rotate(15)),
    "crop_flip_rotate20": (Crop(4), Flip(), Rotate(20)),  # APL, ALF, SR, LM-Softmax on CIFAR-100
    "flip_rotate45": (Flip(), Rotate(45)),  # L_DMI on Dogs vs. Cats
    "shift_flip": (Shift(0.2), Flip()),  # SCE on CIFAR-10
    "shift_flip_rotate20": (Shift(0.2, 20), Flip()),  # SCE on CIFAR-100
    "flip_crop32": (Flip(), Crop(0, 32)),  # IMAE: 32x32 parts of 36x36 images
    "crop224_flip": (Crop(0, 224), Flip()),  # Clothing1M: parts of 256x256 images
    "resized224_flip_jitter": (ResizedCrop(224), Flip(), Jitter()),  # WebVision
}


def names() -> tuple[str, ...]:
    """Names that `policy` knows."""
    return tuple(_POLICIES)


def policy(name: str) -> Policy:
    """Augmentation policy by name. Raises InputError for an unknown name."""
    if name not in _POLICIES:
        raise InputError(near("augmentation", name, _POLICIES))
    return Policy(name, _POLICIES[name])


def stack(draws: Sequence[Draws]) -> dict[str, torch.Tensor]:
    """Draws of M models, ``(B, ...)`` each, as one of ``(M, B, ...)``."""
    return {name: torch.stack([d[name] for d in draws]) for name in draws[0]}


def border(stats: Stats) -> torch.Tensor:
    """What lies outside a normalised image, ``(C,)``: black, (0 - mean) / std.

    For per-pixel statistics it is 0: there the mean image is subtracted before the padding.
    """
    channels = stats.mean.shape[0]
    if stats.mean.shape[-2:] != (1, 1):
        return torch.zeros(channels)
    return ((0 - stats.mean) / stats.std).reshape(-1)

"""Batched augmentation against torchvision's per-image transforms and against plain loops."""

import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torchvision.transforms import functional as tv

from losslab.data import augment
from losslab.data.colour import jitter
from losslab.data.normalisation import Stats, standardise
from losslab.errors import InputError


def batch(m: int = 2, b: int = 16, c: int = 3, h: int = 32, w: int = 32) -> torch.Tensor:
    return torch.randint(0, 256, (m, b, c, h, w), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def draws_for(policy: augment.Policy, images: torch.Tensor, seed: int = 0) -> dict[str, torch.Tensor]:
    streams = [torch.Generator().manual_seed(seed + i) for i in range(len(images))]
    return augment.stack([policy.draw(images.shape[1], stream) for stream in streams])


def reference(image: torch.Tensor, d: dict[str, torch.Tensor]) -> torch.Tensor:
    """Pad-crop, flip and rotation of one image by torchvision, with given draws."""
    if "0.top" in d:
        top, left = (int(d[f"0.{k}"] * 9) for k in ("top", "left"))
        image = tv.crop(tv.pad(image, [4]), top, left, *image.shape[-2:])
    if d["1.flip"]:
        image = tv.hflip(image)
    if "2.cos" in d:
        angle = torch.rad2deg(torch.atan2(d["2.sin"], d["2.cos"])).item()
        rotated = Image.fromarray(image.permute(1, 2, 0).numpy()).rotate(angle, Image.Resampling.NEAREST)
        image = tv.pil_to_tensor(rotated)
    return image


@pytest.mark.parametrize("size", [(32, 32), (28, 20)])
def test_crop_flip_is_torchvisions(size: tuple[int, int]) -> None:
    images = batch(h=size[0], w=size[1])
    policy = augment.policy("crop_flip")
    draws = draws_for(policy, images)
    result = policy.apply(images, draws)
    assert result.dtype == torch.uint8 and result.shape == images.shape
    for m in range(2):
        for b in range(16):
            assert torch.equal(result[m, b], reference(images[m, b], {k: v[m, b] for k, v in draws.items()}))


@pytest.mark.parametrize("degrees", [15, 20])
def test_rotation_is_pillows(degrees: int) -> None:
    """Pillow computes in fixed point, so that a few pixels on a tie may come from a neighbour."""
    images = batch()
    policy = augment.policy(f"crop_flip_rotate{degrees}")
    draws = draws_for(policy, images)
    result = policy.apply(images, draws)
    equal = [
        (result[m, b] == reference(images[m, b], {k: v[m, b] for k, v in draws.items()})).float().mean()
        for m in range(2)
        for b in range(16)
    ]
    assert torch.stack(equal).mean() > 0.995
    angle = torch.rad2deg(torch.atan2(draws["2.sin"], draws["2.cos"]))
    assert angle.abs().max() <= degrees and angle.std() > degrees / 4


def test_float_images_and_border() -> None:
    """Augmenting normalised images with the border of the statistics equals normalising augmented ones."""
    images = batch()
    stats = Stats(torch.tensor([0.5, 0.4, 0.3]).view(3, 1, 1), torch.tensor([0.2, 0.25, 0.3]).view(3, 1, 1))
    policy = augment.policy("crop_flip_rotate20")
    draws = draws_for(policy, images)
    after = standardise(policy.apply(images, draws), stats)
    before = policy.apply(standardise(images, stats), draws, fill=augment.border(stats))
    torch.testing.assert_close(before, after)
    mean_image = Stats(torch.rand(3, 32, 32), torch.ones(3, 1, 1))
    assert augment.border(mean_image).tolist() == [0, 0, 0]


def test_a_model_does_not_depend_on_its_company() -> None:
    images = batch(m=3)
    for name in ("crop_flip", "shift_flip_rotate20", "resized224_flip_jitter"):
        policy = augment.policy(name)
        draws = draws_for(policy, images)
        together = policy.apply(images, draws)
        alone = policy.apply(images[1:2], {k: v[1:2] for k, v in draws.items()})
        flat = policy.apply(images[1], {k: v[1] for k, v in draws.items()})
        assert torch.equal(together[1], alone[0]) and torch.equal(alone[0], flat)
        swapped = policy.apply(images.contiguous(memory_format=torch.preserve_format).clone(), draws)
        assert torch.equal(swapped, together)


def test_draws_are_uniform_and_seeded() -> None:
    policy = augment.policy("crop_flip")
    draws = policy.draw(9000, torch.Generator().manual_seed(1))
    assert torch.equal(draws["0.top"], policy.draw(9000, torch.Generator().manual_seed(1))["0.top"])
    counts = torch.floor(draws["0.top"] * 9).long().bincount()
    assert len(counts) == 9 and ((counts - 1000) ** 2 / 1000).sum() < 20.1  # chi-square, 8 degrees, 1 %
    assert abs(draws["1.flip"].float().mean() - 0.5) < 0.02


def test_shift_moves_and_repeats_the_border() -> None:
    images = batch(1, 4).float() / 255
    policy = augment.policy("shift_flip")
    down, right = torch.tensor([0.0, 0.125, -0.25, 0.1]), torch.tensor([0.0, -0.125, 0.25, 0.1])
    draws = {"0.down": down, "0.right": right, "0.cos": torch.ones(4), "0.sin": torch.zeros(4)}
    draws = {k: v.unsqueeze(0) for k, v in {**draws, "1.flip": torch.zeros(4, dtype=torch.bool)}.items()}
    result = policy.apply(images, draws)[0]
    torch.testing.assert_close(result[0], images[0, 0], atol=1e-5, rtol=0)
    for i, (dy, dx) in enumerate([(4, -4), (-8, 8)], start=1):
        rows, columns = (torch.arange(32) + dy).clamp(0, 31), (torch.arange(32) + dx).clamp(0, 31)
        torch.testing.assert_close(result[i], images[0, i][:, rows][:, :, columns], atol=1e-4, rtol=0)


def test_shift_with_rotation_against_a_loop() -> None:
    image = batch(1, 1, 1, 12, 12).float() / 255
    angle, down, right = torch.tensor(0.3), 0.1 * 12, -0.05 * 12
    names = {"0.down": torch.tensor(0.1), "0.right": torch.tensor(-0.05), "0.cos": angle.cos(), "0.sin": angle.sin()}
    draws = {k: v.view(1, 1) for k, v in {**names, "1.flip": torch.tensor(False)}.items()}
    result = augment.policy("shift_flip_rotate20").apply(image, draws)[0, 0, 0]
    for y, x in ((0, 0), (3, 7), (6, 6), (11, 2)):
        v, u = y - 5.5, x - 5.5
        from_y = float(angle.sin() * u + angle.cos() * v + 5.5 + down)
        from_x = float(angle.cos() * u - angle.sin() * v + 5.5 + right)
        from_y, from_x = min(max(from_y, 0), 11), min(max(from_x, 0), 11)
        top, left = min(int(from_y), 10), min(int(from_x), 10)
        fy, fx = from_y - top, from_x - left
        part = image[0, 0, 0, top : top + 2, left : left + 2]
        expected = (part * torch.tensor([[1 - fy], [fy]]) * torch.tensor([[1 - fx, fx]])).sum()
        torch.testing.assert_close(result[y, x], expected, atol=1e-4, rtol=0)


def test_resized_crop_against_interpolate() -> None:
    images = batch(1, 6, 3, 40, 40).float() / 255
    step = augment.ResizedCrop(24)
    draws = step.draw(6, torch.Generator().manual_seed(0))
    result = step.image(images[0], draws)
    assert result.shape == (6, 3, 24, 24)
    for i in range(6):
        area, ratio = draws["area"][i] * 1600, draws["ratio"][i]
        sizes = torch.stack([(area / ratio).sqrt().round(), (area * ratio).sqrt().round()], dim=1).int().tolist()
        tall, wide = next(s for s in sizes if max(s) <= 40)
        top, left = int(draws["top"][i] * (41 - tall)), int(draws["left"][i] * (41 - wide))
        part = images[:1, i, :, top : top + tall, left : left + wide]
        expected = F.interpolate(part, (24, 24), mode="bilinear", align_corners=False)[0]
        inner = slice(2, -2)  # at the border the neighbours outside the part are seen
        torch.testing.assert_close(result[i][:, inner, inner], expected[:, inner, inner], atol=1e-4, rtol=0)


def test_resized_crop_falls_back_to_the_centre() -> None:
    step = augment.ResizedCrop(8, area=(5.0, 6.0))  # no try fits
    images = torch.rand(2, 3, 10, 30)
    result = step.image(images, step.draw(2, torch.Generator().manual_seed(0)))
    expected = F.interpolate(images[..., 8:21], (8, 8), mode="bilinear", align_corners=False)
    torch.testing.assert_close(result[..., 1:-1, 1:-1], expected[..., 1:-1, 1:-1], atol=1e-4, rtol=0)


def test_jitter_is_torchvisions() -> None:
    images = batch(1, 8)[0].float() / 255
    factors = [torch.rand(8) + 0.5 for _ in range(3)]
    turn = torch.rand(8) * 0.4 - 0.2
    result = jitter(images, *factors, turn)
    for i in range(8):
        expected = tv.adjust_brightness(images[i], factors[0][i].item())
        expected = tv.adjust_contrast(expected, factors[1][i].item())
        expected = tv.adjust_saturation(expected, factors[2][i].item())
        expected = tv.adjust_hue(expected, turn[i].item())
        torch.testing.assert_close(result[i], expected, atol=2e-5, rtol=0)
    grey = jitter(images[:, :1], *factors, turn)
    assert grey.shape == (8, 1, 32, 32)


@pytest.mark.parametrize("name", augment.names())
def test_every_policy_runs(name: str) -> None:
    images = batch(2, 3, 3, 256 if "224" in name else 36, 256 if "224" in name else 36)
    policy = augment.policy(name)
    before = images.clone()
    result = policy.apply(images, draws_for(policy, images))
    assert result.shape == (2, 3, 3, *policy.out_size(*images.shape[-2:]))
    assert torch.equal(images, before) and torch.isfinite(result.float()).all()


def test_centre_is_torchvisions() -> None:
    images = batch(1, 2, h=37, w=36)
    assert torch.equal(augment.policy("flip_crop32").centre(images), tv.center_crop(images, [32, 32]))
    assert torch.equal(augment.policy("crop_flip").centre(images), images)


def test_bad_input() -> None:
    with pytest.raises(InputError, match="Did you mean 'crop_flip'"):
        augment.policy("crop-flip")
    images = batch(2, 3)
    policy = augment.policy("crop_flip")
    with pytest.raises(InputError, match=r"draw 0.top has shape \(3,\)"):
        policy.apply(images, policy.draw(3, torch.Generator()))
    with pytest.raises(InputError, match="cannot crop 224x224"):
        augment.policy("crop224_flip").out_size(32, 32)

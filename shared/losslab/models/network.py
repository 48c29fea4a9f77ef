"""A classifier in two parts: a backbone that makes features and a head that makes logits."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

HeadFactory = Callable[[int, int], nn.Module]


class Network(nn.Module):
    """`head(backbone(images))`: images `(N, C, H, W)` to features `(N, d)` to logits `(N, K)`.

    `feature_dim` is d, `num_classes` is K.
    """

    def __init__(self, backbone: nn.Module, head: nn.Module, feature_dim: int, num_classes: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = head
        self.feature_dim = feature_dim
        self.num_classes = num_classes

    def features(self, images: Tensor) -> Tensor:
        """What the head sees: `(N, d)`."""
        features: Tensor = self.backbone(images)
        return features

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.head(self.backbone(images))
        return logits

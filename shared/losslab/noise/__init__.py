"""Wrong labels, missing samples, strangers among the images: every kind of imperfection that the papers train under."""

from losslab.noise import imbalance
from losslab.noise.corruption import corrupt, draws, kinds
from losslab.noise.flips import CIFAR100_SUPERCLASS, flip_map, flip_map_names, matrix_names, named_matrix, superclasses
from losslab.noise.human import read_human_labels
from losslab.noise.instance import confusable
from losslab.noise.matrices import transition_matrix
from losslab.noise.open_set import open_set, open_set_indices
from losslab.noise.summary import digest, realised

__all__ = [
    "CIFAR100_SUPERCLASS",
    "confusable",
    "corrupt",
    "digest",
    "draws",
    "flip_map",
    "flip_map_names",
    "imbalance",
    "kinds",
    "matrix_names",
    "named_matrix",
    "open_set",
    "open_set_indices",
    "read_human_labels",
    "realised",
    "superclasses",
    "transition_matrix",
]

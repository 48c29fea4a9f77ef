"""Named random streams.

Every random draw of the library (noise, splits, initial weights, batch orders, augmentation, generated data) comes from a
generator that is named by its purpose and its parts, for example ``generator("noise", "cifar10", "symmetric", 3)``. Two
streams with different names are independent; a stream does not depend on what was drawn before it, on the machine or on
the number of threads.
"""

import hashlib
import json
import operator

import numpy as np


def _digest(purpose: str, parts: tuple[int | str, ...]) -> bytes:
    if not isinstance(purpose, str) or not purpose:
        raise TypeError(f"the purpose of a random stream is a non-empty string, not {purpose!r}")
    name: list[int | str] = [purpose]
    for part in parts:
        if isinstance(part, str):
            name.append(part)
        else:
            name.append(operator.index(part))
    return hashlib.sha256(json.dumps(name, ensure_ascii=True, separators=(",", ":")).encode("ascii")).digest()


def generator(purpose: str, *parts: int | str) -> np.random.Generator:
    """numpy generator (PCG64) seeded by the SHA-256 of the name.

    ``purpose`` says what is drawn; ``parts`` are integers (numpy's too) or strings. The integer 1 and the string "1" name
    different streams. Raises TypeError for anything else, floats included: their text form is not one thing.
    """
    return np.random.Generator(np.random.PCG64(int.from_bytes(_digest(purpose, parts), "big")))


def torch_seed(purpose: str, *parts: int | str) -> int:
    """63-bit non-negative seed for ``torch.Generator.manual_seed`` or ``torch.manual_seed``, named as in `generator`."""
    return int.from_bytes(_digest(purpose, parts)[:8], "big") >> 1

"""Named streams: the same everywhere, independent of one another."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest

from losslab.seeding import generator, torch_seed


def test_literal_values() -> None:
    assert generator("noise", "cifar10", 3).integers(0, 1000, 6).tolist() == [504, 851, 331, 197, 951, 852]
    name = hashlib.sha256(b'["noise","cifar10",3]').digest()
    by_hand = np.random.Generator(np.random.PCG64(int.from_bytes(name, "big")))
    assert by_hand.random() == generator("noise", "cifar10", 3).random()
    assert torch_seed("noise", "cifar10", 3) == int.from_bytes(name[:8], "big") // 2


def test_one_name_one_stream() -> None:
    assert generator("a", 1).random(5).tolist() == generator("a", np.int32(1)).random(5).tolist()
    names = [("a", 1), ("a", "1"), ("a",), ("a", 1, 0), ("a1",), ("a", 11), ("a", "1", ""), ("b", 1), ("a", -1)]
    assert len({generator(*name).integers(0, 2**62) for name in names}) == len(names)
    assert len({torch_seed(*name) for name in names}) == len(names)
    assert all(0 <= torch_seed("x", i) < 2**63 for i in range(100))


@pytest.mark.parametrize("name", [("", 1), (1, 2), ("a", 0.5), ("a", None)])
def test_bad_names(name: tuple) -> None:
    with pytest.raises(TypeError):
        generator(*name)


def test_noise_imports_no_heavy_module() -> None:
    code = (
        "import sys, losslab.noise, losslab.data; "
        "print([m for m in ('pandas','matplotlib','sklearn','torchvision','PIL','safetensors') if m in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )

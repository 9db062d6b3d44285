"""Programs made at random, with views, writes, masks, aliases and bodies, against the same programs in plain NumPy."""

import numpy as np
import pytest
from random_programs.comparing import compare
from random_programs.drawing import EVERYTHING, drawn_arguments
from random_programs.programs import Builder


def program_of(seed, closes_over):
    random = np.random.default_rng([77, seed])
    builder = Builder(random, drawn_arguments(random), closes_over)
    return builder.build(EVERYTHING, int(random.integers(2, 14)))


@pytest.mark.parametrize("closes_over", [False, True])
@pytest.mark.parametrize("seed", range(0, 240, 8))
def test_compiled_and_plain_agree(seed, closes_over):
    for number in range(seed, seed + 4):
        compare(program_of(number, closes_over))


@pytest.mark.parametrize("options", [{"backend": "reference"}, {"mode": "check"}])
@pytest.mark.parametrize("seed", range(300, 312))
def test_other_executors_agree(seed, options):
    compare(program_of(seed, closes_over=False), **options)

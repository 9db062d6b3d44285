"""Which loops are rolled without being asked to, and what that saves."""

import numpy as np
from work import count_lines

import tracer


def steps(x, count):
    y = x
    for i in range(count):
        y = np.sin(y) * 0.9 + 0.1 * x + i
    return np.sum(y)


def test_short_loops_stay_unrolled_and_long_ones_do_not():
    for count, is_rolled in ((40, False), (200, True), (5000, True)):
        compiled = tracer.compile(steps)
        compiled(np.ones(3), count)
        assert ("rolls the loop" in compiled.explain()) == is_rolled


def test_ten_thousand_steps_compile_in_the_work_of_a_few_hundred():
    def work(count):
        return count_lines(tracer.compile(tracer.value_and_grad(steps)).plan, np.ones(3), count)

    work(6000)
    assert work(60000) < 1.5 * work(6000)

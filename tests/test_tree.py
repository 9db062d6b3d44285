"""Nests of containers."""

import collections
import dataclasses

import pytest

from tracer import tree

Pair = collections.namedtuple("Pair", "left right")


@dataclasses.dataclass(frozen=True)
class Model:
    weight: float
    layers: tuple


NESTS = [
    1,
    None,
    (),
    (1, [2, {"a": 3}]),
    {"b": 1, "a": (2, None)},
    collections.OrderedDict(x=1, y=[2]),
    Pair(1, Pair(2, None)),
    Model(1.0, (2, Model(3.0, ()))),
]


@pytest.mark.parametrize("nest", NESTS, ids=repr)
def test_flatten_and_unflatten_are_inverse(nest):
    leaves, structure = tree.flatten(nest)
    again = tree.unflatten(structure, leaves)
    assert again == nest and type(again) is type(nest)
    assert structure.leaf_count == len(leaves)
    assert len(tree.leaf_paths(structure, "x")) == len(leaves)
    assert tree.flatten(again)[1] == structure and hash(structure) == hash(tree.flatten(again)[1])


def test_dicts_keep_their_order_and_it_is_part_of_the_structure():
    assert tree.flatten({"b": 1, "a": 2})[0] == [1, 2]
    assert tree.flatten({"b": 1, "a": 2})[1] != tree.flatten({"a": 2, "b": 1})[1]


def test_paths_read_as_a_user_would_write_them():
    structure = tree.flatten((Model(1.0, ([2],)), {"k": Pair(1, 2)}))[1]
    assert tree.leaf_paths(structure, "p") == ["p[0].weight", "p[0].layers[0][0]", "p[1]['k'].left", "p[1]['k'].right"]


def test_map_leaves_needs_one_structure():
    assert tree.map_leaves(lambda a, b: a * b, [1, (2,)], [3, (4,)]) == [3, (8,)]
    with pytest.raises(ValueError, match="structure"):
        tree.map_leaves(lambda a, b: a, [1], (1,))

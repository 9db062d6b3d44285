"""Einstein summation: contracted pair by pair, each pair lowered to views, a matrix product, or product and sum."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tracer.graph.op import OPS, composite
from tracer.graph.rules import lift_arrays
from tracer.records import NamedTuple
from tracer.types import promote


class _Term(NamedTuple):
    """An array with a letter per axis."""

    array: Any
    letters: str


def _sum_letters(term: _Term, keep: str) -> _Term:
    """Sum the axes whose letter is not kept, in the array's own dtype as einsum does."""
    axes = tuple(place for place, letter in enumerate(term.letters) if letter not in keep)
    if not axes:
        return term
    name = "any" if term.array.dtype.kind == "b" else "sum"
    summed = OPS[name](term.array, axes=axes, keepdims=False)
    return _Term(summed, "".join(letter for letter in term.letters if letter in keep))


def _without_repeats(term: _Term) -> _Term:
    """Take diagonals until every letter stands once."""
    array, letters = term
    for letter in dict.fromkeys(letters):
        while letters.count(letter) > 1:
            first = letters.index(letter)
            second = letters.index(letter, first + 1)
            array = np.diagonal(array, 0, first, second)
            rest = letters[:first] + letters[first + 1 : second] + letters[second + 1 :]
            letters = rest + letter
    return _Term(array, letters)


def _arranged(term: _Term, letters: str) -> Any:
    """The array with its axes in the order of letters, with axes of size 1 for those it has not."""
    present = [letter for letter in letters if letter in term.letters]
    order = [term.letters.index(letter) for letter in present]
    array = np.transpose(term.array, order) if order != sorted(order) else term.array
    if len(present) == len(letters):
        return array
    sizes = dict(zip(term.letters, term.array.shape, strict=True))
    return np.reshape(array, tuple(sizes.get(letter, 1) for letter in letters))


def _contract(a: _Term, b: _Term, keep: str) -> _Term:
    """Multiply two terms and sum what neither the result nor a later term needs."""
    a = _sum_letters(a, keep + b.letters)
    b = _sum_letters(b, keep + a.letters)
    shared = [letter for letter in a.letters if letter in b.letters]
    batch = "".join(letter for letter in shared if letter in keep)
    inner = "".join(letter for letter in shared if letter not in keep)
    rows = "".join(letter for letter in a.letters if letter not in shared)
    columns = "".join(letter for letter in b.letters if letter not in shared)
    if not inner:
        letters = batch + rows + columns
        return _Term(np.multiply(_arranged(a, letters), _arranged(b, letters)), letters)
    if batch and not rows and not columns:
        product = _Term(np.multiply(_arranged(a, batch + inner), _arranged(b, batch + inner)), batch + inner)
        return _sum_letters(product, batch)
    sizes = dict(zip(a.letters + b.letters, a.array.shape + b.array.shape, strict=True))

    def size(letters: str) -> int:
        return int(np.prod([sizes[letter] for letter in letters], dtype=np.int64))

    outer = tuple(sizes[letter] for letter in batch)
    left = np.reshape(_arranged(a, batch + rows + inner), (*outer, size(rows), size(inner)))
    right = np.reshape(_arranged(b, batch + inner + columns), (*outer, size(inner), size(columns)))
    letters = batch + rows + columns
    return _Term(np.reshape(np.matmul(left, right), tuple(sizes[letter] for letter in letters)), letters)


def _sizes(terms: Sequence[_Term]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    for number, (array, letters) in enumerate(terms):
        if len(letters) != array.ndim:
            raise ValueError(
                f"einstein sum subscripts string contains {'too many' if len(letters) > array.ndim else 'too few'} "
                f"subscripts for operand {number}"
            )
        for letter, size in zip(letters, array.shape, strict=True):
            known = sizes.get(letter, 1)
            if known not in (1, size) and size != 1:
                raise ValueError(
                    f"operands could not be broadcast together with remapped shapes [original->remapped]: index "
                    f"{letter!r} has size {size} in operand {number} and {known} before"
                )
            sizes[letter] = size if known == 1 else known
    return sizes


def _full(term: _Term, sizes: dict[str, int]) -> _Term:
    """Drop axes of size 1 that stand for a longer index elsewhere."""
    wide = [size == sizes[letter] for letter, size in zip(term.letters, term.array.shape, strict=True)]
    if all(wide):
        return term
    gone = tuple(place for place, fits in enumerate(wide) if not fits)
    letters = "".join(letter for letter, fits in zip(term.letters, wide, strict=True) if fits)
    return _Term(np.squeeze(term.array, gone), letters)


def _path(terms: Sequence[_Term], output: str, optimize: Any) -> list[tuple[int, ...]]:
    """Which terms to contract, one after another."""
    if len(terms) <= 2:
        return [tuple(range(len(terms)))]
    import opt_einsum

    if isinstance(optimize, list | tuple) and optimize and optimize[0] == "einsum_path":
        return [tuple(step) for step in optimize[1:]]
    subscripts = ",".join(term.letters for term in terms) + "->" + output
    kind = optimize if isinstance(optimize, str) else "auto"
    path, _ = opt_einsum.contract_path(subscripts, *(term.array.shape for term in terms), shapes=True, optimize=kind)
    return [tuple(step) for step in path]


_M: tuple[tuple[int, ...], ...] = ((2, 3), (3, 4))


@composite(
    np.einsum,
    examples=(
        (lambda a, b: np.einsum("ij,jk->ik", a, b), _M),
        (lambda a, b: np.einsum("ij,jk", a, b), _M),
        (lambda a, b: np.einsum("ij,jk->", a, b), _M),
        (lambda a, b: np.einsum("ij,jk->kj", a, b), _M),
        (lambda a: np.einsum("ii", a), ((3, 3),)),
        (lambda a: np.einsum("ii->i", a), ((3, 3),)),
        (lambda a: np.einsum("iji->j", a), ((2, 3, 2),)),
        (lambda a: np.einsum("ijk->kj", a), ((2, 3, 4),)),
        (lambda a, b: np.einsum("i,j", a, b), ((2,), (3,))),
        (lambda a, b: np.einsum("bij,bjk->bik", a, b), ((5, 2, 3), (5, 3, 4))),
        (lambda a, b: np.einsum("...ij,...jk", a, b), ((5, 2, 3), (3, 4))),
        (lambda a, b: np.einsum("...i,...i->...", a, b), ((2, 3), (2, 3))),
        (lambda a, b: np.einsum(a, [0, 1], b, [1, 2], [2, 0]), _M),
        (lambda a, b, c: np.einsum("ij,jk,kl->il", a, b, c), ((2, 3), (3, 4), (4, 2))),
        (lambda a, b, c: np.einsum("i,ij,j", a, b, c), ((2,), (2, 3), (3,))),
    ),
)
def _einsum(*operands: Any, out: Any = None, optimize: Any = False, dtype: Any = None, **_: Any) -> Any:
    """Einstein summation, in all forms of np.einsum."""
    from opt_einsum.parser import parse_einsum_input

    kinds = (int, float, complex) if isinstance(operands[0], str) else ()
    positions = [place for place, item in enumerate(operands) if hasattr(item, "shape") or isinstance(item, kinds)]
    lifted = list(operands)
    for place, item in zip(positions, lift_arrays(*(operands[place] for place in positions)), strict=True):
        lifted[place] = item
    inputs, output, found = parse_einsum_input(lifted)
    kind = promote(item.dtype for item in found) if dtype is None else np.dtype(dtype)
    terms = [
        _Term(item if item.dtype == kind else item.astype(kind), letters)
        for item, letters in zip(found, inputs.split(","), strict=True)
    ]
    sizes = _sizes(terms)
    for letter in output:
        if output.count(letter) > 1 or letter not in sizes:
            raise ValueError(f"einstein sum subscripts string: output index {letter!r} is not one input index")
    terms = [_without_repeats(_full(term, sizes)) for term in terms]
    for step in _path(terms, output, optimize):
        chosen = [terms[place] for place in step]
        terms = [term for place, term in enumerate(terms) if place not in step]
        keep = output + "".join(term.letters for term in terms)
        result = chosen[0]
        for number, term in enumerate(chosen[1:], 2):
            later = "".join(item.letters for item in chosen[number:])
            result = _contract(result, term, keep + later)
        terms.append(result)
    return _arranged(_sum_letters(terms[0], output), output)


@composite(np.einsum_path)
def _einsum_path(*operands: Any, optimize: Any = "greedy", einsum_call: bool = False) -> Any:
    """The order in which np.einsum would contract."""
    shapes = [np.empty(item.shape) if hasattr(item, "shape") else item for item in operands]
    return np.einsum_path(*shapes, optimize=optimize)

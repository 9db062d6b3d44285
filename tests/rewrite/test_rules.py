"""Every rule: pattern and replacement agree, the replacement holds where the pattern fails, the graph is rewritten."""

import numpy as np
import pytest
from rewrite.traced_graphs import compute, graph_of, variable

from tracer.graph.graph import Graph, verify
from tracer.rewrite.algebra import ALGEBRA
from tracer.rewrite.canonical import CANONICAL
from tracer.rewrite.driver import rewrite
from tracer.rewrite.rule import ALL_AXES, Apply, NodeRule, Rule, Wildcard, is_number
from tracer.rewrite.stabilise import STABILISE
from tracer.tracing.proxy import apply_op, unwrap

LISTS = {"canonical": CANONICAL, "stabilise": STABILISE, "algebra": ALGEBRA}
ALL = [pytest.param(rule, id=f"{name}: {rule.name}") for name, rules in LISTS.items() for rule in rules]
PATTERNS = [item for item in ALL if isinstance(item.values[0], Rule)]
EXTREME = [item for item in PATTERNS if item.values[0].extreme]


def run(function, values):
    """Call a function with those values that it has parameters for."""
    names = function.__code__.co_varnames[: function.__code__.co_argcount]
    with np.errstate(all="ignore"):
        return np.asarray(function(*(values[name] for name in names)))


def value_names(term):
    """Wildcards of a pattern that stand for values, not for parameters of ops nor for constants."""
    found = set()
    for item in term.inputs:
        if isinstance(item, Apply):
            found |= value_names(item)
        elif isinstance(item, Wildcard) and not item.scalar:
            found.add(item.name)
    return found


def instance(term, values):
    """The pattern as a graph: values for wildcards, the ops exactly as they stand."""
    if isinstance(term, Wildcard):
        return values[term.name]
    if not isinstance(term, Apply):
        return term
    inputs = [instance(item, values) for item in term.inputs]
    params = {}
    for name, value in term.params.items():
        if value is ALL_AXES:
            value = tuple(range(inputs[0].ndim))
        params[name] = values[value.name] if isinstance(value, Wildcard) else value
    return apply_op(term.op, inputs, params)


def instantiate(rule, example):
    """The graph of a rule's pattern on its example, and the arrays of its inputs."""
    if isinstance(rule, NodeRule):
        return graph_of(rule.pattern, *example.values()), list(example.values())
    names = sorted(value_names(rule.term))
    values = dict(example)
    values.update({name: variable(example[name], name) for name in names})
    node = unwrap(instance(rule.term, values))
    return Graph(tuple(values[name].__tracer_node__ for name in names), (node,)), [example[name] for name in names]


def single(example):
    """An example in single precision."""
    if "dtype" in example:
        return example
    return {
        name: np.float32(value.clip(-1e15, 1e15)) if getattr(value, "dtype", None) == np.float64 else value
        for name, value in example.items()
    }


@pytest.mark.parametrize("rule", PATTERNS)
def test_pattern_and_replacement_agree(rule):
    left, right = run(rule.pattern, rule.example), run(rule.build, rule.example)
    np.testing.assert_allclose(np.broadcast_to(right, left.shape), left, rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("rule", EXTREME)
def test_replacement_holds_where_the_pattern_fails(rule):
    example, expected = rule.extreme
    right = run(rule.build, example)
    np.testing.assert_allclose(right, expected, rtol=1e-13, atol=0)
    left = run(rule.pattern, example)
    assert not np.allclose(left, expected, rtol=1e-8, atol=0), "the pattern is right here too"


@pytest.mark.parametrize("precision", [dict, single])
@pytest.mark.parametrize("rule", ALL)
def test_graph_is_rewritten(rule, precision):
    example = precision(rule.example)
    graph, values = instantiate(rule, example)
    new = rewrite(graph, [rule], strict=True)
    assert new.outputs[0] is not graph.outputs[0], "the rule does not apply to its own example"
    assert new.outputs[0].type == graph.outputs[0].type
    verify(new)
    for node in new.nodes():
        built = rule.apply(node) if node.inputs else None
        assert built is None or built is node, "the pattern is still there"
    tolerance = 1e-13 if graph.outputs[0].dtype == np.float64 else 2e-6
    np.testing.assert_allclose(
        compute(new, *values)[0], compute(graph, *values)[0], rtol=tolerance, atol=tolerance / 10
    )


@pytest.mark.parametrize("rule", PATTERNS)
def test_frozen_root_is_not_matched(rule):
    graph, _ = instantiate(rule, rule.example)
    assert rewrite(graph, [rule], frozen=frozenset(graph.outputs)).outputs == graph.outputs


@pytest.mark.parametrize("rule", [item for item in PATTERNS if item.values[0] in CANONICAL])
def test_identities_keep_signed_zeros_and_nan(rule):
    if "sum" in rule.name or "**" in rule.name:
        return
    left, right = run(rule.pattern, rule.example), run(rule.build, rule.example)
    right = np.broadcast_to(right, left.shape)
    np.testing.assert_array_equal(left, right)
    numbers = ~np.isnan(left) if left.dtype.kind == "f" else np.ones(left.shape, bool)
    np.testing.assert_array_equal(np.signbit(left[numbers].astype(float)), np.signbit(right[numbers].astype(float)))


def test_names_are_unique():
    names = [rule.name for rules in LISTS.values() for rule in rules]
    assert len(set(names)) == len(names)


def test_literals_match_by_value():
    assert is_number(np.float32(1), 1) and is_number(np.int8(1), 1.0) and is_number(np.complex64(1), 1)
    assert not is_number(np.bool_(True), 1) and not is_number(np.float64(1), True)
    assert is_number(np.float64(0.0), 0) and not is_number(np.float64(-0.0), 0)
    assert is_number(np.float64(-0.0), -0.0) and not is_number(np.float64(0.0), -0.0)


def test_a_wrong_rule_is_caught():
    wrong = Rule("wrong", lambda x: np.exp(x) - 1, lambda x: np.exp(x), example={"x": np.ones(2)})
    with pytest.raises(AssertionError):
        test_pattern_and_replacement_agree(wrong)
    with pytest.raises(AssertionError, match="Not equal"):
        test_graph_is_rewritten(wrong, dict)


def test_a_rule_that_never_fires_is_caught():
    idle = Rule("idle", lambda x: np.exp(x) - 1, lambda x: np.expm1(x), when=lambda x: False, example={"x": np.ones(2)})
    with pytest.raises(AssertionError, match="does not apply"):
        test_graph_is_rewritten(idle, dict)


def test_patterns_refuse_what_they_cannot_say():
    with pytest.raises(TypeError, match="cumsum"):
        _ = Rule("odd", lambda x: np.cumsum(x), lambda x: x).term
    with pytest.raises(TypeError, match=r"add\.reduce"):
        _ = Rule("odd", lambda x: np.add.reduce(x), lambda x: x).term
    with pytest.raises(TypeError, match="'odd' is not an op"):
        _ = Rule("odd", lambda x: x, lambda x: x).term

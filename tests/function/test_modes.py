"""Modes: what they choose, what they check, and that they find faults."""

import numpy as np
import pytest

import tracer as theano
import tracer.tensor as T
from tracer.function import function
from tracer.graph.graph import Graph
from tracer.rewrite import passes
from tracer.run import cpu, reference
from tracer.symbolic import checking_modes, modes
from tracer.symbolic.checking_modes import DebugMode, MonitorMode, NanGuardMode, detect_nan
from tracer.symbolic.mode import Mode
from tracer.symbolic.modes import get_default_mode, get_mode, register_mode
from tracer.tensor.shared_randomstreams import RandomStreams

EVERY = [
    None,
    "FAST_RUN",
    "FAST_COMPILE",
    "Mode",
    "DebugMode",
    "DEBUG_MODE",
    "NanGuardMode",
    "MonitorMode",
    Mode("py", "None"),
    Mode(linker="c|py", optimizer="fast_compile"),
    Mode().excluding("stabilize").including("stabilise").requiring("specialize"),
]


def last_graph(f):
    return f.program.last_plan.graph


def ops_of(f):
    return [node.op.name for node in last_graph(f).nodes() if node.inputs]


@pytest.mark.parametrize("mode", EVERY, ids=str)
def test_every_mode_gives_the_same(mode):
    x, w = T.dvector("x"), theano.shared(np.ones(3))
    noise = RandomStreams(5).uniform((3,))
    f = function([x], [T.log(1 + T.exp(x)).sum() + w.sum(), noise], updates=[(w, w * x)], mode=mode)
    expected = RandomStreams(5).uniform((3,)).eval()
    for _ in range(2):
        w.set_value(np.ones(3))
        total, numbers = f([1, 2, 3])
        np.testing.assert_allclose(total, np.log1p(np.exp([1, 2, 3])).sum() + 3)
        assert numbers.shape == (3,) and not np.array_equal(numbers, f([1, 2, 3])[1])
        np.testing.assert_array_equal(w.get_value(), [1, 4, 9])
    np.testing.assert_array_equal(function([], noise, no_default_updates=True)().shape, expected.shape)


def test_optimisers_choose_rewrites():
    x = T.dscalar("x")
    y = T.log(1 + x)
    assert ops_of_call(y, x, "FAST_RUN") == ["log1p"]
    assert "log1p" not in ops_of_call(y, x, "FAST_COMPILE")
    assert "log1p" not in ops_of_call(y, x, Mode().excluding("stabilize"))
    assert ops_of_call(y, x, Mode(optimizer="None").including("stabilize")) == ["log1p"]
    assert ops_of_call(y, x, Mode(optimizer="fast_run").requiring("stabilize")) == ["log1p"]
    with theano.config.changed(optimizer="None"):
        assert "log1p" not in ops_of_call(y, x, None)
    with theano.config.changed(mode="FAST_COMPILE"):
        assert "log1p" not in ops_of_call(y, x, None)
    with theano.config.changed(optimizer_excluding="stabilize:other"):
        assert "log1p" not in ops_of_call(y, x, None)
    with theano.config.changed(optimizer="None", optimizer_including="stabilize"):
        assert ops_of_call(y, x, None) == ["log1p"]
    with theano.config.changed(optimizer_requiring="specialize"):
        assert "log1p" not in ops_of_call(y, x, None)


def ops_of_call(y, x, mode):
    f = function([x], y, mode=mode)
    f(1.0)
    return ops_of(f)


def test_linkers_choose_executors():
    x = T.dscalar("x")
    f = function([x], x + 1, mode=Mode(linker="py"))
    f(1.0)
    assert isinstance(f.program.last_plan.executable, reference.Executable)
    for linker in ("cvm", "c", "native", "vm"):
        f = function([x], x + 1, mode=Mode(linker=linker))
        f(1.0)
        assert isinstance(f.program.last_plan.executable, cpu.Executable)
    with theano.config.changed(linker="py"):
        assert get_default_mode().linker == "py"


def test_modes_by_name():
    assert get_mode("FAST_RUN").optimizer == "fast_run" and get_mode(modes.FAST_COMPILE) is modes.FAST_COMPILE
    with pytest.raises(ValueError, match=r"there is no mode 'FAST_RUM'(.|\n)*FAST_RUN"):
        get_mode("FAST_RUM")
    with pytest.raises(TypeError, match="there is no mode 3"):
        get_mode(3)
    with pytest.raises(ValueError, match="there is no linker 'gpu'"):
        Mode(linker="gpu")
    with pytest.raises(ValueError, match="there is no optimizer 'best'"):
        Mode(optimizer="best")
    mine = Mode(linker="py")
    register_mode("mine", mine)
    try:
        assert get_mode("mine") is mine
        with pytest.raises(ValueError, match="already is a mode"):
            register_mode("mine", mine)
    finally:
        del modes.predefined_modes["mine"]
    assert "fast_compile" in repr(Mode(optimizer="fast_compile").clone(linker="py"))


# --- DebugMode ---------------------------------------------------------------------------------------------------


def debug(**options):
    x = T.dvector("x")
    y = T.exp(x) * 2
    return function([x], y, mode=DebugMode(**options), name="debugged")


def assert_place(error):
    assert __file__ in str(error) and "debugged" in str(error)


def test_debug_mode_finds_a_wrong_rewrite(monkeypatch):
    def wrong(graph):
        return Graph(graph.inputs, tuple(node.inputs[0] if node.inputs else node for node in graph.outputs))

    monkeypatch.setattr(passes, "PASSES", [*passes.PASSES, ("wrong pass", wrong)])
    with pytest.raises(checking_modes.BadOptimization, match="the pass 'wrong pass' changed output 0") as caught:
        debug()(np.ones(3))
    assert_place(caught.value)


class _WrongExecutable(cpu.Executable):
    """As a kernel that is wrong."""

    wrong_op = "exp"

    def run(self, arrays):
        found = super().run(arrays)
        names = {node.op.name for nodes in self.program.nodes for node in nodes}
        return [item * (1 + 1e-3) for item in found] if names == {self.wrong_op} else found


def test_debug_mode_finds_a_wrong_kernel(monkeypatch):
    monkeypatch.setattr(checking_modes.cpu, "Executable", _WrongExecutable)
    with pytest.raises(checking_modes.BadThunkOutput, match=r"disagree on exp(.|\n)*3 of 3 values") as caught:
        debug()(np.ones(3))
    assert_place(caught.value)
    debug(check_c_code=False)(np.ones(3))


def test_debug_mode_finds_a_wrong_program(monkeypatch):
    class Wrong(_WrongExecutable):
        def run(self, arrays):
            found = cpu_run(self, arrays)
            return [item + 1 for item in found] if sum(map(len, self.program.nodes)) > 1 else found

    cpu_run = cpu.Executable.run
    monkeypatch.setattr(checking_modes.cpu, "Executable", Wrong)
    with pytest.raises(checking_modes.BadThunkOutput, match="the whole program"):
        debug()(np.ones(3))


def test_debug_mode_finds_programs_that_touch_what_is_not_theirs(monkeypatch):
    class Destroying(cpu.Executable):
        def run(self, arrays):
            found = super().run(arrays)
            arrays[0][:] = 7
            return found

    class Viewing(cpu.Executable):
        def run(self, arrays):
            found = super().run(arrays)
            arrays[0][:] = found[0]
            found[0][:] = arrays[0]
            return [arrays[0]]

    options = {"check_c_code": False, "check_py_code": False}
    monkeypatch.setattr(checking_modes.cpu, "Executable", Destroying)
    with pytest.raises(checking_modes.BadDestroyMap, match="changed its argument x"):
        debug(**options)(np.ones(3))
    x = T.dvector("x")
    monkeypatch.setattr(checking_modes.cpu, "Executable", Viewing)
    with pytest.raises(checking_modes.BadViewMap, match="output 0 of 'f' shares memory"):
        function([x], x * 1, mode=DebugMode(**options), name="f")(np.ones(3))


def test_debug_mode_finds_rewrites_that_are_not_always_the_same(monkeypatch):
    state = []

    def flipping(graph):
        state.append(1)
        return graph if len(state) % 2 else Graph(graph.inputs, (graph.outputs[0].inputs[0],))

    monkeypatch.setattr(passes, "PASSES", [("flipping", flipping)])
    with pytest.raises(checking_modes.StochasticOrder, match="gave different graphs"):
        debug()(np.ones(3))


def test_debug_mode_finds_values_that_are_not_finite():
    with pytest.raises(checking_modes.InvalidValueError, match="exp in 'debugged' gave values") as caught:
        debug()(np.array([1.0, 1000.0]))
    assert_place(caught.value)
    assert debug(check_isfinite=False)(np.array([1000.0])) == np.inf
    with theano.config.changed(**{"DebugMode.check_finite": False}):
        assert debug()(np.array([1000.0])) == np.inf


def test_errors_of_debug_mode_are_relatives():
    kinds = ("BadThunkOutput", "BadOptimization", "BadDestroyMap", "BadViewMap", "StochasticOrder", "InvalidValueError")
    for kind in kinds:
        assert issubclass(getattr(checking_modes, kind), checking_modes.DebugModeError)


# --- NanGuardMode ------------------------------------------------------------------------------------------------


def guarded(mode):
    x = T.dvector("x")
    y = T.log(x)
    return function([x], (y * 2).sum(), mode=mode, name="guarded")


@pytest.mark.parametrize(
    ("kind", "bad", "option"),
    [
        ("NaN detected in the result of log", [1.0, -1.0, 2.0], "nan_is_error"),
        ("Inf detected in the result of log", [0.0], "inf_is_error"),
        ("Big value detected in the input x", [1e11, 1.0], "big_is_error"),
        ("NaN detected in the input x", [np.nan], "nan_is_error"),
    ],
)
def test_nan_guard_names_operation_and_line(kind, bad, option):
    f = guarded(NanGuardMode())
    f([1.0, 2.0])
    with pytest.raises(AssertionError, match=kind) as caught:
        f(bad)
    text = str(caught.value)
    assert "'guarded'" in text and f"1 of {len(bad)} values" in text
    assert "the input" in text or __file__ in text
    with np.errstate(all="ignore"):
        guarded(NanGuardMode(**{option: False, "big_is_error": False, "inf_is_error": option != "inf_is_error"}))(bad)


def test_nan_guard_sees_what_is_lost_on_the_way():
    x = T.dscalar("x")
    y = T.switch(x > 0, T.log(x), 0.0)
    assert function([x], y)(-1.0) == 0
    with pytest.raises(checking_modes.NanGuardError):
        function([x], y, mode=NanGuardMode())(-1.0)


def test_settings_of_nan_guard():
    with theano.config.changed(**{"NanGuardMode.nan_is_error": False}):
        assert np.isnan(guarded("NanGuardMode")([-1.0]))


# --- MonitorMode -------------------------------------------------------------------------------------------------


def test_monitor_mode_calls_before_and_after():
    seen = []

    def before(i, node, fn):
        seen.append(("before", i, node.op.name, [item[0].tolist() for item in fn.inputs], fn.outputs[0][0]))

    def after(i, node, fn):
        seen.append(("after", i, node.op.name, [item[0].tolist() for item in fn.outputs]))

    x = T.dscalar("x")
    assert function([x], T.exp(x) + x, mode=MonitorMode(before, after))(0.0) == 1
    assert seen == [
        ("before", 0, "exp", [0.0], None),
        ("after", 0, "exp", [1.0]),
        ("before", 1, "add", [1.0, 0.0], None),
        ("after", 1, "add", [1.0]),
    ]


def test_monitors_may_change_results():
    def zero(i, node, fn):
        if node.op.name == "exp":
            fn.outputs[0][0] = np.zeros_like(fn.outputs[0][0])

    x = T.dscalar("x")
    assert function([x], T.exp(x) + x, mode=MonitorMode(post_func=zero))(5.0) == 5


def test_detect_nan(capsys):
    f = guarded(MonitorMode(post_func=detect_nan))
    f([1.0])
    assert capsys.readouterr().out == ""
    f([-1.0])
    text = capsys.readouterr().out
    assert "NaN detected" in text and "log at" in text and __file__ in text and "[array([-1.])]" in text


def test_errors_in_checked_modes_have_their_line():
    x, i = T.dvector("x"), T.lscalar("i")
    for mode in (MonitorMode(), NanGuardMode(), DebugMode(), Mode("py")):
        with pytest.raises(IndexError) as caught:
            function([x, i], x[i], mode=mode)(np.ones(2), 5)
        assert __file__ in "\n".join(caught.value.__notes__)

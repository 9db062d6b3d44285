"""The code in the README and in the guide runs, from top to bottom."""

import linecache
import operator
import re
from pathlib import Path

import tracer

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
JAX_GUIDE = ROOT / "COMING_FROM_JAX.md"


def run_page(page: Path) -> None:
    """Run the Python code of a page, from top to bottom, as a notebook would: it has the page as its source."""
    code, is_code = "", False
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            is_code, line = line == "```python", ""
        code += (line if is_code else "") + "\n"
    name = str(page)
    linecache.cache[name] = (len(code), None, code.splitlines(keepends=True), name)
    exec(compile(code, name, "exec"), {"__name__": page.stem})


def test_readme_runs(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_page(README)
    printed = capsys.readouterr().out
    assert "(x + y) * exp(-x)" in printed
    assert "HINT" in printed and "README.md" in printed
    assert (tmp_path / "f.dot").read_text().startswith("digraph")


def test_readme_names_every_setting():
    """Those that have a variable of the environment to themselves."""
    text = README.read_text(encoding="utf-8")
    named = set(re.findall(r"TRACER_[A-Z_]+", tracer.config.__doc__ or ""))
    assert {"TRACER_FLAGS", "TRACER_THREADS", "TRACER_CHECK_NAN", "TRACER_BACKEND", "TRACER_VERIFY"} <= named
    for variable in named:
        assert variable in text


def test_guide_runs(capsys):
    run_page(ROOT / "COMING_FROM_THEANO.md")
    lines = capsys.readouterr().out.splitlines()
    assert float(lines[0]) < 0.1
    assert lines[1] == "[ 0.  1.  4.  9. 16. 25. 36. 49. 64. 81.]"
    assert float(lines[2]) == 1
    assert eval(lines[3], {"a": 3.0, "c": 5.0}) == 30


def test_guide_from_other_libraries_runs(capsys):
    run_page(JAX_GUIDE)
    assert capsys.readouterr().out.splitlines() == ["(20,) (20,)", "[-2.25 -4.   -2.25]", "True"]


def test_names_in_guide_from_other_libraries_exist():
    """Whatever the right columns of the tables say is the same, or in `tracer`."""
    rows = re.findall(r"^\| (.+) \| (.+) \|$", JAX_GUIDE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) > 30
    for theirs, here in rows:
        for path in re.findall(r"`tracer((?:\.\w+)+)", here):
            operator.attrgetter(path[1:])(tracer)
        names = re.findall(r"`(\w+)`", here) + (re.findall(r"\w+", theirs) if here.startswith("the same") else [])
        for name in set(names) - {"jax", "lax", "torch", "func", "tracer"}:
            assert hasattr(tracer, name) or name in ("grad", "dataclasses"), name


def test_guide_imports_exist():
    """Every import line in the right column of the guide's table works."""
    text = (ROOT / "COMING_FROM_THEANO.md").read_text(encoding="utf-8")
    lines = re.findall(r"\| `((?:import|from) tracer[^`]*)` \|", text)
    assert len(lines) >= 9
    for line in lines:
        exec(line, {})

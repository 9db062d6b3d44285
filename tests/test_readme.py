"""The code in the README and in the guide runs, from top to bottom."""

import re
from pathlib import Path

import tracer

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"


def run_page(page: Path) -> None:
    """Run the Python code of a page, from top to bottom."""
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    exec(compile("\n".join(blocks), str(page), "exec"), {"__name__": page.stem})


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


def test_guide_imports_exist():
    """Every import line in the right column of the guide's table works."""
    text = (ROOT / "COMING_FROM_THEANO.md").read_text(encoding="utf-8")
    lines = re.findall(r"\| `((?:import|from) tracer[^`]*)` \|", text)
    assert len(lines) >= 9
    for line in lines:
        exec(line, {})

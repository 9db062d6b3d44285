"""The code in the README runs, from top to bottom."""

import re
from pathlib import Path

import tracer

README = Path(__file__).resolve().parent.parent / "README.md"


def test_readme_runs(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    code = "\n".join(blocks)
    exec(compile(code, str(README), "exec"), {"__name__": "readme"})
    printed = capsys.readouterr().out
    assert "(x + y) * exp(-x)" in printed
    assert "HINT" in printed and "README.md" in printed
    assert (tmp_path / "f.dot").read_text().startswith("digraph")


def test_readme_names_every_setting():
    text = README.read_text(encoding="utf-8")
    for name in vars(tracer.config):
        assert name.startswith("_") or f"tracer.config.{name}" in text

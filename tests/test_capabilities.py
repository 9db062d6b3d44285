"""The page of what is traced is up to date, and its rows say what is so."""

from pathlib import Path

import numpy as np
import pytest

from tracer import capabilities

ROOT = Path(__file__).resolve().parent.parent


def test_rows_say_what_is_so():
    tanh = capabilities._row(np.tanh, "numpy.tanh")
    assert tanh == capabilities.Row("numpy.tanh", "iufc", "yes", "yes", "rule", "kernels")
    assert capabilities._row(np.floor, "numpy.floor").reverse == "0"
    assert capabilities._row(np.argmax, "numpy.argmax").forward == "-"
    assert capabilities._row(np.sort, "numpy.sort").runs == "sort"
    assert capabilities._row(np.isnat, "numpy.isnat").reason
    assert capabilities._row(np.zeros, "numpy.zeros").runs == "static"


def test_a_function_without_a_traced_form_is_named_with_the_reason():
    rows = [capabilities._row(np.tanh, "tanh"), capabilities.Row("gone", reason="no traced form")]
    text = "\n".join(capabilities._table("a title", rows, ["save"]))
    assert "| `tanh` | iufc | yes | yes | rule | kernels |" in text
    assert "Not in the table, no traced form: `gone`." in text and "not of arrays: `save`" in text


def test_the_page_is_up_to_date():
    scipy = pytest.importorskip("scipy")
    written = (ROOT / capabilities.PAGE).read_text(encoding="utf-8")
    if f"NumPy {np.__version__} and SciPy {scipy.__version__}" not in written:
        pytest.skip("the page was written with other versions of NumPy and SciPy")
    assert capabilities.page() == written, "run `python -m tracer.capabilities`"


def test_it_is_written_to_the_file_that_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(capabilities, "page", lambda: "text")
    assert capabilities.main([str(tmp_path / "page.md")]) == 0
    assert (tmp_path / "page.md").read_text() == "text"

"""What `tracer.doctor` tells of a machine, with and without a GPU."""

import re
import sys
from importlib import import_module

import tracer

doctor = import_module("tracer.doctor")


def test_without_cupy(capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    monkeypatch.setattr(doctor, "_driver_version", lambda: (12, 4))
    tracer.doctor()
    text = capsys.readouterr().out
    assert re.match(r"tracer .+, Python \d", text)
    assert re.search(r"kernels: \w+, \d+ threads: works", text)
    assert "driver: CUDA 12.4" in text
    assert "pip install cupy-cuda12x" in text


def test_without_a_driver(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "_driver_version", lambda: None)
    tracer.doctor()
    assert "driver: none" in capsys.readouterr().out


def test_an_old_driver(capsys, monkeypatch):
    monkeypatch.setattr(doctor, "_driver_version", lambda: (11, 2))
    tracer.doctor()
    assert "too old" in capsys.readouterr().out

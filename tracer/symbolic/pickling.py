"""Files of variables and functions: pickles whose arrays are files of their own, and the arguments of a function."""

from __future__ import annotations

import io
import pickle
import zipfile
from types import SimpleNamespace
from typing import IO, Any

import numpy as np

from tracer.tracing.recording import Apply
from tracer.tracing.shared import Shared
from tracer.tracing.symbolic import Variable

_PICKLE = "pkl"


def dump(obj: Any, file_handler: IO[bytes], protocol: int = pickle.HIGHEST_PROTOCOL) -> None:
    """Write an object to a zip file: a pickle, and each array in it as an entry that `numpy.load` reads.

    Arrays of shared variables are called as these, others `array_0`, `array_1`, ...

    Parameters
    ----------
    obj : object
    file_handler : file
        Opened for writing bytes.
    protocol : int
        Of the pickle.

    Examples
    --------
    >>> import io, numpy as np
    >>> import tracer as theano
    >>> file = io.BytesIO()
    >>> dump((theano.shared(1.5, name="w"), np.arange(3)), file)
    >>> _ = file.seek(0)
    >>> np.load(file)["w"]
    array(1.5)
    >>> w, numbers = load(file)
    >>> w.get_value(), numbers
    (array(1.5), array([0, 1, 2]))
    """
    with zipfile.ZipFile(file_handler, "w", zipfile.ZIP_DEFLATED, allowZip64=True) as archive:
        content = io.BytesIO()
        _Pickler(content, protocol, archive).dump(obj)
        archive.writestr(_PICKLE, content.getvalue())


def load(file_handler: IO[bytes]) -> Any:
    """Read what `dump` wrote."""
    with zipfile.ZipFile(file_handler, "r") as archive:
        return _Unpickler(io.BytesIO(archive.read(_PICKLE)), archive).load()


class _Pickler(pickle.Pickler):
    """Writes arrays into an archive, and only their names into the pickle."""

    def __init__(self, file: IO[bytes], protocol: int, archive: zipfile.ZipFile) -> None:
        super().__init__(file, protocol)
        self._archive = archive
        self._names: dict[int, str] = {}
        self._kept: list[Any] = []
        self._wanted: dict[int, str] = {}
        self._count = 0

    def persistent_id(self, obj: Any) -> Any:
        if isinstance(obj, Shared) and obj.name and type(obj.cell[0]) is np.ndarray:
            self._wanted.setdefault(id(obj.cell[0]), obj.name)
        if type(obj) is not np.ndarray or obj.dtype.hasobject:
            return None
        name = self._names.get(id(obj))
        if name is None:
            name = self._names[id(obj)] = self._new_name(self._wanted.get(id(obj)))
            self._kept.append(obj)
            with self._archive.open(name, "w", force_zip64=True) as entry:
                np.lib.format.write_array(entry, obj, allow_pickle=False)
        return "ndarray", name

    def _new_name(self, wanted: str | None) -> str:
        if wanted is None or wanted == _PICKLE:
            name = f"array_{self._count}"
            self._count += 1
            return name
        known, number, name = set(self._names.values()), 2, wanted
        while name in known:
            name = f"{wanted}_{number}"
            number += 1
        return name


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: IO[bytes], archive: zipfile.ZipFile) -> None:
        super().__init__(file)
        self._archive = archive
        self._arrays: dict[str, np.ndarray[Any, Any]] = {}

    def persistent_load(self, pid: Any) -> np.ndarray[Any, Any]:
        kind, name = pid
        if kind != "ndarray":
            raise pickle.UnpicklingError(f"an object of the unknown kind {kind!r}")
        if name not in self._arrays:
            with self._archive.open(name) as entry:
                self._arrays[name] = np.lib.format.read_array(entry, allow_pickle=False)
        return self._arrays[name]


class StripPickler(pickle.Pickler):
    """Pickles expressions without what is only for messages and tests: the lines that made them, and test values.

    Parameters
    ----------
    file : file
        Opened for writing bytes.
    protocol : int
        Of the pickle.
    extra_tag_to_remove : str, optional
        The name of a tag that is removed too.

    Examples
    --------
    >>> import io, pickle
    >>> import tracer.tensor as T
    >>> x = T.dvector("x")
    >>> file = io.BytesIO()
    >>> StripPickler(file).dump(x)
    >>> pickle.loads(file.getvalue()).line is None
    True
    """

    def __init__(
        self, file: IO[bytes], protocol: int = pickle.HIGHEST_PROTOCOL, extra_tag_to_remove: str | None = None
    ) -> None:
        super().__init__(file, protocol)
        self._removed = {"trace", "test_value", extra_tag_to_remove}

    def reducer_override(self, obj: Any) -> Any:
        """How variables and calls are pickled."""
        if isinstance(obj, Variable) and obj.owner is None:
            make, args, state = obj.__reduce__()
            return make, args, {**state, "tag": SimpleNamespace(**self._stripped(vars(obj.tag)))}
        if isinstance(obj, Apply):
            make, (op, inputs, arguments, structure, _, kinds), (tag, outputs) = obj.__reduce__()
            outputs = [{**own, "tag": SimpleNamespace(**self._stripped(vars(own["tag"])))} for own in outputs]
            return make, (op, inputs, arguments, structure, None, kinds), (self._stripped(tag), outputs)
        return NotImplemented

    def _stripped(self, tag: dict[str, Any]) -> dict[str, Any]:
        kept = {name: value for name, value in tag.items() if name not in self._removed}
        return {**kept, "line": None} if "line" in kept else kept


class CompatUnpickler(pickle.Unpickler):
    """Reads pickles of older Pythons: byte strings of theirs become texts."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file, encoding="latin1")


def function_dump(
    filename: Any, inputs: Any, outputs: Any = None, extra_tag_to_remove: str | None = None, **options: Any
) -> None:
    """Write all arguments of a call of `function` to a file, so that the call can be repeated elsewhere.

    Parameters
    ----------
    filename : str or path
    inputs, outputs, **options
        As of `function`.
    extra_tag_to_remove : str, optional
        As of `StripPickler`.

    Examples
    --------
    >>> import os, pickle, tempfile
    >>> import tracer as theano, tracer.tensor as T
    >>> x = T.dscalar("x")
    >>> path = os.path.join(tempfile.mkdtemp(), "call.pkl")
    >>> theano.function_dump(path, [x], x + 1)
    >>> with open(path, "rb") as file:
    ...     f = theano.function(**pickle.load(file))
    >>> f(1)
    array(2.)
    """
    with open(filename, "wb") as file:
        StripPickler(file, extra_tag_to_remove=extra_tag_to_remove).dump(
            {"inputs": inputs, "outputs": outputs, **options}
        )

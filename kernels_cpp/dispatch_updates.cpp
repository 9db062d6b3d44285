// What becomes of the outputs of a call: its result, and what it changes.
#include "dispatch.hpp"
#include "draws.hpp"

#include <cstring>

#include "output_memory.hpp"

namespace tracer {
namespace {

char* data_of(PyObject* array) {
    return static_cast<char*>(PyArray_DATA(reinterpret_cast<PyArrayObject*>(array)));
}

// Whether an array can be changed without anyone noticing: a cell may hold it, and one leaf of a call does.
bool is_exclusive(PyObject* array, const py::object& cell) {
    const bool held = PyList_GET_SIZE(cell.ptr()) == 1 && PyList_GET_ITEM(cell.ptr(), 0) == array;
    constexpr int NEEDED = NPY_ARRAY_OWNDATA | NPY_ARRAY_WRITEABLE | NPY_ARRAY_C_CONTIGUOUS;
    auto* const object = reinterpret_cast<PyArrayObject*>(array);
    return Py_REFCNT(array) == (held ? 2 : 1) && PyArray_BASE(object) == nullptr && PyArray_CHKFLAGS(object, NEEDED);
}

py::object copy_of(PyObject* array) {
    auto* const object = reinterpret_cast<PyArrayObject*>(array);
    const npy_intp* shape = PyArray_DIMS(object);
    py::object copy = new_output(reinterpret_cast<PyObject*>(PyArray_DESCR(object)),
                                 std::vector<int64_t>(shape, shape + PyArray_NDIM(object)), PyArray_NBYTES(object));
    std::memcpy(data_of(copy.ptr()), PyArray_DATA(object), static_cast<size_t>(PyArray_NBYTES(object)));
    return copy;
}

// What a program that changes an array takes: the array, and outputs of a call.
std::vector<char*> addresses_of(const RowUpdate& rows, char* array, PyObject** outputs) {
    std::vector<char*> addresses{array};
    for (const int output : rows.outputs) {
        addresses.push_back(data_of(outputs[output]));
    }
    return addresses;
}

}  // namespace

void Plan::read_row_update(py::handle description) {
    RowUpdate rows;
    rows.update = static_cast<int>(updates_.size()) - 1;
    rows.leaf = py::cast<int>(description[py::int_(2)]);
    rows.program_object = description[py::int_(3)];
    rows.program = py::cast<Program*>(rows.program_object);
    for (py::handle output : description[py::int_(4)]) {
        rows.outputs.push_back(py::cast<int>(output));
    }
    bool fits = PyList_CheckExact(updates_.back().cell.ptr()) && rows.leaf >= 0 && rows.leaf < leaf_count() &&
                rows.program->output_count() == 0 &&
                rows.program->argument_count() == static_cast<int64_t>(rows.outputs.size()) + 1;
    for (int64_t i = 0; fits && i < rows.program->argument_count(); ++i) {
        const Buffer* taken = rows.program->argument(i);
        if (taken == nullptr || taken->written != (i == 0) || !is_contiguous(*taken)) {
            fits = false;
        } else if (i == 0) {
            fits = takes(*taken, entries_[rows.leaf]);
        } else {
            const int output = rows.outputs[i - 1];
            fits = output >= 0 && output < program_->output_count() &&
                   program_->output(output)->dtype == taken->dtype && program_->output(output)->shape == taken->shape;
        }
    }
    if (!fits) {
        throw py::value_error("plan: what changes an array does not fit the array or the outputs");
    }
    row_updates_.push_back(std::move(rows));
}

// Raises what the changes of rows would raise, before anything has changed.
void Plan::check_rows(PyObject** outputs, const Leaves& leaves) const {
    for (const RowUpdate& rows : row_updates_) {
        try {
            rows.program->check_change(addresses_of(rows, leaves.data()[rows.leaf], outputs).data());
        } catch (py::error_already_set& error) {
            if (!on_error_.is_none()) {
                on_error_(error.value(), token_);  // may raise something that says more
            }
            throw;
        }
    }
}

// The old value if nobody else has it, else a copy; nothing may run between this and the change.
py::object Plan::owned_rows(const RowUpdate& rows, const Leaves& leaves) const {
    PyObject* array = leaves.arrays()[rows.leaf];
    return is_exclusive(array, updates_[rows.update].cell) ? py::reinterpret_borrow<py::object>(array) : copy_of(array);
}

void Plan::change_rows(const RowUpdate& rows, PyObject* array, PyObject** outputs) const {
    rows.program->change(addresses_of(rows, data_of(array), outputs).data());
}

PyObject* Plan::finish(PyObject** outputs, const Leaves& leaves) const {
    const size_t count = static_cast<size_t>(program_->output_count());
    if (!check_.is_none()) {
        py::list list(count);
        for (size_t i = 0; i < count; ++i) {
            list[i] = py::reinterpret_borrow<py::object>(outputs[i]);
        }
        check_(list);
    }
    check_rows(outputs, leaves);
    // Before the updates, because building may fail.
    py::object result = py::reinterpret_steal<py::object>(result_.build(outputs, leaves));
    if (!result) {
        return nullptr;
    }
    if (!updates_.empty() || !write_backs_.empty()) {
        assign(outputs, leaves);
    }
    return result.release().ptr();
}

// All updates happen, or none.
void Plan::assign(PyObject** outputs, const Leaves& leaves) const {
    References values(updates_.size());
    for (size_t i = 0; i < updates_.size(); ++i) {
        PyObject* output = outputs[updates_[i].output];
        values.get()[i] = updates_[i].copied ? PyArray_NewCopy(reinterpret_cast<PyArrayObject*>(output), NPY_CORDER)
                                             : Py_NewRef(output);
        if (values.get()[i] == nullptr) {
            throw py::error_already_set();
        }
    }
    for (const Update& update : updates_) {
        if (PyList_CheckExact(update.cell.ptr()) && PyList_GET_SIZE(update.cell.ptr()) != 1) {
            throw std::runtime_error("the cell of a shared variable is no longer a list of one array");
        }
    }
    for (const WriteBack& item : write_backs_) {
        PyObject *target = leaves.object(item.leaf), *output = outputs[item.output];
        if (!item.store.is_none()) {
            item.store(py::handle(target), py::handle(output));
        } else if (PyArray_CopyInto(reinterpret_cast<PyArrayObject*>(target),
                                    reinterpret_cast<PyArrayObject*>(output)) < 0) {
            throw py::error_already_set();
        }
    }
    for (size_t i = 0; i < updates_.size(); ++i) {
        if (const GeneratorState* generator = generator_state(updates_[i].cell)) {
            generator->write(values.get()[i]);
        } else if (!PyList_CheckExact(updates_[i].cell.ptr())) {
            updates_[i].cell(py::handle(values.get()[i]));
        }
    }
    std::vector<py::object> changed;  // all are found before the first one changes: then nothing can fail any more
    for (const RowUpdate& rows : row_updates_) {
        changed.push_back(owned_rows(rows, leaves));
    }
    for (size_t i = 0; i < row_updates_.size(); ++i) {
        change_rows(row_updates_[i], changed[i].ptr(), outputs);
        Py_SETREF(values.get()[row_updates_[i].update], changed[i].inc_ref().ptr());
    }
    for (size_t i = 0; i < updates_.size(); ++i) {
        if (PyList_CheckExact(updates_[i].cell.ptr()) && PyList_GET_SIZE(updates_[i].cell.ptr()) == 1) {
            // The old array goes where the new one was and is let go of last: from here on no Python code may run.
            PyObject* old = PyList_GET_ITEM(updates_[i].cell.ptr(), 0);
            PyList_SET_ITEM(updates_[i].cell.ptr(), 0, values.get()[i]);
            values.get()[i] = old;
        }
    }
}

}  // namespace tracer

// What becomes of the outputs of a call: its result, and what it changes.
#include "dispatch.hpp"
#include "draws.hpp"

namespace tracer {

PyObject* Plan::finish(PyObject** outputs, const Leaves& leaves) const {
    const size_t count = static_cast<size_t>(program_->output_count());
    if (!check_.is_none()) {
        py::list list(count);
        for (size_t i = 0; i < count; ++i) {
            list[i] = py::reinterpret_borrow<py::object>(outputs[i]);
        }
        check_(list);
    }
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

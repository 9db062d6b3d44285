// Questions of plans: what a program must answer about the arrays of a call for a plan to hold.
#include <cstring>

#include "dispatch.hpp"

namespace tracer {

// A question is a pair of a program on the same arrays and the answers that it must give.
void Plan::read_question(py::handle description) {
    question_object_ = description[py::int_(0)];
    question_ = py::cast<Program*>(question_object_);
    for (py::handle array : description[py::int_(1)]) {
        if (!PyArray_CheckExact(array.ptr()) || !PyArray_ISCARRAY_RO(reinterpret_cast<PyArrayObject*>(array.ptr()))) {
            throw py::type_error("plan: an expected answer is not a contiguous array");
        }
        expected_.push_back(py::reinterpret_borrow<py::object>(array));
    }
    bool fits = question_->argument_count() <= leaf_count() &&
                question_->output_count() == static_cast<int64_t>(expected_.size());
    for (int64_t i = 0; fits && i < question_->argument_count(); ++i) {
        const Buffer* buffer = question_->argument(i);
        fits = buffer == nullptr || (takes(*question_, i) && !buffer->written);
    }
    for (int64_t i = 0; fits && i < question_->output_count(); ++i) {
        const Buffer* output = question_->output(i);
        fits = PyArray_NBYTES(reinterpret_cast<PyArrayObject*>(expected_[i].ptr())) ==
               output->size * itemsize(output->dtype);
    }
    if (!fits) {
        throw py::value_error("plan: the question does not fit the arrays of the plan");
    }
}

bool Plan::matches_answers(const Leaves& leaves, Answers& answers) const {
    if (answers.question != question_) {
        std::vector<PyObject*> made(expected_.size());
        try {
            question_->execute(leaves.data(), made.data(), leaves.arrays());
        } catch (py::error_already_set&) {
            return false;  // it was made for other answers, and cannot even be asked here
        }
        answers.arrays.clear();
        for (PyObject* array : made) {
            answers.arrays.push_back(py::reinterpret_steal<py::object>(array));
        }
        answers.question = question_;
    }
    for (size_t i = 0; i < expected_.size(); ++i) {
        auto *found = reinterpret_cast<PyArrayObject*>(answers.arrays[i].ptr()),
             *expected = reinterpret_cast<PyArrayObject*>(expected_[i].ptr());
        if (std::memcmp(PyArray_DATA(found), PyArray_DATA(expected), PyArray_NBYTES(expected)) != 0) {
            return false;
        }
    }
    return true;
}

}  // namespace tracer

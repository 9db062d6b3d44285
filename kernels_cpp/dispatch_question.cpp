// Questions of plans: what a program must answer about the arrays of a call for a plan to hold.
#include <cstring>

#include "dispatch.hpp"

namespace tracer {

// A question is a program on the same arrays, and the answers that it must give. Two more items make the plan one of a
// tree: the tree, and where each single answer is: (array, offset, size). Its program may be None: then the answers are
// the last outputs of the plan's own.
void Plan::read_question(py::handle description) {
    question_object_ = description[py::int_(0)];
    for (py::handle array : description[py::int_(1)]) {
        if (!PyArray_CheckExact(array.ptr()) || !PyArray_ISCARRAY_RO(reinterpret_cast<PyArrayObject*>(array.ptr()))) {
            throw py::type_error("plan: an expected answer is not a contiguous array");
        }
        expected_.push_back(py::reinterpret_borrow<py::object>(array));
    }
    const bool in_tree = py::len(description) > 2;
    const bool own = in_tree && question_object_.is_none();
    Program* program = own ? program_ : py::cast<Program*>(question_object_);
    const int64_t first = own ? program->output_count() - static_cast<int64_t>(expected_.size()) : 0;
    bool fits = program->argument_count() <= leaf_count() && first >= 0 &&
                program->output_count() == first + static_cast<int64_t>(expected_.size());
    for (int64_t i = 0; fits && !own && i < program->argument_count(); ++i) {
        const Buffer* buffer = program->argument(i);
        fits = buffer == nullptr || (takes(*buffer, entries_[i]) && !buffer->written);
    }
    for (size_t i = 0; fits && i < expected_.size(); ++i) {
        const Buffer* output = program->output(first + static_cast<int64_t>(i));
        fits = PyArray_NBYTES(reinterpret_cast<PyArrayObject*>(expected_[i].ptr())) ==
               output->size * itemsize(output->dtype);
    }
    if (!fits) {
        throw py::value_error("plan: the question does not fit the arrays of the plan");
    }
    if (in_tree) {
        read_path(description[py::int_(2)], description[py::int_(3)]);
    }
    question_ = own ? nullptr : program;
}

void Plan::read_path(py::handle tree, py::handle steps) {
    for (py::handle item : steps) {
        const Step step{py::cast<size_t>(item[py::int_(0)]), py::cast<size_t>(item[py::int_(1)]),
                        py::cast<size_t>(item[py::int_(2)])};
        const bool fits =
            step.array < expected_.size() &&
            step.offset + step.size <=
                static_cast<size_t>(PyArray_NBYTES(reinterpret_cast<PyArrayObject*>(expected_[step.array].ptr())));
        if (!fits) {
            throw py::value_error("plan: a step of the path is outside the answers");
        }
        steps_.push_back(step);
    }
    tree_ = py::reinterpret_borrow<py::object>(tree);
}

bool Plan::follows(const Path& path) const {
    if (!path.tree.is(tree_) || path.answers.size() > steps_.size()) {
        return false;
    }
    for (size_t i = 0; i < path.answers.size(); ++i) {
        const Step& step = steps_[i];
        const char* expected = PyArray_BYTES(reinterpret_cast<PyArrayObject*>(expected_[step.array].ptr()));
        if (step.size != path.answers[i].size() ||
            std::memcmp(expected + step.offset, path.answers[i].data(), step.size) != 0) {
            return false;
        }
    }
    return true;
}

bool Plan::gives_expected(PyObject* const* answers, Path& path) const {
    bool same = true;
    for (size_t i = 0; same && i < expected_.size(); ++i) {
        auto *found = reinterpret_cast<PyArrayObject*>(answers[i]),
             *expected = reinterpret_cast<PyArrayObject*>(expected_[i].ptr());
        same = std::memcmp(PyArray_DATA(found), PyArray_DATA(expected), PyArray_NBYTES(expected)) == 0;
    }
    if (same) {
        return true;
    }
    path.tree = tree_;
    path.answers.clear();
    for (const Step& step : steps_) {
        const char* found = PyArray_BYTES(reinterpret_cast<PyArrayObject*>(answers[step.array])) + step.offset;
        const char* expected = PyArray_BYTES(reinterpret_cast<PyArrayObject*>(expected_[step.array].ptr()));
        path.answers.emplace_back(found, step.size);
        if (std::memcmp(found, expected + step.offset, step.size) != 0) {
            break;  // what would be asked next is not known to this plan
        }
    }
    return false;
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

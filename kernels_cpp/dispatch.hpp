// Plans of the fast call path: which calls a program answers, how it is fed, and what becomes of its outputs.
// Descriptions are read once, from plain Python tuples; matching and running a plan allocate almost nothing.
#pragma once

#include <pybind11/pybind11.h>
// after Python.h
#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#define NPY_TARGET_VERSION NPY_2_0_API_VERSION
#define PY_ARRAY_UNIQUE_SYMBOL tracer_ARRAY_API
#ifndef TRACER_IMPORTS_ARRAY
#define NO_IMPORT_ARRAY
#endif
#include <numpy/arrayobject.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "program.hpp"

namespace tracer {

// Same exact type and same value, for numbers, strings and tuples of them: 1, 1.0 and True differ, and so do 0.0 and
// -0.0. Everything else is equal to itself only. Never runs code of a user's class.
bool strictly_equal(PyObject* a, PyObject* b);

// The arrays of one call: data pointers for the program and references that keep them alive.
class Leaves {
  public:
    explicit Leaves(int capacity);
    ~Leaves();
    Leaves(const Leaves&) = delete;
    Leaves& operator=(const Leaves&) = delete;

    void add_array(PyObject* array);
    void add_scalar(PyObject* scalar);  // a NumPy scalar; its value is copied
    void add_new(PyObject* stolen);     // an array made for this call
    // An array made for this call that stands for an object of the caller.
    void add_for(PyObject* object, PyObject* stolen);
    // A Python int or float as an element of this type; false, with nothing added, if the type cannot hold it.
    bool add_number(PyObject* number, int type_number, bool lossy);
    void keep(PyObject* stolen);  // a reference that only has to live as long as the call
    int count() const { return count_; }
    char* const* data() const { return data_; }
    // Per leaf the array, or nullptr for a NumPy scalar.
    PyObject* const* arrays() const { return arrays_; }
    // The caller's own object.
    PyObject* object(int leaf) const { return objects_[leaf]; }

  private:
    static constexpr int INLINE = 16;
    static constexpr size_t SCALAR = 16;  // bytes of the widest element
    int count_ = 0;
    char** data_;
    PyObject** arrays_;
    PyObject** objects_;
    char* scalars_;
    std::unique_ptr<char[]> heap_;
    std::vector<PyObject*> kept_;
    char* inline_data_[INLINE];
    PyObject* inline_arrays_[INLINE];
    PyObject* inline_objects_[INLINE];
    alignas(16) char inline_scalars_[INLINE * SCALAR];
};

// References to `count` objects, dropped at the end of the scope.
class References {
  public:
    explicit References(size_t count) : count_(count), objects_(inline_) {
        if (count > INLINE) {
            heap_.resize(count);
            objects_ = heap_.data();
        }
        std::fill(objects_, objects_ + count, nullptr);
    }
    ~References() {
        for (size_t i = 0; i < count_; ++i) {
            Py_XDECREF(objects_[i]);
        }
    }
    References(const References&) = delete;
    References& operator=(const References&) = delete;
    PyObject** get() { return objects_; }

  private:
    static constexpr size_t INLINE = 16;
    size_t count_;
    PyObject** objects_;
    PyObject* inline_[INLINE];
    std::vector<PyObject*> heap_;
};

// What an array must look like. Strides are compared where they matter: in dimensions longer than one.
struct ArrayEntry {
    int type_number = NPY_NOTYPE;
    int rank = 0;
    std::vector<npy_intp> shape;
    std::vector<std::pair<int, npy_intp>> strides;  // (dimension, bytes)
    bool contiguous = false;
    bool written = false;        // must be writeable, and apart from all other arrays of the call
    npy_intp low = 0, high = 0;  // bytes reached, from the first element
    py::object scalar_type;      // of NumPy scalars that may stand for the array, if it is 0-d

    explicit ArrayEntry(py::handle description);
    bool matches(PyObject* array) const;
    bool is_scalar(PyObject* object) const { return rank == 0 && !written && is_exactly(object, scalar_type); }

  private:
    static bool is_exactly(PyObject* object, const py::object& type) {
        return reinterpret_cast<PyObject*>(Py_TYPE(object)) == type.ptr();
    }
};

// What one parameter must look like.
struct Entry {
    enum class Kind { Array, Number, Float, Cast, Read, Static, Weak, Tuple, List, Dict, Attributes };
    Kind kind;
    int leaf = -1;                 // Array, Number, Float, Cast, Read: place in Plan::entries
    int source = -1;               // Cast: place in Plan::sources
    bool lossy = false;            // Number: a float may be rounded to a narrower one
    py::object object;             // Static: the value; Weak: the reference; Tuple, Attributes: the exact type;
                                   // Read: a function from the argument to its array, or None
    std::vector<py::object> keys;  // Dict, Attributes
    std::vector<Entry> children;

    void visit_objects(const std::function<void(py::object&)>& visit);
};

struct Guard {
    // Contents: the holder is an array, the name its shape, and what is expected its bytes in C order.
    enum class Kind { Cell, Dict, Attribute, Absent, Items, Contents };
    Kind kind;
    bool by_value;
    py::object holder, name, expected;

    bool holds() const;

  private:
    bool holds_contents() const;
};

// How the result of a call is put together.
struct Result {
    enum class Kind { Leaf, Argument, Constant, Tuple, List, Dict, Call };
    Kind kind;
    int index = -1;          // Leaf: output; Argument: leaf
    bool as_scalar = false;  // Leaf: a 0-d array becomes a NumPy scalar
    py::object object;       // Constant, Call
    std::vector<py::object> keys;
    std::vector<Result> children;

    // New reference, or nullptr with an exception set.
    PyObject* build(PyObject* const* outputs, const Leaves& leaves) const;
    void visit_objects(const std::function<void(py::object&)>& visit);
};

struct Update {
    py::object cell;  // a list of one array; a function that takes the array; or the state of a generator
    int output;
    bool copied;  // the same output leaves the call elsewhere too
};

// An update that changes some rows of the old value, which is a leaf, instead of making a new one.
struct RowUpdate {
    int update, leaf;  // which of the updates; its output says nothing then
    py::object program_object;
    Program* program;
    std::vector<int> outputs;  // what the program takes after the old value
};

struct WriteBack {
    int leaf, output;
    py::object store;  // a function of the caller's object and the array; None: it is an array
};

// What a program says about the arrays of one call, kept while plans with the same question are tried.
struct Answers {
    const Program* question = nullptr;
    std::vector<py::object> arrays;
};

// What a call is known to answer to the questions of a tree of plans, in the order in which they are asked.
struct Path {
    py::object tree;
    std::vector<std::string> answers;
};

class Plan {
  public:
    Py_ssize_t calls = 0;  // that it answered

    Plan(py::handle spec, py::handle keyword_names, py::object program, py::handle captured,
         py::handle captured_entries, py::handle shared, py::handle shared_entries, py::handle updates,
         py::handle write_backs, py::handle guards, py::handle outputs, py::object check, py::object on_error,
         py::object token, py::handle question);

    const py::object& token() const { return token_; }
    int leaf_count() const { return static_cast<int>(entries_.size()); }
    // Whether this plan answers the call; gathers its arrays. Never leaves an exception set.
    bool matches(PyObject* const* arguments, Py_ssize_t positional, PyObject* keyword_names, Leaves& leaves,
                 Answers& answers) const;
    // The call itself: new reference, or nullptr with an exception set, and then nothing was changed.
    PyObject* run(const Leaves& leaves) const;
    // Whether the plan is one of a tree of plans, told apart by the answers to questions.
    bool has_path() const { return static_cast<bool>(tree_); }
    size_t path_length() const { return steps_.size(); }
    // Whether nothing that is known of the answers speaks against this plan.
    bool follows(const Path& path) const;
    // As `run`; but nullptr, with `refuted` set and no exception, if the answers of the call are not those of the plan.
    // Then `path` knows more of them; it has no tree if the questions could not be asked on these arrays.
    PyObject* run_on_path(const Leaves& leaves, Path& path, bool& refuted) const;
    // Every Python object that the plan holds; the garbage collector asks.
    void visit_objects(const std::function<void(py::object&)>& visit);

    void incref() { ++references_; }
    void decref() {
        if (--references_ == 0) {
            delete this;
        }
    }

  private:
    ~Plan() = default;
    Py_ssize_t references_ = 1;  // guarded by the GIL
    std::vector<Entry> spec_;
    std::vector<py::object> keyword_names_;
    py::object program_object_;
    Program* program_;
    std::vector<ArrayEntry> entries_;  // arrays in arguments, then captured, then shared
    std::vector<ArrayEntry> sources_;  // arguments that the program takes as arrays of another type
    std::vector<py::object> captured_;
    std::vector<py::object> shared_;  // lists of one array, functions that give it, or states of generators
    std::vector<Update> updates_;
    std::vector<RowUpdate> row_updates_;
    std::vector<WriteBack> write_backs_;
    std::vector<Guard> guards_;
    Result result_;
    py::object check_, on_error_, token_;
    bool writes_ = false;  // some argument is written
    // The plan holds for calls on whose arrays this program, if there is one, gives just these answers.
    py::object question_object_;
    Program* question_ = nullptr;
    std::vector<py::object> expected_;
    // Or it is one of a tree: the answers come from the question, or with none are the last outputs of the program.
    struct Step {
        size_t array, offset, size;  // where in the expected answers, in bytes
    };
    py::object tree_;
    std::vector<Step> steps_;

    Entry read_entry(py::handle description);
    void read_arrays(py::handle arrays, py::handle entries, bool shared);
    void check_program();
    void mark_copies();
    bool matches_entry(const Entry& entry, PyObject* value, Leaves& leaves) const;
    bool matches_array(const ArrayEntry& entry, PyObject* value, Leaves& leaves) const;
    bool matches_cast(const Entry& entry, PyObject* value, Leaves& leaves) const;
    bool matches_read(const Entry& entry, PyObject* value, Leaves& leaves) const;
    bool matches_tuple(const Entry& entry, PyObject* value, Leaves& leaves) const;
    bool matches_list(const Entry& entry, PyObject* value, Leaves& leaves) const;
    bool matches_dict(const Entry& entry, PyObject* value, Leaves& leaves) const;
    bool matches_attributes(const Entry& entry, PyObject* value, Leaves& leaves) const;
    bool matches_keywords(PyObject* keyword_names) const;
    bool matches_captures(Leaves& leaves) const;
    bool matches_answers(const Leaves& leaves, Answers& answers) const;
    void read_question(py::handle description);
    void read_path(py::handle tree, py::handle steps);
    bool gives_expected(PyObject* const* answers, Path& path) const;
    PyObject* finish(PyObject** outputs, const Leaves& leaves) const;
    static bool takes(const Buffer& buffer, const ArrayEntry& entry);
    void read_row_update(py::handle description);
    void check_rows(PyObject** outputs, const Leaves& leaves) const;
    py::object owned_rows(const RowUpdate& rows, const Leaves& leaves) const;
    void change_rows(const RowUpdate& rows, PyObject* array, PyObject** outputs) const;
    bool apart(const Leaves& leaves) const;
    void execute(const Leaves& leaves, PyObject** outputs) const;
    void assign(PyObject** outputs, const Leaves& leaves) const;
};

}  // namespace tracer

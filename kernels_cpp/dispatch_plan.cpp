// Matching and running plans.
#include "dispatch.hpp"

#include <algorithm>
#include <cstring>

#include "draws.hpp"

namespace tracer {
namespace {

py::object attribute_type(py::handle type) {
    if (!PyType_Check(type.ptr())) {
        throw py::type_error("plan: expected a class");
    }
    return py::reinterpret_borrow<py::object>(type);
}

void check_cell(py::handle cell) {
    if (!PyList_CheckExact(cell.ptr()) && PyCallable_Check(cell.ptr()) == 0 && !py::isinstance<GeneratorState>(cell)) {
        throw py::type_error("plan: a cell is neither a list nor a function, nor the state of a generator");
    }
}

std::string read_kind(py::handle description) {
    if (!PyTuple_CheckExact(description.ptr()) || PyTuple_GET_SIZE(description.ptr()) < 2) {
        throw py::type_error("plan: a description is not a tuple of a kind and its contents");
    }
    return py::cast<std::string>(description[py::int_(0)]);
}

int read_index(py::handle value, int64_t limit, const char* what) {
    const int64_t index = py::cast<int64_t>(value);
    if (index < 0 || index >= limit) {
        throw py::value_error(std::string("plan: there is no ") + what + " " + std::to_string(index));
    }
    return static_cast<int>(index);
}

Guard read_guard(py::handle description) {
    Guard guard;
    std::string kind = read_kind(description);
    guard.by_value = !kind.empty() && kind.back() == '=';
    if (guard.by_value) {
        kind.pop_back();
    }
    guard.holder = description[py::int_(1)];
    guard.name = description[py::int_(2)];
    guard.expected = description[py::int_(3)];
    if (kind == "cell" && PyCell_Check(guard.holder.ptr())) {
        guard.kind = Guard::Kind::Cell;
    } else if (kind == "dict" && PyDict_Check(guard.holder.ptr())) {
        guard.kind = Guard::Kind::Dict;
    } else if (kind == "absent" && PyDict_Check(guard.holder.ptr())) {
        guard.kind = Guard::Kind::Absent;
    } else if (kind == "attr") {
        guard.kind = Guard::Kind::Attribute;
    } else if (kind == "items") {
        guard.kind = Guard::Kind::Items;
    } else if (kind == "contents" && PyArray_Check(guard.holder.ptr()) && PyTuple_CheckExact(guard.name.ptr()) &&
               PyBytes_CheckExact(guard.expected.ptr())) {
        guard.kind = Guard::Kind::Contents;
    } else {
        throw py::type_error("plan: a guard's kind does not exist or does not fit its holder");
    }
    return guard;
}

Result read_result(py::handle description, int64_t outputs, int64_t leaves) {
    Result result;
    const std::string kind = read_kind(description);
    const py::object content = description[py::int_(1)];
    const auto add_child = [&](py::handle child) { result.children.push_back(read_result(child, outputs, leaves)); };
    if (kind == "leaf") {
        result.kind = Result::Kind::Leaf;
        result.index = read_index(content, outputs, "output");
        result.as_scalar = py::cast<bool>(description[py::int_(2)]);
    } else if (kind == "argument") {
        result.kind = Result::Kind::Argument;
        result.index = read_index(content, leaves, "argument leaf");
    } else if (kind == "constant") {
        result.kind = Result::Kind::Constant;
        result.object = content;
    } else if (kind == "tuple" || kind == "list") {
        result.kind = kind == "tuple" ? Result::Kind::Tuple : Result::Kind::List;
        std::for_each(content.begin(), content.end(), add_child);
    } else if (kind == "dict") {
        result.kind = Result::Kind::Dict;
        for (py::handle item : content) {
            result.keys.push_back(item[py::int_(0)]);
            add_child(item[py::int_(1)]);
        }
    } else if (kind == "call") {
        result.kind = Result::Kind::Call;
        result.object = content;
        for (py::handle child : description[py::int_(2)]) {
            add_child(child);
        }
    } else {
        throw py::value_error("plan: no such kind of result: " + kind);
    }
    return result;
}

// Marks in `seen` every output that leaves the call.
void find_outputs(const Result& result, std::vector<bool>& seen) {
    if (result.kind == Result::Kind::Leaf) {
        seen[result.index] = true;
    }
    for (const Result& child : result.children) {
        find_outputs(child, seen);
    }
}

bool refers_to(PyObject* weak, PyObject* object) {
#if PY_VERSION_HEX >= 0x030D0000
    PyObject* found = nullptr;
    PyWeakref_GetRef(weak, &found);
    Py_XDECREF(found);  // `object` is alive, so the comparison below is sound
    return found == object;
#else
    return PyWeakref_GET_OBJECT(weak) == object;
#endif
}

}  // namespace

Plan::Plan(py::handle spec, py::handle keyword_names, py::object program, py::handle captured,
           py::handle captured_entries, py::handle shared, py::handle shared_entries, py::handle updates,
           py::handle write_backs, py::handle guards, py::handle outputs, py::object check, py::object on_error,
           py::object token, py::handle question)
    : program_object_(std::move(program)),
      check_(std::move(check)),
      on_error_(std::move(on_error)),
      token_(std::move(token)) {
    program_ = py::cast<Program*>(program_object_);
    for (py::handle entry : spec) {
        spec_.push_back(read_entry(entry));
    }
    if (!keyword_names.is_none()) {
        for (py::handle name : keyword_names) {
            keyword_names_.push_back(py::reinterpret_borrow<py::object>(name));
        }
    }
    if (keyword_names_.size() > spec_.size()) {
        throw py::value_error("plan: more keyword names than parameters");
    }
    const int64_t argument_leaves = leaf_count();
    read_arrays(captured, captured_entries, false);
    read_arrays(shared, shared_entries, true);
    const int64_t held_leaves = argument_leaves + static_cast<int64_t>(captured_.size());
    for (py::handle update : updates) {
        const py::object cell = update[py::int_(0)];
        check_cell(cell);
        updates_.push_back({cell, read_index(update[py::int_(1)], program_->output_count(), "output"), false});
        if (py::len(update) > 2) {
            read_row_update(update);
        }
    }
    for (py::handle item : write_backs) {
        write_backs_.push_back({read_index(item[py::int_(0)], held_leaves, "leaf to write"),
                                read_index(item[py::int_(1)], program_->output_count(), "output"),
                                py::len(item) > 2 ? py::object(item[py::int_(2)]) : py::none()});
    }
    for (py::handle guard : guards) {
        guards_.push_back(read_guard(guard));
    }
    result_ = read_result(outputs, program_->output_count(), argument_leaves);
    check_program();
    mark_copies();
    if (!question.is_none()) {
        read_question(question);
    }
}

Entry Plan::read_entry(py::handle description) {
    Entry entry;
    const std::string kind = read_kind(description);
    const py::object content = description[py::int_(1)];
    const auto add_child = [&](py::handle child) { entry.children.push_back(read_entry(child)); };
    const auto add_named = [&](py::handle items) {
        for (py::handle item : items) {
            entry.keys.push_back(item[py::int_(0)]);
            add_child(item[py::int_(1)]);
        }
    };
    if (kind == "array") {
        entry.kind = Entry::Kind::Array;
        entry.leaf = leaf_count();
        entries_.emplace_back(description);
    } else if (kind == "number") {
        entry.kind = Entry::Kind::Number;
        entry.leaf = leaf_count();
        entry.lossy = py::cast<bool>(description[py::int_(2)]);
        entries_.emplace_back(py::make_tuple("array", content, py::tuple(), py::tuple()));
    } else if (kind == "float") {  // a Python float and nothing else
        entry.kind = Entry::Kind::Float;
        entry.leaf = leaf_count();
        entries_.emplace_back(py::make_tuple("array", content, py::tuple(), py::tuple()));
    } else if (kind == "cast") {  // of an array of another type, which loses nothing
        entry.kind = Entry::Kind::Cast;
        entry.leaf = leaf_count();
        entry.source = static_cast<int>(sources_.size());
        sources_.emplace_back(content);
        entries_.emplace_back(py::make_tuple("array", description[py::int_(2)], content[py::int_(2)], py::none()));
    } else if (kind == "read") {  // by a function that gives None for what it does not take
        entry.kind = Entry::Kind::Read;
        entry.leaf = leaf_count();
        entry.object = description[py::int_(2)];
        entries_.emplace_back(content);
    } else if (kind == "static") {
        entry.kind = Entry::Kind::Static;
        entry.object = content;
    } else if (kind == "weak") {
        entry.kind = Entry::Kind::Weak;
        entry.object = content;
        if (!PyWeakref_CheckRef(content.ptr())) {
            throw py::type_error("plan: a weak entry holds no weak reference");
        }
    } else if (kind == "tuple" || kind == "namedtuple") {
        entry.kind = Entry::Kind::Tuple;
        entry.object =
            kind == "tuple" ? attribute_type(reinterpret_cast<PyObject*>(&PyTuple_Type)) : attribute_type(content);
        const py::object children = kind == "tuple" ? content : py::object(description[py::int_(2)]);
        std::for_each(children.begin(), children.end(), add_child);
    } else if (kind == "list") {
        entry.kind = Entry::Kind::List;
        std::for_each(content.begin(), content.end(), add_child);
    } else if (kind == "dict") {
        entry.kind = Entry::Kind::Dict;
        add_named(content);
    } else if (kind == "attributes") {
        entry.kind = Entry::Kind::Attributes;
        entry.object = attribute_type(content);
        add_named(description[py::int_(2)]);
    } else {
        throw py::value_error("plan: no such kind of parameter: " + kind);
    }
    return entry;
}

void Plan::read_arrays(py::handle arrays, py::handle entries, bool shared) {
    if (py::len(arrays) != py::len(entries)) {
        throw py::value_error("plan: arrays and their entries differ in number");
    }
    for (py::handle array : arrays) {
        if (shared) {
            check_cell(array);
        } else if (!PyArray_CheckExact(array.ptr())) {
            throw py::type_error("plan: a captured object is not an array");
        }
        (shared ? shared_ : captured_).push_back(py::reinterpret_borrow<py::object>(array));
    }
    for (py::handle entry : entries) {
        if (read_kind(entry) != "array") {
            throw py::value_error("plan: the entry of a captured array is not an array entry");
        }
        entries_.emplace_back(entry);
    }
}

// The program trusts its caller, so the entries must promise exactly what it was built for.
void Plan::check_program() {
    if (program_->argument_count() > leaf_count()) {
        throw py::value_error("plan: the program takes more arrays than the plan provides");
    }
    for (int64_t i = 0; i < program_->argument_count(); ++i) {
        const Buffer* buffer = program_->argument(i);
        if (buffer == nullptr) {
            continue;
        }
        if (!takes(*buffer, entries_[i])) {
            throw py::value_error("plan: array " + std::to_string(i) + " is not what the program was built for");
        }
        entries_[i].written = entries_[i].written || buffer->written;
    }
    for (const WriteBack& item : write_backs_) {
        ArrayEntry& entry = entries_[item.leaf];
        const Buffer* output = program_->output(item.output);
        if (entry.shape != std::vector<npy_intp>(output->shape.begin(), output->shape.end())) {
            throw py::value_error("plan: an output does not fit the argument it is written to");
        }
        entry.written = true;
    }
    writes_ = std::any_of(entries_.begin(), entries_.end(), [](const ArrayEntry& entry) { return entry.written; });
}

// Whether what a program takes is what an entry promises.
bool Plan::takes(const Buffer& buffer, const ArrayEntry& entry) {
    py::object descriptor =
        py::reinterpret_steal<py::object>(reinterpret_cast<PyObject*>(PyArray_DescrFromType(entry.type_number)));
    const auto* native = reinterpret_cast<PyArray_Descr*>(numpy_dtype(buffer.dtype).ptr());
    bool same =
        PyArray_EquivTypes(reinterpret_cast<PyArray_Descr*>(descriptor.ptr()), const_cast<PyArray_Descr*>(native)) &&
        entry.shape == std::vector<npy_intp>(buffer.shape.begin(), buffer.shape.end());
    for (const auto& [dimension, bytes] : entry.strides) {
        same = same && bytes == buffer.strides[dimension] * itemsize(buffer.dtype);
    }
    return same;
}

// A shared variable must not be the same array as something that the caller gets.
void Plan::mark_copies() {
    std::vector<bool> seen(program_->output_count(), false);
    find_outputs(result_, seen);
    for (Update& update : updates_) {
        update.copied = seen[update.output];
        seen[update.output] = true;
    }
}

bool Plan::matches(PyObject* const* arguments, Py_ssize_t positional, PyObject* keyword_names, Leaves& leaves,
                   Answers& answers) const {
    if (positional + static_cast<Py_ssize_t>(keyword_names_.size()) != static_cast<Py_ssize_t>(spec_.size()) ||
        !matches_keywords(keyword_names)) {
        return false;
    }
    for (size_t i = 0; i < spec_.size(); ++i) {
        if (!matches_entry(spec_[i], arguments[i], leaves)) {
            return false;
        }
    }
    for (const Guard& guard : guards_) {
        if (!guard.holds()) {
            return false;
        }
    }
    return matches_captures(leaves) && (!writes_ || apart(leaves)) &&
           (question_ == nullptr || has_path() || matches_answers(leaves, answers));
}

bool Plan::matches_keywords(PyObject* keyword_names) const {
    const Py_ssize_t count = keyword_names == nullptr ? 0 : PyTuple_GET_SIZE(keyword_names);
    if (count != static_cast<Py_ssize_t>(keyword_names_.size())) {
        return false;
    }
    for (Py_ssize_t i = 0; i < count; ++i) {
        if (!strictly_equal(keyword_names_[i].ptr(), PyTuple_GET_ITEM(keyword_names, i))) {
            return false;
        }
    }
    return true;
}

bool Plan::matches_captures(Leaves& leaves) const {
    for (const py::object& array : captured_) {
        if (!entries_[leaves.count()].matches(array.ptr())) {
            return false;
        }
        leaves.add_array(array.ptr());
    }
    for (const py::object& cell : shared_) {
        if (!PyList_CheckExact(cell.ptr())) {
            const GeneratorState* generator = generator_state(cell);
            py::object array = generator != nullptr
                                   ? generator->read()
                                   : py::reinterpret_steal<py::object>(PyObject_CallNoArgs(cell.ptr()));
            if (!array || !PyArray_CheckExact(array.ptr()) || !entries_[leaves.count()].matches(array.ptr())) {
                PyErr_Clear();
                return false;
            }
            leaves.add_new(array.release().ptr());
            continue;
        }
        if (PyList_GET_SIZE(cell.ptr()) != 1) {
            return false;
        }
        PyObject* array = PyList_GET_ITEM(cell.ptr(), 0);
        if (!PyArray_CheckExact(array) || !entries_[leaves.count()].matches(array)) {
            return false;
        }
        leaves.add_array(array);
    }
    return true;
}

// Whether no array that the call writes shares memory with another. Judged by the bytes between first and last element.
bool Plan::apart(const Leaves& leaves) const {
    const auto overlap = [&](int i, int j) {
        const char *a = leaves.data()[i], *b = leaves.data()[j];
        return a + entries_[i].low < b + entries_[j].high && b + entries_[j].low < a + entries_[i].high;
    };
    for (int i = 0; i < leaf_count(); ++i) {
        for (int j = 0; entries_[i].written && j < leaf_count(); ++j) {
            if (i != j && overlap(i, j)) {
                return false;
            }
        }
    }
    return true;
}

bool Plan::matches_array(const ArrayEntry& entry, PyObject* value, Leaves& leaves) const {
    if (PyArray_CheckExact(value) && entry.matches(value)) {
        leaves.add_array(value);
        return true;
    }
    if (entry.is_scalar(value)) {
        leaves.add_scalar(value);
        return true;
    }
    return false;
}

bool Plan::matches_entry(const Entry& entry, PyObject* value, Leaves& leaves) const {
    switch (entry.kind) {
        case Entry::Kind::Array:
            return matches_array(entries_[entry.leaf], value, leaves);
        case Entry::Kind::Number:
            return matches_array(entries_[entry.leaf], value, leaves) ||
                   leaves.add_number(value, entries_[entry.leaf].type_number, entry.lossy);
        case Entry::Kind::Float:
            return PyFloat_CheckExact(value) && leaves.add_number(value, entries_[entry.leaf].type_number, false);
        case Entry::Kind::Cast:
            return matches_cast(entry, value, leaves);
        case Entry::Kind::Read:
            return matches_read(entry, value, leaves);
        case Entry::Kind::Static:
            return strictly_equal(entry.object.ptr(), value);
        case Entry::Kind::Weak:
            return refers_to(entry.object.ptr(), value);
        case Entry::Kind::Tuple:
            return matches_tuple(entry, value, leaves);
        case Entry::Kind::List:
            return matches_list(entry, value, leaves);
        case Entry::Kind::Dict:
            return matches_dict(entry, value, leaves);
        case Entry::Kind::Attributes:
            return matches_attributes(entry, value, leaves);
    }
    return false;
}

void Plan::execute(const Leaves& leaves, PyObject** outputs) const {
    try {
        program_->execute(leaves.data(), outputs, leaves.arrays());
    } catch (py::error_already_set& error) {
        std::fill(outputs, outputs + program_->output_count(), nullptr);  // the program has let go of what it made
        if (!on_error_.is_none()) {
            on_error_(error.value(), token_);  // may raise something that says more
        }
        throw;
    }
}

PyObject* Plan::run(const Leaves& leaves) const {
    References outputs(static_cast<size_t>(program_->output_count()));
    execute(leaves, outputs.get());
    return finish(outputs.get(), leaves);
}

PyObject* Plan::run_on_path(const Leaves& leaves, Path& path, bool& refuted) const {
    const size_t count = static_cast<size_t>(program_->output_count());
    References outputs(count), answers(question_ == nullptr ? 0 : expected_.size());
    refuted = true;
    path.tree = py::object();
    // An error may be one of another path's plan: whoever knows the path runs the right plan, which raises its own.
    const auto fails = [&](Program& program, PyObject** made) {
        try {
            program.execute(leaves.data(), made, leaves.arrays());
            return false;
        } catch (py::error_already_set& error) {
            std::fill(made, made + program.output_count(), nullptr);
            if (!error.matches(PyExc_Exception)) {
                throw;
            }
            return true;
        }
    };
    if (question_ != nullptr && (fails(*question_, answers.get()) || !gives_expected(answers.get(), path))) {
        return nullptr;
    }
    if (fails(*program_, outputs.get())) {
        return nullptr;
    }
    if (question_ == nullptr && !gives_expected(outputs.get() + count - expected_.size(), path)) {
        return nullptr;
    }
    refuted = false;
    return finish(outputs.get(), leaves);
}

void Plan::visit_objects(const std::function<void(py::object&)>& visit) {
    for (Entry& entry : spec_) {
        entry.visit_objects(visit);
    }
    for (std::vector<py::object>* objects : {&keyword_names_, &captured_, &shared_, &expected_}) {
        std::for_each(objects->begin(), objects->end(), visit);
    }
    for (std::vector<ArrayEntry>* entries : {&entries_, &sources_}) {
        for (ArrayEntry& entry : *entries) {
            visit(entry.scalar_type);
        }
    }
    for (Update& update : updates_) {
        visit(update.cell);
    }
    for (RowUpdate& item : row_updates_) {
        visit(item.program_object);
    }
    for (WriteBack& item : write_backs_) {
        visit(item.store);
    }
    for (Guard& guard : guards_) {
        for (py::object* object : {&guard.holder, &guard.name, &guard.expected}) {
            visit(*object);
        }
    }
    result_.visit_objects(visit);
    for (py::object* object : {&program_object_, &check_, &on_error_, &token_, &question_object_, &tree_}) {
        visit(*object);
    }
}

}  // namespace tracer

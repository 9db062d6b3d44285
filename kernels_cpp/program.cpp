#include "program.hpp"

#include <algorithm>
#include <cstdlib>
#include <new>

#include "loop.hpp"
#include "output_memory.hpp"
#include "threads.hpp"
#include "timer.hpp"

namespace tracer {
namespace {

constexpr int64_t ALIGNMENT = 64;
constexpr double RELEASE_GIL_ABOVE = 20e3;  // nanoseconds of estimated work
constexpr size_t KEPT_STATES = 8;
constexpr int64_t LARGEST_ARENA = int64_t{1} << 46;

using Factory = std::unique_ptr<Instruction> (*)(py::handle, BufferTable&);

Factory factory_of(const std::string& opcode) {
    static const std::pair<const char*, Factory> FACTORIES[] = {
        {"loop", make_loop},
        {"matmul", make_matmul},
        {"gather", make_gather},
        {"scatter", make_scatter},
        {"cumulative", make_cumulative},
        {"arg_reduce", make_arg_reduce},
        {"call", make_call},
        {"scan", make_scan},
        {"branch", make_branch},
        {"while", make_while},
    };
    for (const auto& [name, factory] : FACTORIES) {
        if (opcode == name) {
            return factory;
        }
    }
    malformed("there is no instruction " + opcode);
}

}  // namespace

struct Program::State {
    std::vector<char*> base;
    std::vector<PyObject*> owners;
    py::object arena_owner;  // frees the arena; shared with arrays that a Python function may have kept
    char* arena = nullptr;
};

class Program::Lease {
  public:
    explicit Lease(Program& program) : program_(program) {
        if (!program.free_.empty()) {
            state_ = std::move(program.free_.back());
            program.free_.pop_back();
            return;
        }
        state_ = std::make_unique<State>();
        const size_t count = program.table_.buffers.size();
        state_->base.resize(count, nullptr);
        state_->owners.resize(count, nullptr);
        void* arena = new_memory(static_cast<size_t>(std::max<int64_t>(program.arena_, ALIGNMENT)));
        if (arena == nullptr) {
            throw std::bad_alloc();
        }
        state_->arena_owner = py::capsule(arena, free_memory);
        state_->arena = static_cast<char*>(arena);
        for (const int number : program.temporaries_) {
            state_->base[number] = state_->arena + program.table_.buffers[number].offset;
            state_->owners[number] = state_->arena_owner.ptr();
        }
        for (const auto& [number, array] : program.constant_buffers_) {
            state_->base[number] = static_cast<char*>(py::detail::array_proxy(array.ptr())->data);
            state_->owners[number] = array.ptr();
        }
    }
    ~Lease() {
        if (program_.free_.size() < KEPT_STATES) {
            program_.free_.push_back(std::move(state_));
        }
    }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    State* operator->() const { return state_.get(); }

  private:
    Program& program_;
    std::unique_ptr<State> state_;
};

Program::Program(py::object description, const std::vector<std::pair<int64_t, int64_t>>& in_place) {
    for (py::handle constant : description.attr("constants")) {
        if (!py::isinstance<py::array>(constant)) {
            malformed("a constant is not an array");
        }
        constants_.push_back(py::reinterpret_borrow<py::object>(constant));
    }
    arena_ = read_integer(description.attr("arena"), "arena");
    const int64_t outputs = read_integer(description.attr("outputs"), "outputs");
    if (arena_ < 0 || arena_ > LARGEST_ARENA || outputs < 0 || outputs > (1 << 24)) {
        malformed("the arena or the number of outputs is out of range");
    }
    outputs_.assign(outputs, -1);
    line_ = py::cast<std::string>(description.attr("line"));
    read_buffers(description);
    for (const auto& [argument, output] : in_place) {
        share(argument, output);
    }
    read_instructions(description);
    if (std::find(outputs_.begin(), outputs_.end(), -1) != outputs_.end()) {
        malformed("an output has no buffer");
    }
}

Program::~Program() = default;

void Program::read_buffers(py::handle description) {
    for (py::handle python_buffer : description.attr("buffers")) {
        const int number = static_cast<int>(table_.buffers.size());
        try {
            table_.buffers.push_back(read_buffer(python_buffer));
            place(number, python_buffer);
        } catch (const std::invalid_argument& error) {
            malformed("buffer " + std::to_string(number) + ": " + error.what());
        }
    }
}

// Enters a buffer into the list of its kind.
void Program::place(int number, py::handle python_buffer) {
    const Buffer& buffer = table_.buffers[number];
    dtypes_.push_back(numpy_dtype(buffer.dtype));
    const bool own = buffer.kind == BufferKind::Temporary || buffer.kind == BufferKind::Output;
    if (own && !is_contiguous(buffer)) {
        malformed("a temporary or output is not C-contiguous");
    }
    if (buffer.kind == BufferKind::Argument) {
        if (buffer.index >= (1 << 24)) {
            malformed("the argument number is out of range");
        }
        if (buffer.index >= argument_count()) {
            arguments_.resize(buffer.index + 1, -1);
        }
        if (arguments_[buffer.index] >= 0) {
            malformed("two buffers stand for argument " + std::to_string(buffer.index));
        }
        arguments_[buffer.index] = number;
    } else if (buffer.kind == BufferKind::Output) {
        if (buffer.index >= output_count() || outputs_[buffer.index] >= 0) {
            malformed("output " + std::to_string(buffer.index) + " is out of range or made twice");
        }
        outputs_[buffer.index] = number;
    } else if (buffer.kind == BufferKind::Temporary) {
        if (buffer.offset % ALIGNMENT != 0) {
            malformed("the offset in the arena is not aligned");
        }
        if (buffer.size > (arena_ - std::min(arena_, buffer.offset)) / itemsize(buffer.dtype) ||
            buffer.offset > arena_) {
            malformed("it reaches beyond the arena");
        }
        temporaries_.push_back(number);
    } else {
        if (buffer.index >= static_cast<int64_t>(constants_.size())) {
            malformed("there is no constant " + std::to_string(buffer.index));
        }
        const py::object& array = constants_[buffer.index];
        const py::object shape = array.attr("shape"), strides = array.attr("strides");
        if (read_dtype(array.attr("dtype"), "constant") != buffer.dtype || !shape.equal(python_buffer.attr("shape"))) {
            malformed("the constant has another dtype or shape");
        }
        const Shape found = read_integers(strides, "strides");
        for (size_t d = 0; d < found.size(); ++d) {
            if (buffer.shape[d] > 1 && buffer.size > 0 && found[d] != buffer.strides[d] * itemsize(buffer.dtype)) {
                malformed("the constant has other strides");
            }
        }
        if (!py::cast<bool>(array.attr("flags").attr("aligned"))) {
            malformed("the constant is not aligned");
        }
        constant_buffers_.emplace_back(number, array);
    }
}

void Program::share(int64_t argument, int64_t output) {
    if (argument < 0 || argument >= argument_count() || arguments_[argument] < 0 || output < 0 ||
        output >= output_count() || outputs_[output] < 0) {
        malformed("an argument and an output cannot be the same memory");
    }
    table_.buffers[outputs_[output]].shared = arguments_[argument];
}

void Program::read_instructions(py::handle description) {
    for (py::handle item : description.attr("instructions")) {
        const std::string where = "instruction " + std::to_string(instructions_.size());
        const std::string opcode = py::cast<std::string>(py::getattr(item, "opcode", py::str("of unknown kind")));
        try {
            auto instruction = factory_of(opcode)(item, table_);
            instruction->line = py::cast<std::string>(item.attr("line"));
            cost_ += instruction->cost();
            instructions_.push_back(std::move(instruction));
        } catch (const std::invalid_argument& error) {
            malformed(where + " (" + opcode + "): " + error.what());
        } catch (const py::cast_error&) {
            malformed(where + " (" + opcode + "): an attribute has the wrong type");
        }
    }
}

PyObject* Program::make_output(int64_t i) const {
    const Buffer& buffer = table_.buffers[outputs_[i]];
    return new_output(dtypes_[outputs_[i]], buffer.shape, buffer.size * itemsize(buffer.dtype)).release().ptr();
}

void Program::call_when_hot() {
    until_hot_ = -1.0;
    const py::object callback = std::move(when_hot_);
    try {
        callback();
    } catch (py::error_already_set& error) {
        error.discard_as_unraisable(callback);
    }
}

void Program::execute(char* const* arguments, PyObject** outputs, PyObject* const* owners, Timer* timer) {
    if (until_hot_ == 0.0) {
        call_when_hot();
    }
    Lease state(*this);
    for (size_t i = 0; i < arguments_.size(); ++i) {
        if (arguments_[i] >= 0) {
            state->base[arguments_[i]] = arguments[i];
            state->owners[arguments_[i]] = owners != nullptr ? owners[i] : nullptr;
        }
    }
    size_t made = 0, at = 0;
    try {
        for (; made < outputs_.size(); ++made) {
            PyObject* array = make_output(made);
            outputs[made] = array;
            state->base[outputs_[made]] = static_cast<char*>(py::detail::array_proxy(array)->data);
            state->owners[outputs_[made]] = array;
        }
        const Context context{state->base.data(), table_.buffers.data(), state->owners.data(), timer};
        if (cost_ > RELEASE_GIL_ABOVE) {
            py::gil_scoped_release release;
            run_all(context, at);
        } else {
            run_all(context, at);
        }
    } catch (...) {
        while (made > 0) {
            Py_DECREF(outputs[--made]);
        }
        fail(at);
    }
    if (until_hot_ > 0.0 && (until_hot_ -= cost_) <= 0.0) {
        call_when_hot();
    }
}

template <typename Visit>
void Program::visit_instructions(char* const* arguments, Visit visit) {
    Lease state(*this);
    for (size_t i = 0; i < arguments_.size(); ++i) {
        if (arguments_[i] >= 0) {
            state->base[arguments_[i]] = arguments[i];
            state->owners[arguments_[i]] = nullptr;
        }
    }
    const Context context{state->base.data(), table_.buffers.data(), state->owners.data()};
    size_t at = 0;
    try {
        for (; at < instructions_.size(); ++at) {
            visit(*instructions_[at], context);
        }
    } catch (...) {
        fail(at);
    }
}

void Program::check_change(char* const* arguments) {
    visit_instructions(arguments, [](const Instruction& it, const Context& context) { it.check(context); });
}

void Program::change(char* const* arguments) {
    visit_instructions(arguments, [](const Instruction& it, const Context& context) { it.run(context); });
}

void Program::run_all(const Context& context, size_t& at) const {
    if (context.timer != nullptr) {
        return Timer::run_all(this, instructions_, context, at);
    }
    for (; at < instructions_.size(); ++at) {
        instructions_[at]->run(context);
    }
}

void Program::place(char** base, char* arena) const {
    for (const int number : temporaries_) {
        base[number] = arena + table_.buffers[number].offset;
    }
    for (const auto& [number, array] : constant_buffers_) {
        base[number] = static_cast<char*>(py::detail::array_proxy(array.ptr())->data);
    }
}

void Program::run_inside(const Context& context) const {
    size_t at = 0;
    try {
        run_all(context, at);
    } catch (const Failure&) {
        throw;
    } catch (...) {
        throw Failure{std::current_exception(), instructions_[at]->line};
    }
}

void Program::find_loops(std::vector<FoundLoop>& found, double times) const {
    for (const auto& instruction : instructions_) {
        instruction->find_loops(found, times);
    }
}

py::list Program::loops() const {
    std::vector<FoundLoop> found;
    find_loops(found, 1.0);
    py::list result;
    for (const auto& [loop, cost] : found) {
        result.append(py::make_tuple(loop->outline(), cost));
    }
    return result;
}

void Program::use_native(size_t number, uintptr_t address, py::object owner) const {
    std::vector<FoundLoop> found;
    find_loops(found, 1.0);
    if (number >= found.size() || address == 0) {
        malformed("there is no loop " + std::to_string(number));
    }
    found[number].loop->use_native(address, std::move(owner));
}

void Program::when_hot(double nanoseconds, py::object callback) {
    when_hot_ = std::move(callback);
    until_hot_ = nanoseconds;
}

namespace {

// Makes an exception Python's current one.
void restore(const std::exception_ptr& cause) {
    try {
        std::rethrow_exception(cause);
    } catch (py::error_already_set& error) {
        error.restore();
    } catch (const std::out_of_range& error) {
        PyErr_SetString(PyExc_IndexError, error.what());
    } catch (const std::invalid_argument& error) {
        PyErr_SetString(PyExc_ValueError, error.what());
    } catch (const std::bad_alloc&) {
        PyErr_NoMemory();
    } catch (const std::exception& error) {
        PyErr_SetString(PyExc_RuntimeError, error.what());
    }
}

}  // namespace

// Turns the exception in flight into a Python exception that knows where it comes from.
void Program::fail(size_t at) const {
    std::string line = at < instructions_.size() ? instructions_[at]->line : line_;
    try {
        throw;
    } catch (const Failure& failure) {
        restore(failure.cause);
        line = failure.line.empty() ? line : failure.line;
    } catch (...) {
        restore(std::current_exception());
    }
    py::error_already_set error;
    // An exception that takes no attributes is passed on without them.
    if (PyObject_SetAttrString(error.value().ptr(), "tracer_instruction", py::int_(at).ptr()) != 0 ||
        PyObject_SetAttrString(error.value().ptr(), "tracer_line", py::str(line).ptr()) != 0) {
        PyErr_Clear();
    }
    throw error;
}

void Program::check_argument(int64_t i, py::handle value) const {
    const std::string name = "argument " + std::to_string(i);
    if (!py::isinstance<py::array>(value)) {
        malformed(name + " is not an array");
    }
    if (arguments_[i] < 0) {
        return;
    }
    const Buffer& buffer = table_.buffers[arguments_[i]];
    const auto* array = py::detail::array_proxy(value.ptr());
    const auto& api = py::detail::npy_api::get();
    const PyObject* expected = dtypes_[arguments_[i]].ptr();
    if (array->descr != expected && !api.PyArray_EquivTypes_(array->descr, dtypes_[arguments_[i]].ptr())) {
        malformed(name + " has dtype " + py::cast<std::string>(py::str(value.attr("dtype"))) + ", not " +
                  dtype_name(buffer.dtype));
    }
    if (array->nd != static_cast<int>(buffer.shape.size()) ||
        !std::equal(buffer.shape.begin(), buffer.shape.end(), array->dimensions)) {
        malformed(name + " has another shape");
    }
    for (int d = 0; d < array->nd; ++d) {
        if (buffer.shape[d] > 1 && buffer.size > 0 && array->strides[d] != buffer.strides[d] * itemsize(buffer.dtype)) {
            malformed(name + " has other strides");
        }
    }
    if ((array->flags & py::detail::npy_api::NPY_ARRAY_ALIGNED_) == 0) {
        malformed(name + " is not aligned");
    }
    if (buffer.written && (array->flags & py::detail::npy_api::NPY_ARRAY_WRITEABLE_) == 0) {
        malformed(name + " is written, but not writeable");
    }
}

py::list Program::run(py::handle arguments, Timer* timer) {
    const auto list = py::reinterpret_steal<py::object>(PySequence_Fast(arguments.ptr(), "expected a list of arrays"));
    if (!list) {
        throw py::error_already_set();
    }
    const int64_t count = PySequence_Fast_GET_SIZE(list.ptr());
    if (count < argument_count()) {
        malformed(std::to_string(argument_count()) + " arguments are needed, not " + std::to_string(count));
    }
    PyObject** items = PySequence_Fast_ITEMS(list.ptr());
    std::vector<char*> addresses(argument_count());
    for (int64_t i = 0; i < argument_count(); ++i) {
        check_argument(i, items[i]);
        addresses[i] = static_cast<char*>(py::detail::array_proxy(items[i])->data);
    }
    std::vector<PyObject*> made(outputs_.size());
    execute(addresses.data(), made.data(), items, timer);
    py::list result(made.size());
    for (size_t i = 0; i < made.size(); ++i) {
        PyList_SET_ITEM(result.ptr(), i, made[i]);
    }
    return result;
}

std::string Program::text() const {
    std::string text = "<Program of " + std::to_string(instructions_.size()) + " instructions, " +
                       std::to_string(argument_count()) + " arguments, " + std::to_string(output_count()) + " outputs:";
    for (const auto& instruction : instructions_) {
        text += "\n  " + instruction->name();
    }
    return text + ">";
}

void bind_program(py::module_& m) {
    py::class_<Program>(m, "Program", "An executable program, built from the description of the same name.")
        .def(py::init([](py::object description) { return std::make_unique<Program>(std::move(description)); }),
             py::arg("description"))
        .def(
            "run", [](Program& program, py::handle arguments) { return program.run(arguments); }, py::arg("arguments"),
            "Run on a list of arrays; gives the list of outputs.")
        .def("run_timed", &Program::run_timed, py::arg("arguments"), py::arg("deep") = false,
             "As run; gives also for each instruction the nanoseconds that it took, its runs, the most threads that "
             "one\n"
             "took, and a list of the same for each program inside of it: with zeros, if not `deep`.")
        .def("steps", &Program::steps,
             "For each instruction its name, whether it runs by native code, and a list of the same for each program\n"
             "inside of it.")
        .def("loops", &Program::loops,
             "For each loop, those of inner programs too: its description, the lengths of its axes, the axis whose\n"
             "places a call of native code is given a range of, the operands (slot, dtype, buffer, offset and strides\n"
             "in bytes), and its share of the program's cost. What runs programs step by step is among them, ahead of "
             "the\n"
             "loops inside: its description, and how many these are.")
        .def("use_native", &Program::use_native, py::arg("number"), py::arg("address"), py::arg("owner"),
             "From now on run a loop by the function at an address, which `owner` keeps there.")
        .def(
            "when_hot", &Program::when_hot, py::arg("nanoseconds"), py::arg("callback"),
            "Call a function once, after the run at which the work since now comes to an estimated time; ahead of the\n"
            "next run if that is 0.")
        .def_property_readonly("num_arguments", &Program::argument_count)
        .def_property_readonly("num_outputs", &Program::output_count)
        .def_property_readonly("cost", &Program::cost, "Estimated nanoseconds of a run on one core.")
        .def("__repr__", &Program::text);
    m.def("set_threads", &set_thread_count, py::arg("count"),
          "Threads of a parallel loop; below 1: one per processor.");
    m.def(
        "prepare_memory", [](py::handle sizes) { prepare_memory(read_integers(sizes, "sizes")); }, py::arg("sizes"),
        "Have memory of these sizes, in bytes, ready for results or for what is computed in between; a thread of its\n"
        "own sees to that.");
    m.def("get_threads", &thread_count, "Threads that a parallel loop may use.");
}

}  // namespace tracer

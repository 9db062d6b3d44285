// The executable program: a table of buffers and a flat list of instructions over it.
// Everything is read from the Python dataclasses of tracer/lower/program.py and verified once, at construction;
// running a program afterwards touches no Python object of its description.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <exception>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "types.hpp"

namespace tracer {

namespace py = pybind11;

using Shape = std::vector<int64_t>;

enum class BufferKind : uint8_t { Argument, Constant, Temporary, Output };

struct Buffer {
    BufferKind kind;
    Dtype dtype;
    Shape shape;
    Shape strides;         // in elements
    int64_t index = -1;    // place among arguments, constants or outputs
    int64_t offset = 0;    // bytes into the arena, temporaries only
    int64_t size = 0;      // number of elements
    int64_t low = 0;       // lowest and highest element offset that the buffer holds, relative to its base;
    int64_t high = -1;     // low > high if it holds none
    bool written = false;  // some instruction stores here (so an argument must be writeable)
    int shared = -1;       // an output that is the memory of this buffer, an argument
};

// A strided window on a buffer. Offsets and strides count elements; the number of strides is that of the domain.
struct View {
    int buffer = -1;
    int64_t offset = 0;
    Shape strides;
};

enum class Access : uint8_t { Read, Write };

// The buffers of a program, and the one place that turns a Python View into a checked View.
// All its methods throw std::invalid_argument (ValueError in Python) for anything malformed.
class BufferTable {
  public:
    std::vector<Buffer> buffers;

    // Reads a View over the domain `shape` and checks that every point of it lies inside its buffer.
    // Write marks the buffer as written, refuses constants, and refuses views that hit an element twice
    // (`repeats` allows stride 0, for reduction targets).
    View view(py::handle python_view, const Shape& shape, Access access, bool repeats = false);
    const Buffer& of(const View& view) const { return buffers[view.buffer]; }
    Dtype dtype(const View& view) const { return buffers[view.buffer].dtype; }
    // Whether the two views, over domains `shape_a` and `shape_b`, may share a byte (true when in doubt).
    // Buffers of arguments are taken to be apart: whoever calls a program answers for that.
    bool may_overlap(const View& a, const Shape& shape_a, const View& b, const Shape& shape_b) const;
    // Whether the two views over `shape` are element by element the same memory (in-place is then safe).
    bool same_place(const View& a, const View& b, const Shape& shape) const;
};

class Timer;  // timer.hpp

// What an instruction sees when it runs: the base address of every buffer.
// Instructions keep no state of a run in themselves: one program may run in several threads at once.
struct Context {
    char* const* base;
    const Buffer* buffers;
    PyObject* const* owners;  // per buffer the object that keeps its memory alive; nullptr if unknown. For Call only
    Timer* timer = nullptr;   // enters what the instructions of inner programs cost; nullptr: nobody asks

    // Address of the element at the view's offset.
    char* resolve(const View& view) const {
        return base[view.buffer] + view.offset * static_cast<int64_t>(itemsize(buffers[view.buffer].dtype));
    }
    template <typename T>
    T* resolve_as(const View& view) const {
        return reinterpret_cast<T*>(resolve(view));
    }
};

class Program;

// What native code can take over.
struct Translatable {
    virtual ~Translatable() = default;
    // What native code must know; see Program::loops.
    virtual py::tuple outline() const = 0;
    // Runs by native code from the next run on, for as long as the program lives; `owner` keeps that.
    virtual void use_native(uintptr_t function, py::object owner) const = 0;
};

// The same, with its share of the cost of the program that it was asked of.
struct FoundLoop {
    const Translatable* loop;
    double cost;
};

// One instruction. Constructors verify and throw std::invalid_argument; run() may throw std::out_of_range (IndexError),
// std::invalid_argument (ValueError), py::error_already_set (GIL held), anything else becomes RuntimeError.
// The program attaches its index and line to the Python exception.
struct Instruction {
    std::string line;
    virtual ~Instruction() = default;
    virtual void run(const Context& context) const = 0;
    // Throws what `run` would throw on these arrays, and changes nothing.
    virtual void check(const Context& /*context*/) const {}
    // Estimated nanoseconds of one run on one core: decides about the GIL and about threads.
    virtual double cost() const { return 0.0; }
    virtual std::string name() const = 0;
    // Appends what native code can take over, itself before what it has inside; it runs `times` times in one run of
    // the whole.
    virtual void find_loops(std::vector<FoundLoop>& /*found*/, double /*times*/) const {}
    // Appends the programs that it runs itself, in the order of its description.
    virtual void find_programs(std::vector<const Program*>& /*found*/) const {}
    // Whether it runs by native code made for it.
    virtual bool is_native() const { return false; }
};

// Factories; each reads the attributes of one Python instruction. The program sets `line` itself.
std::unique_ptr<Instruction> make_loop(py::handle instruction, BufferTable& table);
std::unique_ptr<Instruction> make_call(py::handle instruction, BufferTable& table);
std::unique_ptr<Instruction> make_matmul(py::handle instruction, BufferTable& table);      // contract.cpp
std::unique_ptr<Instruction> make_gather(py::handle instruction, BufferTable& table);      // index.cpp
std::unique_ptr<Instruction> make_scatter(py::handle instruction, BufferTable& table);     // index.cpp
std::unique_ptr<Instruction> make_cumulative(py::handle instruction, BufferTable& table);  // scan.cpp
std::unique_ptr<Instruction> make_arg_reduce(py::handle instruction, BufferTable& table);  // scan.cpp

std::unique_ptr<Instruction> make_scan(py::handle instruction, BufferTable& table);    // control.cpp
std::unique_ptr<Instruction> make_branch(py::handle instruction, BufferTable& table);  // control.cpp
std::unique_ptr<Instruction> make_while(py::handle instruction, BufferTable& table);   // while.cpp

// Reading helpers shared by the factories; all throw std::invalid_argument with a message naming `what`.
Shape read_shape(py::handle sequence, const char* what);  // non-negative ints, at most 64 of them
Shape read_integers(py::handle sequence, const char* what);
int64_t read_integer(py::handle value, const char* what);
Dtype read_dtype(py::handle dtype, const char* what);  // one of the thirteen, native byte order
py::dtype numpy_dtype(Dtype dtype);
int64_t checked_size(const Shape& shape);  // product; throws on overflow
Buffer read_buffer(py::handle python_buffer);
bool is_contiguous(const Buffer& buffer);                 // C order
[[noreturn]] void malformed(const std::string& message);  // throws std::invalid_argument

// What an instruction of an inner program threw, and the line of that instruction.
struct Failure {
    std::exception_ptr cause;
    std::string line;
};

class Program {
  public:
    // `in_place` are pairs of an argument and an output that will be the same memory.
    explicit Program(py::object description, const std::vector<std::pair<int64_t, int64_t>>& in_place = {});
    ~Program();
    Program(const Program&) = delete;
    Program& operator=(const Program&) = delete;

    // One call. The GIL is held on entry and on exit (it is given up inside if the program is long).
    // `arguments[i]` is the address of element [0, ..., 0] of argument i, whose dtype, shape and strides the caller
    // has checked against argument(i), and which it keeps alive. `outputs` receives output_count() new references.
    // `owners[i]`, if given, is the object that keeps argument i's memory alive (usually the array itself); without it,
    // Python functions called by the program see copies of the arguments.
    // Arrays must be aligned; those of buffers marked `written` must be writeable.
    // Throws py::error_already_set, with `outputs` untouched.
    // With a timer each instruction is timed.
    void execute(char* const* arguments, PyObject** outputs, PyObject* const* owners = nullptr, Timer* timer = nullptr);

    // For a program without outputs that changes its first argument: what `execute` would throw, before anything has
    // changed; and the change itself, with the GIL held all the time, which after that does not fail.
    void check_change(char* const* arguments);
    void change(char* const* arguments);

    int64_t argument_count() const { return static_cast<int64_t>(arguments_.size()); }
    int64_t output_count() const { return static_cast<int64_t>(outputs_.size()); }
    // Buffer that describes argument i: dtype, shape, strides in elements, and whether it is written; nullptr if
    // unused.
    const Buffer* argument(int64_t i) const { return arguments_[i] < 0 ? nullptr : &table_.buffers[arguments_[i]]; }
    const Buffer* output(int64_t i) const { return &table_.buffers[outputs_[i]]; }
    double cost() const { return cost_; }

    // For a program inside another one, which runs it on memory of its own. `place` enters the addresses of constants
    // and temporaries into a table with an entry per buffer; those of arguments and outputs are up to the caller.
    // `run_inside` touches no Python object unless an instruction does; it throws a Failure.
    size_t buffer_count() const { return table_.buffers.size(); }
    const Buffer* buffers() const { return table_.buffers.data(); }
    const std::vector<std::unique_ptr<Instruction>>& instructions() const { return instructions_; }
    int argument_buffer(int64_t i) const { return arguments_[i]; }
    int output_buffer(int64_t i) const { return outputs_[i]; }
    int64_t arena_size() const { return arena_; }
    void place(char** base, char* arena) const;
    void run_inside(const Context& context) const;

    void find_loops(std::vector<FoundLoop>& found, double times) const;
    // Every loop, those of inner programs too, for the generator of native code; `use_native` counts them the same way.
    py::list loops() const;
    void use_native(size_t number, uintptr_t address, py::object owner) const;
    // Calls `callback` once, after the run with which those since then are estimated to have taken so many
    // nanoseconds; ahead of the next run if that is 0.
    void when_hot(double nanoseconds, py::object callback);

    py::list run(py::handle arguments, Timer* timer = nullptr);
    // The outputs, and for each instruction what it cost: nanoseconds, runs, threads, and the same of its programs.
    py::tuple run_timed(py::handle arguments, bool deep);
    // For each instruction its name, whether it runs by native code, and the same of its programs.
    py::list steps() const;
    std::string text() const;

  private:
    struct State;  // arena and base table of one run
    class Lease;   // a State taken from `free_` for the time of a run

    BufferTable table_;
    std::vector<std::unique_ptr<Instruction>> instructions_;
    std::vector<int> arguments_;  // argument -> buffer, or -1
    std::vector<int> outputs_;    // output -> buffer
    std::vector<int> temporaries_;
    std::vector<py::object> constants_;
    std::vector<std::pair<int, py::object>> constant_buffers_;
    std::vector<py::object> dtypes_;            // per buffer
    std::vector<std::unique_ptr<State>> free_;  // guarded by the GIL
    std::string line_;
    int64_t arena_ = 0;
    double cost_ = 0.0;
    double until_hot_ = -1.0;  // nanoseconds; negative: nobody asked
    py::object when_hot_;

    void call_when_hot();
    template <typename Visit>
    void visit_instructions(char* const* arguments, Visit visit);
    void run_all(const Context& context, size_t& at) const;
    py::list costs(Timer& timer) const;
    void read_buffers(py::handle description);
    void share(int64_t argument, int64_t output);
    void read_instructions(py::handle description);
    void place(int number, py::handle description);
    void check_argument(int64_t i, py::handle value) const;
    PyObject* make_output(int64_t i) const;
    [[noreturn]] void fail(size_t instruction) const;
};

// Parts of the module, one per source file.
void bind_program(py::module_& m);
void bind_profile(py::module_& m);   // profile.cpp
void bind_registry(py::module_& m);  // registry.cpp
void bind_contract(py::module_& m);  // contract.cpp
void bind_dispatch(py::module_& m);  // dispatch.cpp

}  // namespace tracer

// The kernels by name, for tests and for checking ops.def against the Python op table.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <string>
#include <tuple>
#include <vector>

#include "registry.hpp"

namespace py = pybind11;

namespace tracer {
namespace {

Dtype dtype_of(const py::dtype& type) {
    const std::string name = py::str(type.attr("name"));
    Dtype result;
    if (!dtype_from_name(name.c_str(), &result)) {
        throw py::type_error("no kernels for elements of type " + name);
    }
    return result;
}

std::vector<std::tuple<std::string, std::string, std::string, int>> list_kernels_for_python() {
    std::vector<std::tuple<std::string, std::string, std::string, int>> rows;
    for (const KernelEntry& entry : list_kernels()) {
        rows.emplace_back(entry.name, dtype_name(entry.in), dtype_name(entry.out), entry.arity);
    }
    return rows;
}

struct Operation {
    const char* name;
    const char* family;
    int arity;
    const char* expression;
};

// The lines of ops.def as text, for code generators.
constexpr Operation OPERATIONS[] = {
#define OP_FLOAT(name, arity, expression) {#name, "float", arity, #expression},
#define OP_VECTOR OP_FLOAT
#define OP_LIBM OP_FLOAT
#define OP_FLOAT_BOOL(name, arity, expression) {#name, "float_bool", arity, #expression},
#define OP_INTEGER(name, arity, expression) {#name, "integer", arity, #expression},
#define OP_INTEGER_SLOW OP_INTEGER
#define OP_BOOL(name, arity, expression) {#name, "bool", arity, #expression},
#define OP_COMPARE(name, arity, expression) {#name, "compare", arity, #expression},
#define OP_COMPLEX(name, arity, expression) {#name, "complex", arity, #expression},
#define OP_COMPLEX_REAL(name, arity, expression) {#name, "complex_real", arity, #expression},
#define OP_COMPLEX_BOOL(name, arity, expression) {#name, "complex_bool", arity, #expression},
#define OP_WHERE(name, arity, expression) {#name, "where", arity, #expression},
#define OP_CAST(name, arity, expression) {#name, "cast", arity, #expression},
#include "ops.def"
};

std::vector<std::tuple<std::string, std::string, int, std::string>> list_operations() {
    std::vector<std::tuple<std::string, std::string, int, std::string>> rows;
    for (const Operation& operation : OPERATIONS) {
        rows.emplace_back(operation.name, operation.family, operation.arity, operation.expression);
    }
    return rows;
}

py::array apply_isa(const std::string& isa, const std::string& name, const py::dtype& out, const py::args& operands) {
    std::vector<py::array> arrays;
    for (const py::handle& operand : operands) {
        arrays.push_back(py::array::ensure(operand, py::array::c_style));
        if (!arrays.back() || arrays.back().ndim() != 1 || arrays.back().size() != arrays.front().size()) {
            throw py::value_error("operands must be one-dimensional and of one length");
        }
    }
    if (arrays.empty()) {
        throw py::value_error("operands are missing");
    }
    const KernelEntry* kernel =
        find_kernel_isa(isa.c_str(), name.c_str(), dtype_of(arrays.back().dtype()), dtype_of(out));
    if (kernel == nullptr || kernel->arity != static_cast<int>(arrays.size())) {
        throw py::key_error(isa + " has no kernel " + name + " for these types");
    }
    for (size_t i = 0; i < arrays.size(); ++i) {
        const bool condition = i == 0 && kernel->arity == 3;
        if (dtype_of(arrays[i].dtype()) != (condition ? Dtype::Bool : kernel->in)) {
            throw py::type_error("operands must have the type of the last one");
        }
    }
    py::array result(out, arrays.front().size());
    std::vector<const void*> in;
    for (const py::array& array : arrays) {
        in.push_back(array.data());
    }
    kernel->fn(result.mutable_data(), in.data(), result.size());
    return result;
}

py::array reduce_isa(const std::string& isa, const std::string& kind, const py::array& operand) {
    const py::array array = py::array::ensure(operand, py::array::c_style);
    Dtype accumulator_type;
    const ReduceKernel kernel = find_reduce_isa(isa.c_str(), kind.c_str(), dtype_of(array.dtype()), &accumulator_type);
    if (kernel == nullptr) {
        throw py::key_error(isa + " has no reduction " + kind + " for this type");
    }
    if (array.size() == 0 && (kind == "max" || kind == "min")) {
        throw py::value_error(kind + " of nothing");
    }
    py::array result(py::dtype(dtype_name(accumulator_type)), std::vector<py::ssize_t>{});
    kernel(result.mutable_data(), array.data(), array.size());
    return result;
}

}  // namespace

void bind_registry(py::module_& m) {
    m.def("active_isa", &active_isa, "The instruction set whose kernels run.");
    m.def("available_isas", &available_isas, "The instruction sets that this machine can run, best last.");
    m.def("list_kernels", &list_kernels_for_python, "(name, operand dtype, result dtype, arity) of every kernel.");
    m.def("list_operations", &list_operations, "(name, family, arity, expression in C++) of every scalar operation.");
    m.def("apply_isa", &apply_isa, "Run one kernel of an instruction set on one-dimensional arrays.", py::arg("isa"),
          py::arg("name"), py::arg("out_dtype"));
    m.def(
        "apply",
        [](const std::string& name, const py::dtype& out, const py::args& operands) {
            return apply_isa(active_isa(), name, out, operands);
        },
        "Run one kernel on one-dimensional arrays.", py::arg("name"), py::arg("out_dtype"));
    m.def("reduce_isa", &reduce_isa, "Run one reduction of an instruction set on an array.", py::arg("isa"),
          py::arg("kind"), py::arg("operand"));
}

}  // namespace tracer

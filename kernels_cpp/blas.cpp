#include "blas.hpp"

#include <string>

#include "blas_threads.hpp"

namespace py = pybind11;

namespace tracer {
namespace {

// Takes one function out of its capsule. The capsule's name is the C signature: BLAS with 64-bit integers is refused.
template <class Function>
void take(const py::dict& functions, const char* name, Function& target) {
    if (!functions.contains(name)) {
        return;
    }
    PyObject* capsule = py::object(functions[name]).ptr();
    if (!PyCapsule_CheckExact(capsule)) {
        throw py::type_error(std::string("set_blas: ") + name + " is not a capsule");
    }
    const char* signature = PyCapsule_GetName(capsule);
    if (signature == nullptr || std::string(signature).find(", int *") == std::string::npos) {
        throw py::value_error(std::string("set_blas: ") + name + " does not take 32-bit integers");
    }
    void* address = PyCapsule_GetPointer(capsule, signature);
    if (address == nullptr) {
        throw py::error_already_set();
    }
    target = reinterpret_cast<Function>(address);
    if (!controls_blas_threads()) {
        find_blas_threads(address);
    }
}

// What gives the functions of LAPACK; null once it did. It is never freed, as Python may be gone before it.
py::object* lapack_source = nullptr;

}  // namespace

void set_blas(const py::dict& functions, py::object lapack) {
    take(functions, "sgemm", Blas<float>::gemm);
    take(functions, "dgemm", Blas<double>::gemm);
    take(functions, "cgemm", Blas<complex64>::gemm);
    take(functions, "zgemm", Blas<complex128>::gemm);
    take(functions, "sgemv", Blas<float>::gemv);
    take(functions, "dgemv", Blas<double>::gemv);
    take(functions, "cgemv", Blas<complex64>::gemv);
    take(functions, "zgemv", Blas<complex128>::gemv);
    take(functions, "sdot", Blas<float>::dot);
    take(functions, "ddot", Blas<double>::dot);
    take(functions, "strsv", Blas<float>::trsv);
    take(functions, "dtrsv", Blas<double>::trsv);
    lapack_source = new py::object(std::move(lapack));
}

void load_lapack() {
    if (lapack_source == nullptr || lapack_source->is_none()) {
        return;
    }
    try {
        const py::dict functions = (*lapack_source)();
        take(functions, "spotrf", Lapack<float>::potrf);
        take(functions, "dpotrf", Lapack<double>::potrf);
        take(functions, "sgetrf", Lapack<float>::getrf);
        take(functions, "dgetrf", Lapack<double>::getrf);
        take(functions, "ssyevd", Lapack<float>::syevd);
        take(functions, "dsyevd", Lapack<double>::syevd);
    } catch (py::error_already_set& error) {
        if (!error.matches(PyExc_ImportError)) {
            throw;
        }
    }
    lapack_source = nullptr;
}

}  // namespace tracer

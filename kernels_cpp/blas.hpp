// The functions of BLAS and LAPACK that kernels call, through the pointers that SciPy exports.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <limits>
#include <type_traits>

#include "scalar.hpp"

namespace tracer {

constexpr int64_t BLAS_LIMIT = std::numeric_limits<int>::max();

// All of them are null until set_blas was called.
template <class T>
struct Blas {
    using Gemm = void (*)(const char*, const char*, const int*, const int*, const int*, const T*, const T*, const int*,
                          const T*, const int*, const T*, T*, const int*);
    using Gemv = void (*)(const char*, const int*, const int*, const T*, const T*, const int*, const T*, const int*,
                          const T*, T*, const int*);
    using Dot = T (*)(const int*, const T*, const int*, const T*, const int*);
    using Trsv = void (*)(const char*, const char*, const char*, const int*, const T*, const int*, T*, const int*);
    static inline Gemm gemm = nullptr;
    static inline Gemv gemv = nullptr;
    static inline Dot dot = nullptr;  // never for complex: returning a complex number has no one calling convention
    static inline Trsv trsv = nullptr;
};

// The same, until load_lapack was.
template <class T>
struct Lapack {
    using Potrf = void (*)(const char*, const int*, T*, const int*, int*);
    using Getrf = void (*)(const int*, const int*, T*, const int*, int*, int*);
    using Syevd = void (*)(const char*, const char*, const int*, T*, const int*, T*, T*, const int*, int*, const int*,
                           int*);
    static inline Potrf potrf = nullptr;
    static inline Getrf getrf = nullptr;
    static inline Syevd syevd = nullptr;
};

template <class T>
constexpr bool HAS_BLAS = std::is_floating_point_v<T> || IS_COMPLEX<T>;

// Takes functions of BLAS out of the capsules of scipy.linalg.cython_blas, by name. `lapack` gives those of
// scipy.linalg.cython_lapack, whose import takes time that most programs need not spend.
void set_blas(const pybind11::dict& functions, pybind11::object lapack);

// Takes those of LAPACK once they are needed; leaves them null if there are none. With the GIL.
void load_lapack();

}  // namespace tracer

// The thirteen element types, their names and sizes.
#pragma once

#include <cstdint>
#include <cstring>

namespace tracer {

enum class Dtype : uint8_t { Bool, I8, I16, I32, I64, U8, U16, U32, U64, F32, F64, C64, C128 };

constexpr int DTYPE_COUNT = 13;

// Layout of NumPy's complex numbers; trivial, so that buffers can be copied with memcpy.
struct complex64 {
    float re, im;
};
struct complex128 {
    double re, im;
};

constexpr int64_t itemsize(Dtype type) {
    constexpr int64_t SIZES[DTYPE_COUNT] = {1, 1, 2, 4, 8, 1, 2, 4, 8, 4, 8, 8, 16};
    return SIZES[static_cast<int>(type)];
}

constexpr const char* dtype_name(Dtype type) {
    constexpr const char* NAMES[DTYPE_COUNT] = {"bool",    "int8",      "int16",     "int32",  "int64",
                                                "uint8",   "uint16",    "uint32",    "uint64", "float32",
                                                "float64", "complex64", "complex128"};
    return NAMES[static_cast<int>(type)];
}

// Writes the type called `name` to *type; false if there is none.
inline bool dtype_from_name(const char* name, Dtype* type) {
    for (int i = 0; i < DTYPE_COUNT; ++i) {
        if (std::strcmp(name, dtype_name(static_cast<Dtype>(i))) == 0) {
            *type = static_cast<Dtype>(i);
            return true;
        }
    }
    return false;
}

}  // namespace tracer

// Arithmetic on single elements as NumPy defines it: integers wrap around, bool adds with "or", complex multiplies
// plainly.
#pragma once

#include <cstdint>
#include <type_traits>

#include "types.hpp"

namespace tracer {

template <class T>
struct TypeTag {
    using type = T;
};

template <class T>
constexpr bool IS_COMPLEX = std::is_same_v<T, complex64> || std::is_same_v<T, complex128>;

template <class T>
constexpr bool IS_BOOL = std::is_same_v<T, bool>;

// Calls visitor(TypeTag<T>{}) with the C++ type of `type`.
template <class Visitor>
decltype(auto) visit_dtype(Dtype type, Visitor&& visitor) {
    switch (type) {
        case Dtype::Bool:
            return visitor(TypeTag<bool>{});
        case Dtype::I8:
            return visitor(TypeTag<int8_t>{});
        case Dtype::I16:
            return visitor(TypeTag<int16_t>{});
        case Dtype::I32:
            return visitor(TypeTag<int32_t>{});
        case Dtype::I64:
            return visitor(TypeTag<int64_t>{});
        case Dtype::U8:
            return visitor(TypeTag<uint8_t>{});
        case Dtype::U16:
            return visitor(TypeTag<uint16_t>{});
        case Dtype::U32:
            return visitor(TypeTag<uint32_t>{});
        case Dtype::U64:
            return visitor(TypeTag<uint64_t>{});
        case Dtype::F32:
            return visitor(TypeTag<float>{});
        case Dtype::F64:
            return visitor(TypeTag<double>{});
        case Dtype::C64:
            return visitor(TypeTag<complex64>{});
        default:
            return visitor(TypeTag<complex128>{});
    }
}

// Signed overflow is undefined, and so is uint16 * uint16 after promotion to int: both go through a wide unsigned type.
template <class T>
using Wide = std::conditional_t<(sizeof(T) > 4), uint64_t, uint32_t>;

template <class T>
inline T add(T a, T b) {
    if constexpr (IS_BOOL<T>) {
        return a | b;
    } else if constexpr (IS_COMPLEX<T>) {
        return T{a.re + b.re, a.im + b.im};
    } else if constexpr (std::is_integral_v<T>) {
        return static_cast<T>(static_cast<Wide<T>>(a) + static_cast<Wide<T>>(b));
    } else {
        return a + b;
    }
}

template <class T>
inline T multiply(T a, T b) {
    if constexpr (IS_BOOL<T>) {
        return a & b;
    } else if constexpr (IS_COMPLEX<T>) {
        return T{a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
    } else if constexpr (std::is_integral_v<T>) {
        return static_cast<T>(static_cast<Wide<T>>(a) * static_cast<Wide<T>>(b));
    } else {
        return a * b;
    }
}

template <class T>
inline bool is_nan(T a) {
    if constexpr (IS_COMPLEX<T>) {
        return a.re != a.re || a.im != a.im;
    } else if constexpr (std::is_floating_point_v<T>) {
        return a != a;
    } else {
        return false;
    }
}

// Complex numbers compare by real part, then imaginary part.
template <class T>
inline bool greater(T a, T b) {
    if constexpr (IS_COMPLEX<T>) {
        return a.re > b.re || (a.re == b.re && a.im > b.im);
    } else {
        return a > b;
    }
}

template <class T>
inline T maximum(T a, T b) {
    return is_nan(a) || !(is_nan(b) || greater(b, a)) ? a : b;
}

template <class T>
inline T minimum(T a, T b) {
    return is_nan(a) || !(is_nan(b) || greater(a, b)) ? a : b;
}

template <class T>
inline T from_double(double value) {
    if constexpr (IS_COMPLEX<T>) {
        return T{static_cast<decltype(T::re)>(value), 0};
    } else if constexpr (IS_BOOL<T>) {
        return value != 0;
    } else {
        return static_cast<T>(value);
    }
}

}  // namespace tracer

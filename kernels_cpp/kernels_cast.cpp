// Conversions between all pairs of types, as C converts; complex to real drops the imaginary part, as NumPy does.
#include "loops.hpp"

namespace tracer {
namespace TRACER_ISA {
namespace {

// Out-of-range floats become what NumPy gives on x86-64, whatever instruction the compiler would pick here.
template <class To, class From>
TRACER_INLINE To convert(From from) {
    if constexpr (static_cast<From>(0.5) != From{} && static_cast<To>(0.5) == To{}) {
        if constexpr (sizeof(To) < 4) {
            return static_cast<To>(static_cast<int32_t>(from));
        } else if constexpr (static_cast<To>(-1) < To{}) {
            return static_cast<To>(from);
        } else if constexpr (sizeof(To) == 4) {
            return static_cast<To>(static_cast<int64_t>(from));
        } else {
            constexpr From HALF = static_cast<From>(0x1p63);
            const bool high = from >= HALF;
            const uint64_t low = static_cast<uint64_t>(static_cast<int64_t>(high ? from - HALF : from));
            return low ^ (high ? 0x8000000000000000ull : 0);
        }
    } else {
        return static_cast<To>(from);
    }
}

template <class T>
struct IsComplex {
    static constexpr bool value = false;
    using Part = T;
};
template <>
struct IsComplex<complex64> {
    static constexpr bool value = true;
    using Part = float;
};
template <>
struct IsComplex<complex128> {
    static constexpr bool value = true;
    using Part = double;
};

template <class To, class From>
TRACER_INLINE void convert_element(To* to, const From* from) {
    if constexpr (IsComplex<From>::value) {
        if constexpr (IsComplex<To>::value) {
            using Part = typename IsComplex<To>::Part;
            *to = {static_cast<Part>(from->re), static_cast<Part>(from->im)};
        } else {
            convert_element(to, &from->re);
        }
    } else if constexpr (IsComplex<To>::value) {
        *to = {static_cast<typename IsComplex<To>::Part>(*from), 0};
    } else {
        *to = convert<To>(*from);
    }
}

template <class From, class To>
void cast_loop(void* out, const void* const* in, int64_t n) {
    const From* from = static_cast<const From*>(in[0]);
    To* to = static_cast<To*>(out);
    TRACER_INDEPENDENT
    for (int64_t i = 0; i < n; ++i) {
        convert_element(to + i, from + i);
    }
}

template <class From>
void cast_loop_to_bool(void* out, const void* const* in, int64_t n) {
    const From* from = static_cast<const From*>(in[0]);
    uint8_t* to = static_cast<uint8_t*>(out);
    TRACER_INDEPENDENT
    for (int64_t i = 0; i < n; ++i) {
        if constexpr (IsComplex<From>::value) {
            to[i] = (from[i].re != 0) | (from[i].im != 0);
        } else {
            to[i] = from[i] != 0;
        }
    }
}

#define CAST_PAIR(in_dtype, From, out_dtype, To) {"cast", Dtype::in_dtype, Dtype::out_dtype, 1, cast_loop<From, To>},
#define CASTS_FROM(in_dtype, From)                                                                    \
    {"cast", Dtype::in_dtype, Dtype::Bool, 1, cast_loop_to_bool<From>},                               \
        CAST_PAIR(in_dtype, From, I8, int8_t) CAST_PAIR(in_dtype, From, I16, int16_t)                 \
            CAST_PAIR(in_dtype, From, I32, int32_t) CAST_PAIR(in_dtype, From, I64, int64_t)           \
                CAST_PAIR(in_dtype, From, U8, uint8_t) CAST_PAIR(in_dtype, From, U16, uint16_t)       \
                    CAST_PAIR(in_dtype, From, U32, uint32_t) CAST_PAIR(in_dtype, From, U64, uint64_t) \
                        CAST_PAIR(in_dtype, From, F32, float) CAST_PAIR(in_dtype, From, F64, double)  \
                            CAST_PAIR(in_dtype, From, C64, complex64) CAST_PAIR(in_dtype, From, C128, complex128)

constexpr KernelEntry ENTRIES[] = {CASTS_FROM(Bool, uint8_t) CASTS_FROM(I8, int8_t) CASTS_FROM(I16, int16_t) CASTS_FROM(
    I32, int32_t) CASTS_FROM(I64, int64_t) CASTS_FROM(U8, uint8_t) CASTS_FROM(U16, uint16_t) CASTS_FROM(U32, uint32_t)
                                       CASTS_FROM(U64, uint64_t) CASTS_FROM(F32, float) CASTS_FROM(F64, double)
                                           CASTS_FROM(C64, complex64) CASTS_FROM(C128, complex128)};

}  // namespace

extern const KernelTable<KernelEntry> CAST_TABLE{ENTRIES, sizeof(ENTRIES) / sizeof(ENTRIES[0])};

}  // namespace TRACER_ISA
}  // namespace tracer

// The block loops that turn a scalar expression into a kernel.
#pragma once

#include "kernel_tables.hpp"
#include "vec.hpp"

// An output may be exactly an input, never a shifted one, so no iteration depends on another.
#if defined(__clang__)
#pragma clang diagnostic ignored "-Wpass-failed"  // loops of library calls stay scalar
#define TRACER_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#else
#define TRACER_INDEPENDENT _Pragma("GCC ivdep")
#endif

namespace tracer {
namespace TRACER_ISA {

// out[i] = Op::apply<T>(a[i], b[i]) as R; a unary operation sees its operand twice.
template <class Op, int ARITY, class T, class R>
void elementwise_loop(void* out, const void* const* in, int64_t n) {
    const T* a = static_cast<const T*>(in[0]);
    const T* b = static_cast<const T*>(in[ARITY - 1]);
    R* result = static_cast<R*>(out);
    TRACER_INDEPENDENT
    for (int64_t i = 0; i < n; ++i) {
        result[i] = static_cast<R>(Op::template apply<T>(a[i], b[i]));
    }
}

}  // namespace TRACER_ISA
}  // namespace tracer

// Declares the operation object of one line of ops.def.
#define TRACER_OPERATION(name, expression)                                            \
    struct name##_operation {                                                         \
        template <class T>                                                            \
        static TRACER_INLINE auto apply([[maybe_unused]] T a, [[maybe_unused]] T b) { \
            return expression;                                                        \
        }                                                                             \
    };

#define TRACER_ENTRY(name, arity, in_dtype, T, out_dtype, R) \
    {#name, Dtype::in_dtype, Dtype::out_dtype, arity, elementwise_loop<name##_operation, arity, T, R>},

// Elementary functions over float32 and float64, one vector at a time.
#include "loops.hpp"
#include "math.hpp"

namespace tracer {
namespace TRACER_ISA {
namespace {

// The last, partial vector goes through a padded copy, so that nothing outside the block is read or written.
template <class Op, int ARITY, class T>
void vector_loop(void* out, const void* const* in, int64_t n) {
    using V = typename VectorOf<T>::type;
    const T* a = static_cast<const T*>(in[0]);
    const T* b = static_cast<const T*>(in[ARITY - 1]);
    T* result = static_cast<T*>(out);
    T padded[3][LANES<V>] = {};
    for (int64_t i = 0; i < n; i += LANES<V>) {
        const int64_t left = n - i;
        if (__builtin_expect(left >= LANES<V>, 1)) {
            store(result + i, Op::template apply<V>(load<V>(a + i), load<V>(b + i)));
        } else {
            const size_t bytes = static_cast<size_t>(left) * sizeof(T);
            std::memcpy(padded[0], a + i, bytes);
            std::memcpy(padded[1], b + i, bytes);
            store(padded[2], Op::template apply<V>(load<V>(padded[0]), load<V>(padded[1])));
            std::memcpy(result + i, padded[2], bytes);
        }
    }
}

#define OP_VECTOR(name, arity, expression) TRACER_OPERATION(name, expression)
#include "ops.def"

constexpr KernelEntry ENTRIES[] = {
#define OP_VECTOR(name, arity, expression)                                               \
    {#name, Dtype::F32, Dtype::F32, arity, vector_loop<name##_operation, arity, float>}, \
        {#name, Dtype::F64, Dtype::F64, arity, vector_loop<name##_operation, arity, double>},
#include "ops.def"
};

}  // namespace

extern const KernelTable<KernelEntry> VECTOR_TABLE{ENTRIES, sizeof(ENTRIES) / sizeof(ENTRIES[0])};

}  // namespace TRACER_ISA
}  // namespace tracer

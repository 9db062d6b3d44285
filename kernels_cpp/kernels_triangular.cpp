// Small triangular systems with many right sides: the blocks on the diagonal of larger ones.
#include "kernel_tables.hpp"
#include "vec.hpp"

namespace tracer {
namespace TRACER_ISA {
namespace {

// Solves for WIDTH vectors of right sides, of which each row stays in registers until it is finished.
template <class T, int WIDTH>
TRACER_INLINE void solve_strip(const T* triangle, int64_t n, T* x, int64_t row) {
    using V = typename VectorOf<T>::type;
    for (int64_t i = 0; i < n; ++i) {
        V sums[WIDTH];
        for (int w = 0; w < WIDTH; ++w) {
            sums[w] = load<V>(x + i * row + w * LANES<V>);
        }
        for (int64_t k = 0; k < i; ++k) {
            const V factor = splat<V>(triangle[i * n + k]);
            for (int w = 0; w < WIDTH; ++w) {
                sums[w] -= factor * load<V>(x + k * row + w * LANES<V>);
            }
        }
        const V pivot = splat<V>(triangle[i * n + i]);
        for (int w = 0; w < WIDTH; ++w) {
            store(x + i * row + w * LANES<V>, sums[w] / pivot);
        }
    }
}

template <class T>
void solve_block(const void* factors, int64_t n, void* right, int64_t row, int64_t columns) {
    constexpr int WIDTH = 4;
    using V = typename VectorOf<T>::type;
    const T* triangle = static_cast<const T*>(factors);
    T* x = static_cast<T*>(right);
    int64_t j = 0;
    for (; j + WIDTH * LANES<V> <= columns; j += WIDTH * LANES<V>) {
        solve_strip<T, WIDTH>(triangle, n, x + j, row);
    }
    for (; j + LANES<V> <= columns; j += LANES<V>) {
        solve_strip<T, 1>(triangle, n, x + j, row);
    }
    for (int64_t i = 0; i < n && j < columns; ++i) {
        for (int64_t k = 0; k < i; ++k) {
            for (int64_t c = j; c < columns; ++c) {
                x[i * row + c] -= triangle[i * n + k] * x[k * row + c];
            }
        }
        for (int64_t c = j; c < columns; ++c) {
            x[i * row + c] /= triangle[i * n + i];
        }
    }
}

constexpr TriangularEntry ENTRIES[] = {{Dtype::F32, solve_block<float>}, {Dtype::F64, solve_block<double>}};

}  // namespace

extern const KernelTable<TriangularEntry> TRIANGULAR_TABLE{ENTRIES, sizeof(ENTRIES) / sizeof(ENTRIES[0])};

}  // namespace TRACER_ISA
}  // namespace tracer

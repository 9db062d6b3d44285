// Matrix products without BLAS: tiny ones, where a BLAS call costs more than the work, and element types BLAS does not
// know.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "scalar.hpp"

namespace tracer {

// out[m, n] = a[m, k] @ b[k, n]; row and column strides in elements.
struct Product {
    int64_t m, n, k;
    int64_t a_row, a_col, b_row, b_col, out_row, out_col;

    // The same product read as out.T = b.T @ a.T.
    Product transposed() const { return {n, m, k, b_col, b_row, a_col, a_row, out_col, out_row}; }
};

// Scratch memory of one thread, reused from call to call.
class Scratch {
  public:
    enum Slot { A, B, OUT, SLOTS };

    template <class T>
    static T* get(Slot slot, int64_t count) {
        std::vector<char>& memory = slots()[slot];
        const size_t bytes = static_cast<size_t>(count) * sizeof(T);
        if (memory.size() < bytes) {
            memory.clear();  // nothing to keep while it grows
            memory.resize(bytes);
        }
        return reinterpret_cast<T*>(memory.data());
    }

    // Gives big blocks back, so that one huge product does not hold its scratch for the life of the thread.
    static void trim() {
        constexpr size_t KEEP = size_t{16} << 20;
        for (int slot = 0; slot < SLOTS; ++slot) {
            if (slots()[slot].size() > KEEP) {
                std::vector<char>().swap(slots()[slot]);
            }
        }
    }

  private:
    static std::vector<char>* slots() {
        thread_local std::vector<char> memory[SLOTS];
        return memory;
    }
};

// Copies a strided matrix, walking in tiles so that a transposed source stays in cache.
template <class T>
void copy_matrix(int64_t rows, int64_t cols, const T* source, int64_t row, int64_t col, T* out, int64_t out_row,
                 int64_t out_col) {
    constexpr int64_t TILE = 32;
    for (int64_t i0 = 0; i0 < rows; i0 += TILE) {
        const int64_t i1 = std::min(rows, i0 + TILE);
        for (int64_t j0 = 0; j0 < cols; j0 += TILE) {
            const int64_t j1 = std::min(cols, j0 + TILE);
            for (int64_t i = i0; i < i1; ++i) {
                for (int64_t j = j0; j < j1; ++j) {
                    out[i * out_row + j * out_col] = source[i * row + j * col];
                }
            }
        }
    }
}

template <class T>
T dot_unit(int64_t n, const T* a, const T* b) {
    constexpr int LANES = 8;  // independent partial sums, so that the compiler may vectorise
    T sums[LANES] = {};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (int lane = 0; lane < LANES; ++lane) {
            sums[lane] = add(sums[lane], multiply(a[i + lane], b[i + lane]));
        }
    }
    for (; i < n; ++i) {
        sums[0] = add(sums[0], multiply(a[i], b[i]));
    }
    for (int width = LANES / 2; width > 0; width /= 2) {
        for (int lane = 0; lane < width; ++lane) {
            sums[lane] = add(sums[lane], sums[lane + width]);
        }
    }
    return sums[0];
}

template <class T>
T dot_strided(int64_t n, const T* a, int64_t a_step, const T* b, int64_t b_step) {
    if (a_step == 1 && b_step == 1) {
        return dot_unit(n, a, b);
    }
    T even{}, odd{};
    int64_t i = 0;
    for (; i + 2 <= n; i += 2) {
        even = add(even, multiply(a[i * a_step], b[i * b_step]));
        odd = add(odd, multiply(a[(i + 1) * a_step], b[(i + 1) * b_step]));
    }
    if (i < n) {
        even = add(even, multiply(a[i * a_step], b[i * b_step]));
    }
    return add(even, odd);
}

// Every element of the result is one dot product: best when both operands run along k.
template <class T>
void matmul_dots(const Product& p, T alpha, bool accumulate, const T* a, const T* b, T* out) {
    for (int64_t i = 0; i < p.m; ++i) {
        for (int64_t j = 0; j < p.n; ++j) {
            T* target = out + i * p.out_row + j * p.out_col;
            const T value = multiply(alpha, dot_strided(p.k, a + i * p.a_row, p.a_col, b + j * p.b_col, p.b_row));
            *target = accumulate ? add(*target, value) : value;
        }
    }
}

// sums[j] += sum over p < depth of alpha * a[p] * b[p, j], with the rows of b contiguous.
template <class T>
void add_rows(int64_t depth, int64_t width, T alpha, const T* a, int64_t a_step, const T* b, int64_t b_row,
              T* __restrict sums) {
    int64_t p = 0;
    for (; p + 4 <= depth; p += 4) {
        const T a0 = multiply(alpha, a[p * a_step]), a1 = multiply(alpha, a[(p + 1) * a_step]);
        const T a2 = multiply(alpha, a[(p + 2) * a_step]), a3 = multiply(alpha, a[(p + 3) * a_step]);
        const T *b0 = b + p * b_row, *b1 = b0 + b_row, *b2 = b1 + b_row, *b3 = b2 + b_row;
        for (int64_t j = 0; j < width; ++j) {
            const T low = add(multiply(a0, b0[j]), multiply(a1, b1[j]));
            const T high = add(multiply(a2, b2[j]), multiply(a3, b3[j]));
            sums[j] = add(sums[j], add(low, high));
        }
    }
    for (; p < depth; ++p) {
        const T a0 = multiply(alpha, a[p * a_step]);
        const T* b0 = b + p * b_row;
        for (int64_t j = 0; j < width; ++j) {
            sums[j] = add(sums[j], multiply(a0, b0[j]));
        }
    }
}

// Sums rows of b, block by block; a block of b that is not contiguous along n is packed once for all rows of a.
template <class T>
void matmul_rows(const Product& p, T alpha, bool accumulate, const T* a, const T* b, T* out) {
    constexpr int64_t WIDTH = 256, DEPTH = 64;
    T sums[WIDTH];
    for (int64_t j0 = 0; j0 < p.n; j0 += WIDTH) {
        const int64_t width = std::min(WIDTH, p.n - j0);
        for (int64_t p0 = 0; p0 < p.k; p0 += DEPTH) {
            const int64_t depth = std::min(DEPTH, p.k - p0);
            const T* block = b + p0 * p.b_row + j0 * p.b_col;
            int64_t block_row = p.b_row;
            if (p.b_col != 1 && width > 1) {
                T* packed = Scratch::get<T>(Scratch::B, depth * width);
                copy_matrix(depth, width, block, p.b_row, p.b_col, packed, width, int64_t{1});
                block = packed;
                block_row = width;
            }
            const bool keep = accumulate || p0 > 0;
            for (int64_t i = 0; i < p.m; ++i) {
                T* target = out + i * p.out_row + j0 * p.out_col;
                for (int64_t j = 0; j < width; ++j) {
                    sums[j] = keep ? target[j * p.out_col] : T{};
                }
                add_rows(depth, width, alpha, a + i * p.a_row + p0 * p.a_col, p.a_col, block, block_row, sums);
                for (int64_t j = 0; j < width; ++j) {
                    target[j * p.out_col] = sums[j];
                }
            }
        }
    }
}

// k == 1. Without the sums of matmul_rows, at the speed of memory.
template <class T>
void matmul_outer(const Product& p, T alpha, bool accumulate, const T* a, const T* b, T* out) {
    for (int64_t i = 0; i < p.m; ++i) {
        const T scale = multiply(alpha, a[i * p.a_row]);
        T* __restrict target = out + i * p.out_row;
        if (p.out_col == 1 && p.b_col == 1) {
            for (int64_t j = 0; j < p.n; ++j) {
                const T value = multiply(scale, b[j]);
                target[j] = accumulate ? add(target[j], value) : value;
            }
        } else {
            for (int64_t j = 0; j < p.n; ++j) {
                const T value = multiply(scale, b[j * p.b_col]);
                target[j * p.out_col] = accumulate ? add(target[j * p.out_col], value) : value;
            }
        }
    }
}

}  // namespace tracer

// Triangular systems with many right sides.
#pragma once

#include <algorithm>
#include <optional>

#include "blas.hpp"
#include "blas_threads.hpp"
#include "registry.hpp"
#include "threads.hpp"

namespace tracer {

// A triangle of a matrix that lies in memory by rows (col == 1) or by columns (row == 1). What is on its other side is
// not read, nor its diagonal if that is to count as ones.
template <class T>
struct Triangle {
    const T* start;
    int64_t row, col, n;
    bool lower, unit;

    T at(int64_t i, int64_t j) const { return start[i * row + j * col]; }
    Triangle transposed() const { return {start, col, row, n, !lower, unit}; }
    // The part from this row and column on.
    Triangle from(int64_t first) const { return {start + first * (row + col), row, col, n - first, lower, unit}; }
};

// Right sides by rows, which solutions take the place of.
template <class T>
struct RightSides {
    T* start;
    int64_t row, columns;
};

// Multiply-adds from which a system is shared out over the pool.
constexpr double SHARED_SOLVE_WORK = 2.5e5;
// Rows that are solved for at once, after one matrix product with all that are finished.
constexpr int64_t SOLVE_BLOCK = 32;

template <class T>
constexpr Dtype FLOAT_DTYPE = sizeof(T) == 4 ? Dtype::F32 : Dtype::F64;

// x[first:first+size] -= t[first:first+size, begin:end] @ x[begin:end]; BLAS is column-major and computes transposes.
template <class T>
void subtract_product(const Triangle<T>& t, int64_t first, int64_t size, int64_t begin, int64_t end,
                      const RightSides<T>& x) {
    const int m = static_cast<int>(x.columns), n = static_cast<int>(size), k = static_cast<int>(end - begin);
    const int ldx = static_cast<int>(x.row), ldt = static_cast<int>(t.col == 1 ? t.row : t.col);
    const T minus_one = -1, one = 1;
    const char *same = "N", *turned = t.col == 1 ? "N" : "T";
    Blas<T>::gemm(same, turned, &m, &n, &k, &minus_one, x.start + begin * x.row, &ldx,
                  t.start + first * t.row + begin * t.col, &ldt, &one, x.start + first * x.row, &ldx);
}

template <class T>
void solve_vector(const Triangle<T>& t, const RightSides<T>& x) {
    const bool by_rows = t.col == 1;
    const int n = static_cast<int>(t.n), ld = static_cast<int>(by_rows ? t.row : t.col);
    const int step = static_cast<int>(x.row);
    Blas<T>::trsv(t.lower != by_rows ? "L" : "U", by_rows ? "T" : "N", t.unit ? "U" : "N", &n, t.start, &ld, x.start,
                  &step);
}

// On the calling thread. An upper triangle is a lower one read from its end.
template <class T>
void solve_here(const Triangle<T>& t, const RightSides<T>& x) {
    if (x.columns == 1) {
        return solve_vector(t, x);
    }
    const TriangularKernel solve_block = find_triangular(FLOAT_DTYPE<T>);
    T block[SOLVE_BLOCK * SOLVE_BLOCK];
    for (int64_t done = 0; done < t.n; done += SOLVE_BLOCK) {
        const int64_t size = std::min(SOLVE_BLOCK, t.n - done);
        const int64_t first = t.lower ? done : t.n - done - size;
        if (done > 0) {
            subtract_product(t, first, size, t.lower ? 0 : first + size, t.lower ? done : t.n, x);
        }
        for (int64_t i = 0; i < size; ++i) {
            for (int64_t j = 0; j <= i; ++j) {
                const int64_t row = t.lower ? first + i : first + size - 1 - i;
                const int64_t col = t.lower ? first + j : first + size - 1 - j;
                block[i * size + j] = t.unit && i == j ? T{1} : t.at(row, col);
            }
        }
        T* start = x.start + (t.lower ? first : first + size - 1) * x.row;
        solve_block(block, size, start, t.lower ? x.row : -x.row, x.columns);
    }
}

// Solves with one triangle after the other, columns of right sides shared out over the pool.
template <class T>
void solve_all(const Triangle<T>* triangles, int count, const RightSides<T>& x) {
    struct Shares {
        const Triangle<T>* triangles;
        int count;
        const RightSides<T>& x;
        int64_t grain;
    };
    const auto solve = [](void* data, int64_t part) {
        const Shares& self = *static_cast<Shares*>(data);
        const int64_t begin = part * self.grain, end = std::min(begin + self.grain, self.x.columns);
        for (int i = 0; i < self.count; ++i) {
            solve_here(self.triangles[i], {self.x.start + begin, self.x.row, end - begin});
        }
    };
    const double work = 0.5 * count * static_cast<double>(triangles[0].n) * static_cast<double>(triangles[0].n) *
                        static_cast<double>(x.columns);
    int64_t grain = x.columns;
    if (work >= SHARED_SOLVE_WORK && controls_blas_threads()) {
        const int64_t threads = thread_count();
        grain = std::max<int64_t>((x.columns + threads - 1) / threads, SOLVE_BLOCK);
        grain = std::min((grain + 7) / 8 * 8, x.columns);  // whole vectors
    }
    Shares shares{triangles, count, x, grain};
    const OneBlasThread alone;
    parallel_run((x.columns + grain - 1) / grain, solve, &shares);
}

}  // namespace tracer

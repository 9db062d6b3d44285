// Factors, systems, inverses and eigenvalues of real matrices, one after the other, through LAPACK and BLAS.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <optional>
#include <vector>

#include "blas.hpp"
#include "blas_threads.hpp"
#include "matmul.hpp"
#include "matrix_kernels.hpp"
#include "threads.hpp"
#include "triangular.hpp"

namespace tracer {
namespace {

// Rows up to which threads of the library's own bring factors or eigenvalues nothing, and keep the pool's from running
// after.
constexpr int64_t ALONE = 512;
constexpr int64_t ALONE_WITH_EIGENVALUES = 256;
// Nanoseconds from which a batch is shared out over the pool.
constexpr double SHARED_COST = 40e3;

template <class T>
bool has_zero_on_diagonal(const T* start, int64_t step, int64_t n) {
    for (int64_t i = 0; i < n; ++i) {
        if (start[i * step] == 0) {
            return true;
        }
    }
    return false;
}

// Both triangular factors as LAPACK writes them, by columns, and the row that each row was exchanged for, from 0.
template <class T>
struct Factored {
    const T* start;
    int64_t leading, n;
    const int32_t* pivots;

    Triangle<T> lower() const { return {start, 1, leading, n, true, true}; }
    Triangle<T> upper() const { return {start, 1, leading, n, false, false}; }
    bool is_singular() const { return has_zero_on_diagonal(start, leading + 1, n); }
};

// The factors of a copy of `a` in `out`. A singular matrix has a zero on the diagonal of the second one.
template <class T>
void factor(const Matrix<const T>& a, int64_t n, T* out, int64_t leading, int32_t* pivots) {
    copy_matrix(n, n, a.start, a.row, a.col, out, int64_t{1}, leading);
    const int size = static_cast<int>(n), ld = static_cast<int>(leading);
    int info = 0;
    Lapack<T>::getrf(&size, &size, out, &ld, pivots, &info);
    for (int64_t i = 0; i < n; ++i) {
        --pivots[i];  // LAPACK counts from 1
    }
}

template <class T>
void exchange_rows(const RightSides<T>& x, const int32_t* pivots, int64_t n, bool backward) {
    for (int64_t k = 0; k < n; ++k) {
        const int64_t i = backward ? n - 1 - k : k;
        if (pivots[i] != i) {
            std::swap_ranges(x.start + i * x.row, x.start + i * x.row + x.columns, x.start + pivots[i] * x.row);
        }
    }
}

template <class T>
void solve_by_factors(const Factored<T>& factors, bool transposed, const RightSides<T>& x) {
    const Triangle<T> lower = factors.lower(), upper = factors.upper();
    if (transposed) {
        const Triangle<T> steps[] = {upper.transposed(), lower.transposed()};
        solve_all(steps, 2, x);
        exchange_rows(x, factors.pivots, factors.n, true);
    } else {
        const Triangle<T> steps[] = {lower, upper};
        exchange_rows(x, factors.pivots, factors.n, false);
        solve_all(steps, 2, x);
    }
}

// The inverse is that of the upper factor times that of the lower one, with columns exchanged.
template <class T>
class Inversion {
  public:
    Inversion(const Factored<T>& factors, const Matrix<T>& out) : factors_(factors), out_(out), order_(factors.n) {
        for (size_t i = 0; i < order_.size(); ++i) {
            order_[i] = static_cast<int32_t>(i);
        }
        for (size_t i = order_.size(); i-- > 0;) {
            std::swap(order_[i], order_[static_cast<size_t>(factors.pivots[i])]);
        }
    }

    void run() {
        const int64_t parts = (factors_.n + GRAIN - 1) / GRAIN;
        const OneBlasThread alone;
        if (controls_blas_threads()) {
            parallel_run(parts, &Inversion::solve, this);
            parallel_run(parts, &Inversion::exchange, this);
            return;
        }
        for (int64_t part = 0; part < parts; ++part) {
            solve(this, part);
        }
        for (int64_t part = 0; part < parts; ++part) {
            exchange(this, part);
        }
    }

  private:
    static constexpr int64_t GRAIN = 48;
    const Factored<T>& factors_;
    const Matrix<T>& out_;
    std::vector<int32_t> order_;

    // Some columns; the first factor's inverse is zero above its diagonal.
    static void solve(void* data, int64_t part) {
        const Inversion& self = *static_cast<Inversion*>(data);
        const int64_t n = self.factors_.n, first = part * GRAIN, count = std::min(GRAIN, n - first);
        const RightSides<T> x{self.out_.start + first, self.out_.row, count};
        for (int64_t i = 0; i < n; ++i) {
            std::fill_n(x.start + i * x.row, count, T{0});
            if (i >= first && i < first + count) {
                x.start[i * x.row + i - first] = 1;
            }
        }
        solve_here(self.factors_.lower().from(first), RightSides<T>{x.start + first * x.row, x.row, count});
        solve_here(self.factors_.upper(), x);
    }

    static void exchange(void* data, int64_t part) {
        const Inversion& self = *static_cast<Inversion*>(data);
        const int64_t n = self.factors_.n, first = part * GRAIN;
        std::vector<T> before(static_cast<size_t>(n));
        for (int64_t i = first; i < std::min(first + GRAIN, n); ++i) {
            T* row = self.out_.start + i * self.out_.row;
            std::copy_n(row, n, before.begin());
            for (int64_t j = 0; j < n; ++j) {
                row[j] = before[static_cast<size_t>(self.order_[static_cast<size_t>(j)])];
            }
        }
    }
};

// As in NumPy, the sign of a NaN is 1.
template <class T>
void log_determinant(const Factored<T>& factors, T* sign, T* logarithm) {
    bool negative = false, singular = false;
    T sum = 0;
    for (int64_t i = 0; i < factors.n; ++i) {
        const T pivot = factors.start[i * (factors.leading + 1)];
        negative ^= (pivot < 0) != (factors.pivots[i] != i);
        singular |= pivot == 0;
        sum += std::log(std::fabs(pivot));
    }
    *sign = singular ? T{0} : negative ? T{-1} : T{1};
    *logarithm = singular ? -std::numeric_limits<T>::infinity() : sum;
}

// The lower triangle is all that is read; by rows it is the upper one of LAPACK's columns.
template <class T>
bool cholesky(const Matrix<const T>& a, int64_t n, const Matrix<T>& out) {
    for (int64_t i = 0; i < n; ++i) {
        T* row = out.start + i * out.row;
        for (int64_t j = 0; j <= i; ++j) {
            row[j] = a.at(i, j);
        }
        std::fill(row + i + 1, row + n, T{0});
    }
    const int size = static_cast<int>(n), ld = static_cast<int>(out.row);
    int info = 0;
    Lapack<T>::potrf("U", &size, out.start, &ld, &info);
    return info == 0;
}

// Eigenvectors are written where `vectors` begins, unless that is null.
template <class T>
bool eigh(const Matrix<const T>& a, int64_t n, bool lower, const Matrix<T>& values, const Matrix<T>& vectors) {
    const bool wanted = vectors.start != nullptr;
    const int size = static_cast<int>(n);
    const int work_size = wanted ? 1 + 6 * size + 2 * size * size : 2 * size + 64 * size, index_size = 3 + 5 * size;
    const auto count = static_cast<size_t>(n * n + n + work_size);
    T* matrix = reinterpret_cast<T*>(scratch(count * sizeof(T) + static_cast<size_t>(index_size) * sizeof(int)));
    T *found = matrix + n * n, *work = found + n;
    int* index = reinterpret_cast<int*>(matrix + count);
    copy_matrix(n, n, a.start, a.row, a.col, matrix, int64_t{1}, n);
    int info = 0;
    Lapack<T>::syevd(wanted ? "V" : "N", lower ? "L" : "U", &size, matrix, &size, found, work, &work_size, index,
                     &index_size, &info);
    for (int64_t i = 0; i < n; ++i) {
        values.at(i, 0) = found[i];
    }
    if (wanted) {
        copy_matrix(n, n, matrix, int64_t{1}, n, vectors.start, vectors.row, vectors.col);
    }
    return info == 0;
}

template <class T>
class Library final : public NativeCall {
  public:
    explicit Library(MatrixBatch batch) : batch_(std::move(batch)) {}

    // Billionths of a second, at some 20 operations in each; eigenvectors take ten times as long as their operations.
    double cost() const override {
        const double n = static_cast<double>(batch_.n), columns = static_cast<double>(batch_.columns);
        double operations = 2.0 * n * n * n;
        switch (batch_.kind) {
            case MatrixKind::EighLower:
            case MatrixKind::EighUpper:
            case MatrixKind::EigvalshLower:
            case MatrixKind::EigvalshUpper:
                operations *= 10.0;
                break;
            case MatrixKind::SolveLower:
            case MatrixKind::SolveUpper:
            case MatrixKind::SolveUnitLower:
            case MatrixKind::SolveUnitUpper:
            case MatrixKind::SolveByFactors:
            case MatrixKind::SolveTransposedByFactors:
                operations = 2.0 * n * n * columns;
                break;
            case MatrixKind::DeterminantOfFactors:
                operations = 100.0 * n;
                break;
            default:
                break;
        }
        return static_cast<double>(batch_.count) * (300.0 + operations * 0.05);
    }

    bool run(const Context& context) const override {
        std::optional<OneBlasThread> alone;
        const bool shared = batch_.count > 1 && cost() >= SHARED_COST && controls_blas_threads();
        if (shared || batch_.n < (is_eigenvalues() ? ALONE_WITH_EIGENVALUES : ALONE)) {
            alone.emplace();
        }
        const int64_t parts = shared ? std::min<int64_t>(4 * thread_count(), batch_.count) : 1;
        Shares all{*this, context, (batch_.count + parts - 1) / parts};
        const auto share = [](void* data, int64_t part) {
            Shares& all = *static_cast<Shares*>(data);
            const int64_t begin = part * all.grain, end = std::min(begin + all.grain, all.library.batch_.count);
            for (int64_t number = begin; number < end && all.good; ++number) {
                char* at[MatrixBatch::MOST_STACKS];
                all.library.batch_.place(all.context, number, at);
                if (!all.library.one(at)) {
                    all.good = false;
                }
            }
        };
        if (parts == 1) {
            share(&all, 0);
        } else {
            parallel_run(parts, share, &all);
        }
        return all.good;
    }

  private:
    MatrixBatch batch_;

    struct Shares {
        const Library& library;
        const Context& context;
        int64_t grain;
        std::atomic<bool> good{true};
    };

    bool is_eigenvalues() const {
        return batch_.kind == MatrixKind::EighLower || batch_.kind == MatrixKind::EighUpper ||
               batch_.kind == MatrixKind::EigvalshLower || batch_.kind == MatrixKind::EigvalshUpper;
    }

    Matrix<const T> read(char* const* at, size_t k) const {
        return {reinterpret_cast<const T*>(at[k]), batch_.stacks[k].row, batch_.stacks[k].col};
    }
    Matrix<T> written(char* const* at, size_t k) const {
        k += batch_.inputs;
        return {reinterpret_cast<T*>(at[k]), batch_.stacks[k].row, batch_.stacks[k].col};
    }

    // The right sides, copied to where the solutions will be.
    RightSides<T> right_sides(char* const* at) const {
        const Matrix<const T> b = read(at, batch_.inputs - 1);
        const Matrix<T> out = written(at, 0);
        copy_matrix(batch_.n, batch_.columns, b.start, b.row, b.col, out.start, out.row, int64_t{1});
        return {out.start, out.row, batch_.columns};
    }

    bool one(char* const* at) const {
        const int64_t n = batch_.n;
        switch (batch_.kind) {
            case MatrixKind::Cholesky:
                return cholesky(read(at, 0), n, written(at, 0));
            case MatrixKind::SolveLower:
            case MatrixKind::SolveUpper:
            case MatrixKind::SolveUnitLower:
            case MatrixKind::SolveUnitUpper:
                return solve_triangle(at);
            case MatrixKind::Factors: {
                const Matrix<T> out = written(at, 0);
                factor(read(at, 0), n, out.start, out.row, reinterpret_cast<int32_t*>(at[2]));
                return true;
            }
            case MatrixKind::SolveByFactors:
            case MatrixKind::SolveTransposedByFactors:
            case MatrixKind::InverseOfFactors:
            case MatrixKind::DeterminantOfFactors: {
                const Matrix<const T> packed = read(at, 0);
                return finish(at, {packed.start, packed.row, n, reinterpret_cast<const int32_t*>(at[1])});
            }
            case MatrixKind::Solve:
            case MatrixKind::Inverse:
            case MatrixKind::LogDeterminant: {
                T* own = reinterpret_cast<T*>(scratch(static_cast<size_t>(n) * (n * sizeof(T) + sizeof(int32_t))));
                auto* pivots = reinterpret_cast<int32_t*>(own + n * n);
                factor(read(at, 0), n, own, n, pivots);
                return finish(at, {own, n, n, pivots});
            }
            case MatrixKind::EighLower:
            case MatrixKind::EighUpper:
                return eigh(read(at, 0), n, batch_.kind == MatrixKind::EighLower, written(at, 0), written(at, 1));
            case MatrixKind::EigvalshLower:
            case MatrixKind::EigvalshUpper:
                return eigh(read(at, 0), n, batch_.kind == MatrixKind::EigvalshLower, written(at, 0), {});
            default:
                return false;
        }
    }

    bool solve_triangle(char* const* at) const {
        const Matrix<const T> a = read(at, 0);
        const bool unit = batch_.kind == MatrixKind::SolveUnitLower || batch_.kind == MatrixKind::SolveUnitUpper;
        const bool lower = batch_.kind == MatrixKind::SolveLower || batch_.kind == MatrixKind::SolveUnitLower;
        if (!unit && has_zero_on_diagonal(a.start, a.row + a.col, batch_.n)) {
            return false;
        }
        const Triangle<T> triangle{a.start, a.row, a.col, batch_.n, lower, unit};
        solve_all(&triangle, 1, right_sides(at));
        return true;
    }

    bool finish(char* const* at, const Factored<T>& factors) const {
        switch (batch_.kind) {
            case MatrixKind::LogDeterminant:
            case MatrixKind::DeterminantOfFactors:
                log_determinant(factors, written(at, 0).start, written(at, 1).start);
                return true;
            case MatrixKind::Inverse:
            case MatrixKind::InverseOfFactors: {
                const Matrix<T> out = written(at, 0);
                if (!factors.is_singular()) {
                    Inversion<T>(factors, out).run();
                    return true;
                }
                return false;
            }
            default:
                if (factors.is_singular()) {
                    return false;
                }
                solve_by_factors(factors, batch_.kind == MatrixKind::SolveTransposedByFactors, right_sides(at));
                return true;
        }
    }
};

// Whether BLAS can read a matrix by rows, whose stride is then made one that it takes.
bool by_rows(Stack& stack, int64_t rows, int64_t cols) {
    if (cols == 1) {
        stack.col = 1;
    }
    if (rows == 1) {
        stack.row = std::max(cols, stack.row);
    }
    return stack.col == 1 && stack.row >= cols && stack.row <= BLAS_LIMIT;
}

bool by_rows_or_columns(Stack& stack, int64_t n) {
    if (by_rows(stack, n, n)) {
        return true;
    }
    std::swap(stack.row, stack.col);
    const bool good = by_rows(stack, n, n);
    std::swap(stack.row, stack.col);
    return good;
}

// Whether the operands lie in memory as the kernels need them.
bool lie_well(MatrixBatch& batch) {
    std::vector<Stack>& stacks = batch.stacks;
    Stack& out = stacks[batch.inputs];
    const int64_t n = batch.n;
    switch (batch.kind) {
        case MatrixKind::Cholesky:
        case MatrixKind::Inverse:
            return by_rows(out, n, n);
        case MatrixKind::Solve:
            return by_rows(out, n, batch.columns);
        case MatrixKind::SolveLower:
        case MatrixKind::SolveUpper:
        case MatrixKind::SolveUnitLower:
        case MatrixKind::SolveUnitUpper:
            return by_rows_or_columns(stacks[0], n) && by_rows(out, n, batch.columns);
        case MatrixKind::Factors:
            return by_rows(out, n, n) && stacks[2].row == 1;
        case MatrixKind::SolveByFactors:
        case MatrixKind::SolveTransposedByFactors:
            return by_rows(stacks[0], n, n) && stacks[1].row == 1 && by_rows(out, n, batch.columns);
        case MatrixKind::InverseOfFactors:
            return by_rows(stacks[0], n, n) && stacks[1].row == 1 && by_rows(out, n, n);
        case MatrixKind::DeterminantOfFactors:
            return by_rows(stacks[0], n, n) && stacks[1].row == 1;
        case MatrixKind::Determinant:
        case MatrixKind::Cofactors:
            return false;
        default:
            return true;
    }
}

template <class T>
bool has_library() {
    return Blas<T>::gemm != nullptr && Blas<T>::trsv != nullptr && Lapack<T>::potrf != nullptr &&
           Lapack<T>::getrf != nullptr && Lapack<T>::syevd != nullptr;
}

}  // namespace

std::unique_ptr<NativeCall> make_library_matrices(MatrixBatch batch) {
    // Work areas have a length too, of some squares of the number of rows.
    if (batch.n > 16000 || batch.columns > BLAS_LIMIT || !lie_well(batch)) {
        return nullptr;
    }
    load_lapack();
    if (batch.dtype == Dtype::F32) {
        return has_library<float>() ? std::make_unique<Library<float>>(std::move(batch)) : nullptr;
    }
    return has_library<double>() ? std::make_unique<Library<double>>(std::move(batch)) : nullptr;
}

}  // namespace tracer

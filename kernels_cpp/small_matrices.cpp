// Gaussian elimination with partial pivoting, for matrices so small that calling LAPACK takes longer than it computes.
#include "matrix_kernels.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>

#include "threads.hpp"

namespace tracer {
namespace {

// Rows up to which plain loops are level with LAPACK, of which NumPy and SciPy ask several microseconds a call.
constexpr int LARGEST = 32;
// Columns of right sides that are solved for at once.
constexpr int WIDTH = 4;
// Nanoseconds from which a batch is shared out over the pool, and those of a share.
constexpr double SHARED_COST = 40e3;
constexpr double SHARE_COST = 10e3;
// A pivot below this many roundings of the largest number in its column may be nothing but rounding. Then the answer,
// and whether there is one at all, hangs on the order of the operations, and is left to LAPACK's.
constexpr int ROUNDINGS = 64;
// Condition numbers up to which cofactors are taken from the inverse.
constexpr double WELL_CONDITIONED = 1e4;

template <class T>
bool is_normal(T value) {
    value = std::fabs(value);
    return value >= std::numeric_limits<T>::min() && value <= std::numeric_limits<T>::max();
}

// The factors L and U of the rows of a matrix in another order. SIZE is the number of rows, or 0 if only known at run
// time.
template <class T, int SIZE>
class Factors {
  public:
    explicit Factors(int size) : size_(size) {}

    // False for a matrix that is or may be singular, or if a number is not finite: that gets into some pivot.
    bool factor(const Matrix<const T>& a) {
        const int n = size();
        T largest[ROOM] = {};
        for (int i = 0; i < n; ++i) {
            order_[i] = i;
            for (int j = 0; j < n; ++j) {
                const T value = a.at(i, j);
                lu_[i * n + j] = value;
                largest[j] = std::max(largest[j], std::fabs(value));
            }
        }
        odd_ = false;
        for (int k = 0; k < n; ++k) {
            if (!choose_pivot(k, largest[k] * (ROUNDINGS * std::numeric_limits<T>::epsilon()))) {
                return false;
            }
            for (int i = k + 1; i < n; ++i) {
                const T factor = lu_[i * n + k] / lu_[k * n + k];
                lu_[i * n + k] = factor;
                for (int j = k + 1; j < n; ++j) {
                    lu_[i * n + j] -= factor * lu_[k * n + j];
                }
            }
        }
        return true;
    }

    // Writes the solutions of `columns` right sides; right(i, j) gives an element of these.
    template <class Right>
    void solve(Right right, int64_t columns, const Matrix<T>& out) const {
        if (columns == 1) {
            return solve_block<1>(right, 0, 1, out);
        }
        for (int64_t first = 0; first < columns; first += WIDTH) {
            solve_block<WIDTH>(right, first, std::min<int64_t>(WIDTH, columns - first), out);
        }
    }

    void invert(const Matrix<T>& out) const {
        solve([](int i, int64_t j) { return static_cast<T>(i == j); }, size(), out);
    }

    T determinant() const {
        T product = odd_ ? T{-1} : T{1};
        for (int i = 0; i < size(); ++i) {
            product *= pivot(i);
        }
        return product;
    }

    T sign() const {
        bool negative = odd_;
        for (int i = 0; i < size(); ++i) {
            negative ^= pivot(i) < 0;
        }
        return negative ? T{-1} : T{1};
    }

    T log_determinant() const {
        T sum = 0;
        for (int i = 0; i < size(); ++i) {
            sum += std::log(std::fabs(pivot(i)));
        }
        return sum;
    }

  private:
    static constexpr int ROOM = SIZE > 0 ? SIZE : LARGEST;
    T lu_[ROOM * ROOM];
    int order_[ROOM];
    int size_;
    bool odd_ = false;

    int size() const { return SIZE > 0 ? SIZE : size_; }
    T pivot(int i) const { return lu_[i * size() + i]; }

    // False if the pivot is not above `least`.
    bool choose_pivot(int k, T least) {
        const int n = size();
        int best = k;
        T most = std::fabs(lu_[k * n + k]);
        for (int i = k + 1; i < n; ++i) {
            const T value = std::fabs(lu_[i * n + k]);
            if (value > most) {
                most = value;
                best = i;
            }
        }
        if (best != k) {
            std::swap_ranges(lu_ + k * n, lu_ + (k + 1) * n, lu_ + best * n);
            std::swap(order_[k], order_[best]);
            odd_ = !odd_;
        }
        return most > least && most <= std::numeric_limits<T>::max();  // no NaN either
    }

    template <int COLUMNS, class Right>
    void solve_block(Right right, int64_t first, int64_t count, const Matrix<T>& out) const {
        const int n = size();
        T x[ROOM * COLUMNS];
        for (int i = 0; i < n; ++i) {
            for (int j = 0; j < COLUMNS; ++j) {
                x[i * COLUMNS + j] = j < count ? right(order_[i], first + j) : T{};
            }
            for (int k = 0; k < i; ++k) {
                for (int j = 0; j < COLUMNS; ++j) {
                    x[i * COLUMNS + j] -= lu_[i * n + k] * x[k * COLUMNS + j];
                }
            }
        }
        for (int i = n - 1; i >= 0; --i) {
            for (int k = i + 1; k < n; ++k) {
                for (int j = 0; j < COLUMNS; ++j) {
                    x[i * COLUMNS + j] -= lu_[i * n + k] * x[k * COLUMNS + j];
                }
            }
            for (int j = 0; j < COLUMNS; ++j) {
                x[i * COLUMNS + j] /= pivot(i);
            }
        }
        for (int i = 0; i < n; ++i) {
            for (int j = 0; j < count; ++j) {
                out.at(i, first + j) = x[i * COLUMNS + j];
            }
        }
    }
};

template <class T>
T norm(const Matrix<const T>& a, int n) {
    T sum = 0;
    for (int i = 0; i < n; ++i) {
        for (int j = 0; j < n; ++j) {
            sum += a.at(i, j) * a.at(i, j);
        }
    }
    return std::sqrt(sum);
}

// The cofactors are the determinant times the transpose of the inverse.
template <class T, int SIZE>
bool cofactors(const Factors<T, SIZE>& factors, const Matrix<const T>& a, int n, const Matrix<T>& out) {
    const T determinant = factors.determinant();
    if (!is_normal(determinant)) {
        return false;
    }
    const Matrix<T> inverse{out.start, out.col, out.row};
    factors.invert(inverse);
    if (!(norm(a, n) * norm<T>({inverse.start, inverse.row, inverse.col}, n) < WELL_CONDITIONED)) {
        return false;
    }
    for (int i = 0; i < n; ++i) {
        for (int j = 0; j < n; ++j) {
            out.at(i, j) *= determinant;
        }
    }
    return true;
}

template <class T>
class Batch final : public NativeCall {
  public:
    explicit Batch(MatrixBatch batch) : batch_(std::move(batch)), size_(static_cast<int>(batch_.n)) {
        const double n = size_;
        const bool solves = batch_.kind == MatrixKind::Solve;
        const double right = solves                                   ? static_cast<double>(batch_.columns)
                             : batch_.kind == MatrixKind::Determinant ? 0
                                                                      : n;
        one_ = 20.0 + 6.0 * n + n * n * n * 0.3 + n * n * right * 0.5;
    }

    double cost() const override { return one_ * static_cast<double>(batch_.count); }

    bool run(const Context& context) const override {
        switch (size_) {
            case 2:
                return run_sized<2>(context);
            case 3:
                return run_sized<3>(context);
            case 4:
                return run_sized<4>(context);
            default:
                return run_sized<0>(context);
        }
    }

  private:
    MatrixBatch batch_;
    int size_;
    double one_ = 0.0;

    struct Shares {
        const Batch& batch;
        const Context& context;
        int64_t grain;
        std::atomic<bool> good{true};
    };

    template <int SIZE>
    bool run_sized(const Context& context) const {
        if (cost() < SHARED_COST || thread_count() == 1) {
            return run_range<SIZE>(context, 0, batch_.count);
        }
        const int64_t shares = std::min<int64_t>(8 * thread_count(), static_cast<int64_t>(cost() / SHARE_COST));
        Shares all{*this, context, (batch_.count + shares - 1) / shares};
        const auto share = [](void* data, int64_t part) {
            Shares& all = *static_cast<Shares*>(data);
            const int64_t begin = part * all.grain, end = std::min(begin + all.grain, all.batch.batch_.count);
            if (all.good && !all.batch.template run_range<SIZE>(all.context, begin, end)) {
                all.good = false;
            }
        };
        parallel_run((batch_.count + all.grain - 1) / all.grain, share, &all);
        return all.good;
    }

    template <int SIZE>
    bool run_range(const Context& context, int64_t begin, int64_t end) const {
        Factors<T, SIZE> factors(size_);
        const T* factored = nullptr;
        for (int64_t number = begin; number < end; ++number) {
            char* starts[MatrixBatch::MOST_STACKS];
            batch_.place(context, number, starts);
            T* at[MatrixBatch::MOST_STACKS];
            for (size_t k = 0; k < batch_.stacks.size(); ++k) {
                at[k] = reinterpret_cast<T*>(starts[k]);
            }
            if (number == begin || at[0] != factored) {  // many right sides may have one matrix
                if (!factors.factor({at[0], batch_.stacks[0].row, batch_.stacks[0].col})) {
                    return false;
                }
                factored = at[0];
            }
            if (!finish(factors, at)) {
                return false;
            }
        }
        return true;
    }

    template <int SIZE>
    bool finish(const Factors<T, SIZE>& factors, T* const* at) const {
        const Stack& target = batch_.stacks[batch_.inputs];
        const Matrix<T> out{at[batch_.inputs], target.row, target.col};
        switch (batch_.kind) {
            case MatrixKind::Solve: {
                const Matrix<const T> b{at[1], batch_.stacks[1].row, batch_.stacks[1].col};
                factors.solve([&b](int i, int64_t j) { return b.at(i, j); }, batch_.columns, out);
                return true;
            }
            case MatrixKind::Inverse:
                factors.invert(out);
                return true;
            case MatrixKind::Determinant:
                *out.start = factors.determinant();
                return is_normal(*out.start);
            case MatrixKind::LogDeterminant:
                *out.start = factors.sign();
                *at[batch_.inputs + 1] = factors.log_determinant();
                return true;
            case MatrixKind::Cofactors:
                return cofactors(factors, {at[0], batch_.stacks[0].row, batch_.stacks[0].col}, size_, out);
            default:
                return false;
        }
    }
};

}  // namespace

std::unique_ptr<NativeCall> make_small_matrices(MatrixBatch batch) {
    switch (batch.kind) {
        case MatrixKind::Solve:
        case MatrixKind::Inverse:
        case MatrixKind::Determinant:
        case MatrixKind::LogDeterminant:
        case MatrixKind::Cofactors:
            break;
        default:
            return nullptr;
    }
    if (batch.n > LARGEST) {
        return nullptr;
    }
    if (batch.dtype == Dtype::F32) {
        return std::make_unique<Batch<float>>(std::move(batch));
    }
    return std::make_unique<Batch<double>>(std::move(batch));
}

}  // namespace tracer

// Gaussian elimination with partial pivoting, for matrices so small that calling LAPACK takes longer than it computes.
#include "small_matrices.hpp"

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

enum class Kind { Solve, Inverse, Determinant, LogDeterminant, Cofactors };

// The matrices of an operand: its strides along the batch, then those of one matrix.
struct Stack {
    View view;
    Shape steps;
    int64_t row = 0, col = 0;
};

template <class T>
struct Matrix {
    T* start;
    int64_t row, col;
    T& at(int64_t i, int64_t j) const { return start[i * row + j * col]; }
};

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
    Batch(Kind kind, int size, int64_t columns, const Shape& batch, std::vector<Stack> stacks, size_t inputs)
        : kind_(kind), size_(size), columns_(columns), batch_(batch), stacks_(std::move(stacks)), inputs_(inputs) {
        for (const int64_t length : batch_) {
            count_ *= length;
        }
        const double n = size_;
        const double right = kind_ == Kind::Solve ? static_cast<double>(columns_) : kind_ == Kind::Determinant ? 0 : n;
        one_ = 20.0 + 6.0 * n + n * n * n * 0.3 + n * n * right * 0.5;
    }

    double cost() const override { return one_ * static_cast<double>(count_); }

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
    static constexpr size_t MOST_STACKS = 3;
    Kind kind_;
    int size_;
    int64_t columns_;
    Shape batch_;
    std::vector<Stack> stacks_;  // the inputs, then the outputs
    size_t inputs_;
    int64_t count_ = 1;
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
            return run_range<SIZE>(context, 0, count_);
        }
        const int64_t shares = std::min<int64_t>(8 * thread_count(), static_cast<int64_t>(cost() / SHARE_COST));
        Shares all{*this, context, (count_ + shares - 1) / shares};
        const auto share = [](void* data, int64_t part) {
            Shares& all = *static_cast<Shares*>(data);
            const int64_t begin = part * all.grain, end = std::min(begin + all.grain, all.batch.count_);
            if (all.good && !all.batch.template run_range<SIZE>(all.context, begin, end)) {
                all.good = false;
            }
        };
        parallel_run((count_ + all.grain - 1) / all.grain, share, &all);
        return all.good;
    }

    template <int SIZE>
    bool run_range(const Context& context, int64_t begin, int64_t end) const {
        Factors<T, SIZE> factors(size_);
        const T* factored = nullptr;
        for (int64_t number = begin; number < end; ++number) {
            T* at[MOST_STACKS];
            place(context, number, at);
            if (number == begin || at[0] != factored) {  // many right sides may have one matrix
                if (!factors.factor({at[0], stacks_[0].row, stacks_[0].col})) {
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

    void place(const Context& context, int64_t number, T** at) const {
        for (size_t k = 0; k < stacks_.size(); ++k) {
            at[k] = context.resolve_as<T>(stacks_[k].view);
        }
        for (size_t d = batch_.size(); d-- > 0;) {
            const int64_t here = d == 0 ? number : number % batch_[d];
            number /= batch_[d];
            for (size_t k = 0; k < stacks_.size(); ++k) {
                at[k] += here * stacks_[k].steps[d];
            }
        }
    }

    template <int SIZE>
    bool finish(const Factors<T, SIZE>& factors, T* const* at) const {
        const Stack& target = stacks_[inputs_];
        const Matrix<T> out{at[inputs_], target.row, target.col};
        switch (kind_) {
            case Kind::Solve: {
                const Matrix<const T> b{at[1], stacks_[1].row, stacks_[1].col};
                factors.solve([&b](int i, int64_t j) { return b.at(i, j); }, columns_, out);
                return true;
            }
            case Kind::Inverse:
                factors.invert(out);
                return true;
            case Kind::Determinant:
                *out.start = factors.determinant();
                return is_normal(*out.start);
            case Kind::LogDeterminant:
                *out.start = factors.sign();
                *at[inputs_ + 1] = factors.log_determinant();
                return true;
            case Kind::Cofactors:
                return cofactors(factors, {at[0], stacks_[0].row, stacks_[0].col}, size_, out);
        }
        return false;
    }
};

struct KindName {
    const char* name;
    Kind kind;
    size_t inputs, outputs;
    bool gives_numbers;  // one for each matrix, not a matrix
};

const KindName& kind_of(const std::string& kernel) {
    static const KindName KINDS[] = {
        {"solve", Kind::Solve, 2, 1, false},        {"inv", Kind::Inverse, 1, 1, false},
        {"det", Kind::Determinant, 1, 1, true},     {"slogdet", Kind::LogDeterminant, 1, 2, true},
        {"cofactor", Kind::Cofactors, 1, 1, false},
    };
    for (const KindName& known : KINDS) {
        if (kernel == known.name) {
            return known;
        }
    }
    malformed("Call: there is no kernel " + kernel);
}

// The strides of an operand along the batch, 0 where it is broadcast; throws if it does not fit.
Stack stack_of(const Operand& operand, const Shape& batch, size_t dimensions) {
    Stack stack{operand.view, Shape(batch.size(), 0)};
    const Shape& shape = operand.shape;
    if (shape.size() < dimensions || shape.size() - dimensions > batch.size()) {
        malformed("Call: an operand has too few or too many dimensions for its kernel");
    }
    const size_t own = shape.size() - dimensions;
    for (size_t d = 0; d < own; ++d) {
        const size_t place = d + batch.size() - own;
        if (shape[d] != 1 && shape[d] != batch[place]) {
            malformed("Call: the batches of the operands do not fit");
        }
        stack.steps[place] = shape[d] == 1 ? 0 : operand.view.strides[d];
    }
    if (dimensions == 2) {
        stack.row = operand.view.strides[own];
        stack.col = operand.view.strides[own + 1];
    }
    return stack;
}

bool are_of(Dtype dtype, const std::vector<Operand>& operands, const BufferTable& table) {
    return std::all_of(operands.begin(), operands.end(),
                       [&](const Operand& operand) { return table.dtype(operand.view) == dtype; });
}

void check_sizes(Kind kind, const std::vector<Operand>& inputs, const Shape& out, bool gives_numbers) {
    const Shape& a = inputs[0].shape;
    const int64_t n = a.back();
    bool fits = a[a.size() - 2] == n;
    if (kind == Kind::Solve) {
        const Shape& b = inputs[1].shape;
        fits = fits && b.size() >= 2 && b[b.size() - 2] == n && out.size() >= 2 && out.back() == b.back();
    } else if (!gives_numbers) {
        fits = fits && out.size() >= 2 && out.back() == n;
    }
    if (!fits || (!gives_numbers && out[out.size() - 2] != n)) {
        malformed("Call: the sizes of the operands do not fit its kernel");
    }
}

}  // namespace

std::unique_ptr<NativeCall> make_small_matrices(const std::string& kernel, const std::vector<Operand>& inputs,
                                                const std::vector<Operand>& outputs, const BufferTable& table) {
    const KindName& known = kind_of(kernel);
    if (inputs.size() != known.inputs || outputs.size() != known.outputs || inputs[0].shape.size() < 2) {
        malformed("Call: wrong operands for kernel " + kernel);
    }
    const Dtype dtype = table.dtype(inputs[0].view);
    const int64_t n = inputs[0].shape.back();
    if ((dtype != Dtype::F32 && dtype != Dtype::F64) || !are_of(dtype, inputs, table) ||
        !are_of(dtype, outputs, table) || n < 1 || n > LARGEST) {
        return nullptr;
    }
    const Shape& out = outputs[0].shape;
    check_sizes(known.kind, inputs, out, known.gives_numbers);
    if (checked_size(out) == 0) {
        return nullptr;
    }
    for (const Operand& written : outputs) {
        for (const Operand& read : inputs) {
            if (table.may_overlap(written.view, written.shape, read.view, read.shape)) {
                return nullptr;
            }
        }
    }
    const size_t dimensions = known.gives_numbers ? 0 : 2;
    const Shape batch(out.begin(), out.end() - static_cast<int64_t>(dimensions));
    std::vector<Stack> stacks;
    for (const Operand& operand : inputs) {
        stacks.push_back(stack_of(operand, batch, 2));
    }
    for (const Operand& operand : outputs) {
        if (operand.shape.size() != batch.size() + dimensions) {
            malformed("Call: the batches of the results differ");
        }
        stacks.push_back(stack_of(operand, batch, dimensions));
    }
    const int64_t columns = known.gives_numbers ? 0 : out.back();
    const int size = static_cast<int>(n);
    if (dtype == Dtype::F32) {
        return std::make_unique<Batch<float>>(known.kind, size, columns, batch, std::move(stacks), inputs.size());
    }
    return std::make_unique<Batch<double>>(known.kind, size, columns, batch, std::move(stacks), inputs.size());
}

}  // namespace tracer

// MatMul: batched matrix products through the BLAS that SciPy exports, and through plain loops where BLAS does not
// serve.
#include <algorithm>
#include <optional>

#include "blas.hpp"
#include "blas_threads.hpp"
#include "matmul.hpp"
#include "program.hpp"
#include "threads.hpp"

namespace tracer {
namespace {

// Products of at most this many multiply-adds run in plain loops. OpenBLAS with its kernels for small matrices is level
// with them from about here on (some 30 ns a call); without these kernels a call costs a few times that.
constexpr int64_t PLAIN_WORK = 32;
// Multiply-adds from which a product is shared out over the pool: some 20 us of a matrix product or a matrix-vector
// one.
constexpr double SHARED_GEMM_WORK = 2.5e5;
constexpr double SHARED_GEMV_WORK = 1e5;
// Multiply-adds from which OpenBLAS would start threads of its own.
constexpr double OPENBLAS_WORK = 2.5e5;
// Rows or columns of a share are a multiple of this, so that BLAS's inner tiles are full.
constexpr int64_t SHARE_GRAIN = 16;

// How BLAS may read a strided matrix: row by row ('N' in its transposed view of our data), column by column ('T'), or
// not at all without a copy.
struct Layout {
    char trans = 'N';
    int64_t leading = 1;
    bool pack = false;
};

Layout layout_of(int64_t rows, int64_t cols, int64_t row, int64_t col) {
    if ((col == 1 || cols == 1) && (rows == 1 || row >= cols)) {
        const int64_t leading = rows == 1 ? cols : row;
        if (leading <= BLAS_LIMIT) {
            return {'N', leading, false};
        }
    } else if ((row == 1 || rows == 1) && (cols == 1 || col >= rows)) {
        const int64_t leading = cols == 1 ? rows : col;
        if (leading <= BLAS_LIMIT) {
            return {'T', leading, false};
        }
    }
    return {'N', cols, true};
}

enum class Method { Nothing, Zeros, Outer, Dots, Rows, Dot, Gemv, Gemm };

// Everything about a product that is decided when the program is built.
struct Plan {
    Product product;
    Shape batch, a_step, b_step, out_step;
    Method method = Method::Nothing;
    Layout a, b;
    bool pack_out = false;
    double alpha = 1.0;
    bool accumulate = false;
    bool exchanged = false;  // the product was transposed: a and b change places
};

void transpose(Plan& plan) {
    plan.product = plan.product.transposed();
    std::swap(plan.a_step, plan.b_step);
    plan.exchanged = !plan.exchanged;
}

void drop_unit_batches(Plan& plan) {
    size_t kept = 0;
    for (size_t d = 0; d < plan.batch.size(); ++d) {
        if (plan.batch[d] != 1) {
            plan.batch[kept] = plan.batch[d];
            plan.a_step[kept] = plan.a_step[d];
            plan.b_step[kept] = plan.b_step[d];
            plan.out_step[kept] = plan.out_step[d];
            ++kept;
        }
    }
    for (Shape* shape : {&plan.batch, &plan.a_step, &plan.b_step, &plan.out_step}) {
        shape->resize(kept);
    }
}

// Takes the last batch dimension into the rows of a, if b does not depend on it and rows of a and out go on evenly.
bool absorb_last_batch(Plan& plan) {
    Product& p = plan.product;
    if (plan.batch.empty() || plan.b_step.back() != 0) {
        return false;
    }
    const int64_t a_step = plan.a_step.back(), out_step = plan.out_step.back();
    if (p.m == 1) {
        p.a_row = a_step;
        p.out_row = out_step;
    } else if (a_step != p.m * p.a_row || out_step != p.m * p.out_row) {
        return false;
    }
    p.m *= plan.batch.back();
    for (Shape* shape : {&plan.batch, &plan.a_step, &plan.b_step, &plan.out_step}) {
        shape->pop_back();
    }
    return true;
}

void absorb_batches(Plan& plan) {
    bool changed = true;
    while (changed) {
        changed = absorb_last_batch(plan);
        if (!changed) {
            transpose(plan);
            changed = absorb_last_batch(plan);
            transpose(plan);
        }
    }
}

// For plain loops: the inner loop runs along n, or along k where both operands are contiguous there.
void choose_plain(Plan& plan) {
    Product& p = plan.product;
    const bool along_k = (p.a_col == 1 || p.k == 1) && (p.b_row == 1 || p.k == 1);
    if ((p.m == 1 && p.n == 1) || (along_k && (p.m == 1 || p.n == 1 || p.n < 8))) {
        plan.method = Method::Dots;
        return;
    }
    const bool prefer_transposed = p.n == 1 || (p.m > 1 && p.out_col != 1 && p.out_row == 1);
    if (prefer_transposed) {
        transpose(plan);
    }
    plan.method = p.k == 1 ? Method::Outer : Method::Rows;
}

bool is_tiny(const Product& p) {
    // each factor first, so that their product does not overflow
    return p.m <= PLAIN_WORK && p.n <= PLAIN_WORK && p.k <= PLAIN_WORK && p.m * p.n * p.k <= PLAIN_WORK;
}

void choose_method(Plan& plan, bool blas, bool complex_numbers) {
    Product& p = plan.product;
    if (p.m == 0 || p.n == 0 || std::count(plan.batch.begin(), plan.batch.end(), 0) > 0) {
        plan.method = Method::Nothing;
        return;
    }
    if (p.k == 0) {
        plan.method = plan.accumulate ? Method::Nothing : Method::Zeros;
        return;
    }
    const bool fits = p.m <= BLAS_LIMIT && p.n <= BLAS_LIMIT && p.k <= BLAS_LIMIT;
    // BLAS returns at once for alpha == 0, which would lose NaN and infinities.
    if (!blas || !fits || plan.alpha == 0.0 || p.k == 1 || is_tiny(p)) {
        choose_plain(plan);
        return;
    }
    if (p.m == 1 && p.n > 1) {
        transpose(plan);  // gemv below takes the matrix as a
    } else if (p.n > 1 && p.out_col != 1 && p.out_row == 1) {
        transpose(plan);
    }
    plan.a = layout_of(p.m, p.k, p.a_row, p.a_col);
    plan.b = layout_of(p.k, p.n, p.b_row, p.b_col);
    if (p.m == 1 && p.n == 1 && !complex_numbers && p.a_col > 0 && p.a_col <= BLAS_LIMIT && p.b_row > 0 &&
        p.b_row <= BLAS_LIMIT) {
        plan.method = Method::Dot;
    } else if (p.n == 1) {
        plan.method = Method::Gemv;
        plan.pack_out = p.m > 1 && (p.out_row <= 0 || p.out_row > BLAS_LIMIT);
        plan.b.pack = p.k > 1 && (p.b_row <= 0 || p.b_row > BLAS_LIMIT);
    } else {
        plan.method = Method::Gemm;
        plan.pack_out = p.out_col != 1 || (p.m > 1 && (p.out_row < p.n || p.out_row > BLAS_LIMIT));
    }
}

// Returns an operand as BLAS can read it. `packed` remembers what the scratch holds, for batches that share an operand.
template <class T>
const T* operand(Scratch::Slot slot, bool pack, int64_t rows, int64_t cols, const T* source, int64_t row, int64_t col,
                 const T*& packed) {
    if (!pack) {
        return source;
    }
    T* scratch = Scratch::get<T>(slot, rows * cols);
    if (packed != source) {
        copy_matrix(rows, cols, source, row, col, scratch, cols, int64_t{1});
        packed = source;
    }
    return scratch;
}

template <class T>
void add_matrix(int64_t rows, int64_t cols, const T* source, T* out, int64_t row, int64_t col) {
    for (int64_t i = 0; i < rows; ++i) {
        for (int64_t j = 0; j < cols; ++j) {
            T& target = out[i * row + j * col];
            target = add(target, source[i * cols + j]);
        }
    }
}

// One matrix product of a batch through BLAS, which is column-major: it computes out.T = b.T @ a.T.
template <class T>
void run_gemm(const Plan& plan, const T* a, const T* b, T* out, const T*& packed_a, const T*& packed_b) {
    const Product& p = plan.product;
    const int m = static_cast<int>(p.m), n = static_cast<int>(p.n), k = static_cast<int>(p.k);
    const int lda = static_cast<int>(plan.a.leading), ldb = static_cast<int>(plan.b.leading);
    const T alpha = from_double<T>(plan.alpha);
    a = operand(Scratch::A, plan.a.pack, p.m, p.k, a, p.a_row, p.a_col, packed_a);
    b = operand(Scratch::B, plan.b.pack, p.k, p.n, b, p.b_row, p.b_col, packed_b);
    T* target = plan.pack_out ? Scratch::get<T>(Scratch::OUT, p.m * p.n) : out;
    const int ldc = plan.pack_out || p.m == 1 ? n : static_cast<int>(p.out_row);
    const T beta = from_double<T>(plan.accumulate && !plan.pack_out ? 1.0 : 0.0);
    Blas<T>::gemm(&plan.b.trans, &plan.a.trans, &n, &m, &k, &alpha, b, &ldb, a, &lda, &beta, target, &ldc);
    if (plan.pack_out && plan.accumulate) {
        add_matrix(p.m, p.n, target, out, p.out_row, p.out_col);
    } else if (plan.pack_out) {
        copy_matrix(p.m, p.n, target, p.n, int64_t{1}, out, p.out_row, p.out_col);
    }
}

// Matrix a times vector b. The result is cleared here: some BLAS multiply what they find by beta == 0, NaN included.
template <class T>
void run_gemv(const Plan& plan, const T* a, const T* b, T* out, const T*& packed_a, const T*& packed_b) {
    const Product& p = plan.product;
    const T alpha = from_double<T>(plan.alpha), one = from_double<T>(1.0);
    a = operand(Scratch::A, plan.a.pack, p.m, p.k, a, p.a_row, p.a_col, packed_a);
    b = operand(Scratch::B, plan.b.pack, p.k, int64_t{1}, b, p.b_row, int64_t{1}, packed_b);
    const int step_b = plan.b.pack || p.k == 1 ? 1 : static_cast<int>(p.b_row);
    T* target = plan.pack_out ? Scratch::get<T>(Scratch::OUT, p.m) : out;
    const int step_out = plan.pack_out || p.m == 1 ? 1 : static_cast<int>(p.out_row);
    if (!plan.accumulate || plan.pack_out) {
        for (int64_t i = 0; i < p.m; ++i) {
            target[i * step_out] = T{};
        }
    }
    const bool by_rows = plan.a.trans == 'N';
    const char trans = by_rows ? 'T' : 'N';
    const int rows = static_cast<int>(by_rows ? p.k : p.m), cols = static_cast<int>(by_rows ? p.m : p.k);
    const int lda = static_cast<int>(plan.a.leading);
    Blas<T>::gemv(&trans, &rows, &cols, &alpha, a, &lda, b, &step_b, &one, target, &step_out);
    if (plan.pack_out && plan.accumulate) {
        add_matrix(p.m, int64_t{1}, target, out, p.out_row, int64_t{1});
    } else if (plan.pack_out) {
        copy_matrix(p.m, int64_t{1}, target, int64_t{1}, int64_t{1}, out, p.out_row, int64_t{1});
    }
}

template <class T>
void run_dot(const Plan& plan, const T* a, const T* b, T* out) {
    const int k = static_cast<int>(plan.product.k);
    const int a_step = static_cast<int>(plan.product.a_col), b_step = static_cast<int>(plan.product.b_row);
    const T value = static_cast<T>(plan.alpha) * Blas<T>::dot(&k, a, &a_step, b, &b_step);
    *out = plan.accumulate ? *out + value : value;
}

template <class T>
void run_one(const Plan& plan, const T* a, const T* b, T* out, const T*& packed_a, const T*& packed_b) {
    const Product& p = plan.product;
    const T alpha = from_double<T>(plan.alpha);
    switch (plan.method) {
        case Method::Outer:
            return matmul_outer(p, alpha, plan.accumulate, a, b, out);
        case Method::Dots:
            return matmul_dots(p, alpha, plan.accumulate, a, b, out);
        case Method::Rows:
            return matmul_rows(p, alpha, plan.accumulate, a, b, out);
        case Method::Zeros:
            for (int64_t i = 0; i < p.m; ++i) {
                for (int64_t j = 0; j < p.n; ++j) {
                    out[i * p.out_row + j * p.out_col] = T{};
                }
            }
            return;
        case Method::Dot:
            if constexpr (std::is_floating_point_v<T>) {
                run_dot(plan, a, b, out);
            }
            return;
        case Method::Gemv:
            if constexpr (HAS_BLAS<T>) {
                run_gemv(plan, a, b, out, packed_a, packed_b);
            }
            return;
        case Method::Gemm:
            if constexpr (HAS_BLAS<T>) {
                run_gemm(plan, a, b, out, packed_a, packed_b);
            }
            return;
        case Method::Nothing:
            return;
    }
}

// The products of a batch numbered from `begin` to before `end`.
template <class T>
void run_batches(const Plan& plan, const T* a, const T* b, T* out, int64_t begin, int64_t end) {
    const T *packed_a = nullptr, *packed_b = nullptr;
    const int rank = static_cast<int>(plan.batch.size());
    Shape position(rank, 0);
    int64_t left = begin;
    for (int d = rank - 1; d >= 0; --d) {
        position[d] = left % plan.batch[d];
        left /= plan.batch[d];
        a += plan.a_step[d] * position[d];
        b += plan.b_step[d] * position[d];
        out += plan.out_step[d] * position[d];
    }
    for (int64_t number = begin; number < end; ++number) {
        run_one(plan, a, b, out, packed_a, packed_b);
        int d = rank - 1;
        for (; d >= 0; --d) {
            a += plan.a_step[d];
            b += plan.b_step[d];
            out += plan.out_step[d];
            if (++position[d] < plan.batch[d]) {
                break;
            }
            a -= plan.a_step[d] * plan.batch[d];
            b -= plan.b_step[d] * plan.batch[d];
            out -= plan.out_step[d] * plan.batch[d];
            position[d] = 0;
        }
    }
}

int64_t batch_count(const Plan& plan) {
    int64_t count = 1;
    for (int64_t length : plan.batch) {
        count *= length;
    }
    return count;
}

// One product or batch as independent pieces of work: ranges of the batch, or of the longer side of a single product.
template <class T>
struct Shares {
    const Plan& plan;
    const T *a, *b;
    T* out;
    int64_t length, grain, parts;

    Shares(const Plan& plan, const T* a, const T* b, T* out, int64_t threads)
        : plan(plan), a(a), b(b), out(out), length(batch_count(plan)), grain(1) {
        const Product& p = plan.product;
        if (length == 1) {
            length = std::max(p.m, p.n);
            grain = SHARE_GRAIN;
        }
        const int64_t share = (length + threads - 1) / threads;
        grain = (share + grain - 1) / grain * grain;
        parts = (length + grain - 1) / grain;
    }

    static void run(void* data, int64_t part) {
        const Shares& self = *static_cast<Shares*>(data);
        const int64_t begin = part * self.grain, end = std::min(begin + self.grain, self.length);
        const Product& p = self.plan.product;
        if (!self.plan.batch.empty()) {
            return run_batches<T>(self.plan, self.a, self.b, self.out, begin, end);
        }
        Plan piece = self.plan;
        if (p.m >= p.n) {
            piece.product.m = end - begin;
            run_batches<T>(piece, self.a + begin * p.a_row, self.b, self.out + begin * p.out_row, 0, 1);
        } else {
            piece.product.n = end - begin;
            run_batches<T>(piece, self.a, self.b + begin * p.b_col, self.out + begin * p.out_col, 0, 1);
        }
    }
};

class MatMul final : public Instruction {
  public:
    MatMul(py::handle source, BufferTable& table) {
        dtype_ = read_dtype(source.attr("dtype"), "MatMul.dtype");
        const Shape batch = read_shape(source.attr("batch"), "MatMul.batch");
        const int64_t m = read_integer(source.attr("m"), "MatMul.m");
        const int64_t n = read_integer(source.attr("n"), "MatMul.n");
        const int64_t k = read_integer(source.attr("k"), "MatMul.k");
        if (m < 0 || n < 0 || k < 0) {
            malformed("MatMul: negative dimension");
        }
        const Shape a_shape = extended(batch, m, k), b_shape = extended(batch, k, n), out_shape = extended(batch, m, n);
        a_ = table.view(source.attr("a"), a_shape, Access::Read);
        b_ = table.view(source.attr("b"), b_shape, Access::Read);
        out_ = table.view(source.attr("out"), out_shape, Access::Write);
        for (const View* view : {&a_, &b_, &out_}) {
            if (table.dtype(*view) != dtype_) {
                malformed("MatMul: a buffer is not of the product's dtype");
            }
        }
        if (table.may_overlap(a_, a_shape, out_, out_shape) || table.may_overlap(b_, b_shape, out_, out_shape)) {
            malformed("MatMul: the result overlaps an operand");
        }
        plan_.alpha = source.attr("alpha").cast<double>();
        plan_.accumulate = source.attr("accumulate").cast<bool>();
        make_plan(batch, m, n, k);
        work_ = 1.0 * static_cast<double>(checked_size(out_shape)) * static_cast<double>(k);
    }

    void run(const Context& context) const override {
        if (plan_.method == Method::Nothing) {
            return;
        }
        visit_dtype(dtype_, [&](auto tag) {
            using T = typename decltype(tag)::type;
            const T* a = context.resolve_as<T>(a_);
            const T* b = context.resolve_as<T>(b_);
            if (plan_.exchanged) {
                std::swap(a, b);
            }
            T* out = context.resolve_as<T>(out_);
            if (!is_shared()) {
                return run_alone(a, b, out);
            }
            const OneBlasThread alone;
            Shares<T> shares(plan_, a, b, out, thread_count());
            parallel_run(shares.parts, &Shares<T>::run, &shares);
        });
        Scratch::trim();
    }

    double cost() const override {
        const bool blas = plan_.method >= Method::Dot;
        return 50.0 + work_ * (blas ? 0.1 : 0.5);
    }

    std::string name() const override { return "matmul"; }

  private:
    Dtype dtype_;
    View a_, b_, out_;
    Plan plan_;
    double work_ = 0.0;

    template <class T>
    void run_alone(const T* a, const T* b, T* out) const {
        std::optional<OneBlasThread> alone;
        if (plan_.method == Method::Gemm && work_ >= OPENBLAS_WORK && work_ < SHARED_GEMM_WORK) {
            alone.emplace();
        }
        run_batches<T>(plan_, a, b, out, 0, batch_count(plan_));
    }

    // Whether the work is worth the pool. A single product that must be packed is left alone: each share would pack.
    bool is_shared() const {
        if (!controls_blas_threads() || (plan_.method != Method::Gemm && plan_.method != Method::Gemv)) {
            return false;
        }
        const bool packs = plan_.a.pack || plan_.b.pack || plan_.pack_out;
        return work_ >= (plan_.method == Method::Gemm ? SHARED_GEMM_WORK : SHARED_GEMV_WORK) &&
               (!packs || !plan_.batch.empty());
    }

    static Shape extended(Shape batch, int64_t rows, int64_t cols) {
        batch.push_back(rows);
        batch.push_back(cols);
        return batch;
    }

    void make_plan(const Shape& batch, int64_t m, int64_t n, int64_t k) {
        const size_t rank = batch.size();
        plan_.product = {m,
                         n,
                         k,
                         a_.strides[rank],
                         a_.strides[rank + 1],
                         b_.strides[rank],
                         b_.strides[rank + 1],
                         out_.strides[rank],
                         out_.strides[rank + 1]};
        const auto steps = [rank](const View& view) {
            return Shape(view.strides.begin(), view.strides.begin() + static_cast<int64_t>(rank));
        };
        plan_.batch = batch;
        plan_.a_step = steps(a_);
        plan_.b_step = steps(b_);
        plan_.out_step = steps(out_);
        drop_unit_batches(plan_);
        absorb_batches(plan_);
        const bool blas = visit_dtype(dtype_, [](auto tag) {
            using T = typename decltype(tag)::type;
            if constexpr (HAS_BLAS<T>) {
                return Blas<T>::gemm != nullptr && Blas<T>::gemv != nullptr &&
                       (IS_COMPLEX<T> || Blas<T>::dot != nullptr);
            } else {
                return false;
            }
        });
        choose_method(plan_, blas, dtype_ == Dtype::C64 || dtype_ == Dtype::C128);
    }
};

}  // namespace

std::unique_ptr<Instruction> make_matmul(py::handle instruction, BufferTable& table) {
    return std::make_unique<MatMul>(instruction, table);
}

void bind_contract(py::module_& m) {
    m.def(
        "set_blas", &set_blas, py::arg("functions"), py::arg("lapack") = py::none(),
        "Takes the functions of BLAS out of the capsules of scipy.linalg.cython_blas, by name; `lapack` is called for "
        "those of cython_lapack when they are first needed. Programs built before keep the loops they chose.");
}

}  // namespace tracer

#include "fourier.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <new>
#include <optional>
#include <sstream>

#include "threads.hpp"

#define PY_ARRAY_UNIQUE_SYMBOL tracer_ARRAY_API
#define NO_IMPORT_ARRAY
#define NO_IMPORT_UFUNC
#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#define NPY_TARGET_VERSION NPY_2_0_API_VERSION
#include <numpy/arrayobject.h>
#include <numpy/ufuncobject.h>

namespace tracer {
namespace {

// Nanoseconds: from the first a transform is shared out, in pieces of about the second.
constexpr double SHARED_COST = 30e3, PIECE_COST = 10e3;
constexpr int64_t ROWS = 16;  // pieces are multiples of it, as NumPy transforms a vector of rows at once
constexpr int64_t WIDENED = int64_t{1} << 16;  // numbers widened at once: they stay in the cache
constexpr double TURN = 6.283185307179586;
constexpr const char* PREFIX = "fourier ";

struct Kind {
    const char* name;
    bool complex_in, complex_out;
    bool inverse() const { return name[0] == 'i'; }
    bool half() const { return !(complex_in && complex_out); }
};

const Kind KINDS[] = {{"fft", true, true}, {"ifft", true, true}, {"rfft", false, true}, {"irfft", true, false}};

// NumPy's loop over rows of points. Its steps are those of a generalized ufunc of the signature (n),()->(m).
struct Loop {
    py::object ufunc;  // keeps the rest
    PyUFuncGenericFunction function;
    void* data;
};

void call(const Loop& loop, char* in, char* out, const npy_intp (&sizes)[3], const npy_intp (&steps)[5]) {
    double factor = 1.0;
    char* operands[3] = {in, reinterpret_cast<char*>(&factor), out};
    loop.function(operands, sizes, steps, loop.data);
}

// Of double precision.
constexpr npy_intp bytes_of_point(bool is_complex) {
    return is_complex ? 16 : 8;
}

// Whether the loop gives what it should for some points: NumPy promises nothing about it.
bool computes(const Kind& kind, const Loop& loop, npy_intp n) {
    double spectrum[8], impulse[8] = {};
    const npy_intp frequencies = kind.half() ? n / 2 + 1 : n;
    for (npy_intp k = 0; k < n; ++k) {
        spectrum[2 * k] = std::cos(TURN * static_cast<double>(k) / static_cast<double>(n));
        spectrum[2 * k + 1] = -std::sin(TURN * static_cast<double>(k) / static_cast<double>(n));
    }
    const npy_intp width = kind.half() ? 1 : 2;  // of a point, in numbers
    impulse[width] = kind.inverse() ? static_cast<double>(n) : 1.0;
    double found[8] = {};
    double* const from = kind.inverse() ? spectrum : impulse;
    const double* const wanted = kind.inverse() ? impulse : spectrum;
    const npy_intp in = kind.inverse() ? frequencies : n, out = kind.inverse() ? n : frequencies;
    const npy_intp steps[5] = {0, 0, 0, bytes_of_point(kind.complex_in), bytes_of_point(kind.complex_out)};
    call(loop, reinterpret_cast<char*>(from), reinterpret_cast<char*>(found), {1, in, out}, steps);
    for (npy_intp i = 0; i < out * (kind.complex_out ? 2 : 1); ++i) {
        if (!(std::fabs(found[i] - wanted[i]) < 1e-12)) {
            return false;
        }
    }
    return true;
}

std::optional<Loop> find_loop(const Kind& kind, bool odd) {
    const std::string name = std::string(kind.name) + (kind.complex_in ? "" : odd ? "_n_odd" : "_n_even");
    py::object found;
    try {
        found = py::module_::import("numpy.fft._pocketfft_umath").attr(name.c_str());
        if (!py::isinstance(found, py::module_::import("numpy").attr("ufunc"))) {
            return std::nullopt;
        }
    } catch (py::error_already_set& error) {
        if (!error.matches(PyExc_ImportError) && !error.matches(PyExc_AttributeError)) {
            throw;
        }
        return std::nullopt;
    }
    const auto& ufunc = *reinterpret_cast<const PyUFuncObject*>(found.ptr());
    if (ufunc.core_enabled == 0 || ufunc.nin != 2 || ufunc.nout != 1 || ufunc.core_num_dim_ix != 2 ||
        ufunc.core_num_dims[0] != 1 || ufunc.core_num_dims[1] != 0 || ufunc.core_num_dims[2] != 1 ||
        ufunc.core_dim_ixs[ufunc.core_offsets[0]] != 0 || ufunc.core_dim_ixs[ufunc.core_offsets[2]] != 1) {
        return std::nullopt;
    }
    const int wanted[3] = {kind.complex_in ? NPY_CDOUBLE : NPY_DOUBLE, NPY_DOUBLE,
                           kind.complex_out ? NPY_CDOUBLE : NPY_DOUBLE};
    for (int i = 0; i < ufunc.ntypes; ++i) {
        if (std::equal(wanted, wanted + 3, ufunc.types + 3 * i)) {
            const Loop loop{found, ufunc.functions[i], ufunc.data == nullptr ? nullptr : ufunc.data[i]};
            return computes(kind, loop, odd ? 3 : 4) ? std::optional<Loop>(loop) : std::nullopt;
        }
    }
    return std::nullopt;
}

// An axis of rows; bytes from one to the next.
struct Rows {
    int64_t count, in, out;
};

// The points of a row; bytes from one to the next.
struct Points {
    int64_t count, step, numbers;  // numbers of a point: two of a complex one

    int64_t doubles() const { return count * numbers; }
};

class Transform final : public NativeCall {
  public:
    Transform(Loop loop, const Kind& kind, bool is_double, const Operand& in, const Operand& out, size_t axis)
        : loop_(std::move(loop)), is_double_(is_double), in_(in.view), out_(out.view) {
        const int64_t size = is_double ? 8 : 4;
        from_ = {in.shape[axis], 0, kind.complex_in ? 2 : 1};
        to_ = {out.shape[axis], 0, kind.complex_out ? 2 : 1};
        const int64_t in_size = size * from_.numbers, out_size = size * to_.numbers;
        from_.step = in.view.strides[axis] * in_size;
        to_.step = out.view.strides[axis] * out_size;
        for (size_t d = 0; d < in.shape.size(); ++d) {
            if (d != axis && in.shape[d] > 1) {
                add_rows({in.shape[d], in.view.strides[d] * in_size, out.view.strides[d] * out_size});
            }
        }
        if (axes_.empty()) {
            axes_.push_back({1, 0, 0});
        }
        const auto n = static_cast<double>(std::max(from_.count, to_.count));
        const double row = 50.0 + 0.14 * n * std::log2(n + 1.0) * static_cast<double>(from_.numbers + to_.numbers);
        divide(row);
        cost_ = row;
        for (const Rows& rows : axes_) {
            cost_ *= static_cast<double>(rows.count);
        }
    }

    bool run(const Context& context) const override {
        Job job{*this, context.resolve(in_), context.resolve(out_), {false}};
        if (cost_ > SHARED_COST) {
            parallel_run(parts_, run_piece, &job);
        } else {
            for (int64_t part = 0; part < parts_; ++part) {
                run_piece(&job, part);
            }
        }
        if (job.failed) {
            const py::gil_scoped_acquire acquire;
            PyErr_Clear();  // the function that runs instead says what is wrong
        }
        return !job.failed;
    }

    double cost() const override { return cost_; }

  private:
    struct Job {
        const Transform& transform;
        char *in, *out;
        std::atomic<bool> failed;
    };

    Loop loop_;
    bool is_double_;
    View in_, out_;
    Points from_{}, to_{};
    std::vector<Rows> axes_;  // of rows; the last one is cut into pieces
    int64_t grain_ = 1, pieces_ = 1, parts_ = 1;
    double cost_ = 0.0;

    void divide(double row_cost) {
        grain_ = static_cast<int64_t>(std::ceil(PIECE_COST / row_cost / ROWS)) * ROWS;
        if (!is_double_) {
            grain_ = std::min(grain_, std::max<int64_t>(1, WIDENED / (from_.doubles() + to_.doubles())));
        }
        grain_ = std::min(grain_, axes_.back().count);
        pieces_ = parts_ = (axes_.back().count + grain_ - 1) / grain_;
        for (size_t d = 0; d + 1 < axes_.size(); ++d) {
            parts_ *= axes_[d].count;
        }
    }

    // Joins an axis with the one before where both operands walk on.
    void add_rows(const Rows& rows) {
        if (!axes_.empty() && axes_.back().in == rows.count * rows.in && axes_.back().out == rows.count * rows.out) {
            axes_.back() = {axes_.back().count * rows.count, rows.in, rows.out};
        } else {
            axes_.push_back(rows);
        }
    }

    static void run_piece(void* data, int64_t part) {
        Job& job = *static_cast<Job*>(data);
        const Transform& self = job.transform;
        const Rows& rows = self.axes_.back();
        const int64_t first = part % self.pieces_ * self.grain_;
        char* in = job.in + first * rows.in;
        char* out = job.out + first * rows.out;
        int64_t number = part / self.pieces_;
        for (size_t d = self.axes_.size() - 1; d-- > 0;) {
            const Rows& axis = self.axes_[d];
            in += number % axis.count * axis.in;
            out += number % axis.count * axis.out;
            number /= axis.count;
        }
        const int64_t count = std::min(self.grain_, rows.count - first);
        if (!(self.is_double_ ? self.transform(in, out, {count, rows.in, rows.out}, self.from_.step, self.to_.step)
                              : self.transform_widened(in, out, {count, rows.in, rows.out}))) {
            job.failed = true;
        }
    }

    // False if there was no memory: a loop without it writes nothing, and its exception may have gone with a thread
    // that Python did not know.
    bool transform(char* in, char* out, const Rows& rows, int64_t in_step, int64_t out_step) const {
        char untouched[16];
        std::memset(untouched, 0xFF, sizeof(untouched));
        const size_t bytes = to_.numbers * sizeof(double);
        std::memcpy(out, untouched, bytes);
        call(loop_, in, out, {rows.count, from_.count, to_.count}, {rows.in, 0, rows.out, in_step, out_step});
        return std::memcmp(out, untouched, bytes) != 0;
    }

    // NumPy's functions transform single precision in double precision too.
    bool transform_widened(const char* in, char* out, const Rows& rows) const {
        double* wide;
        try {
            wide = reinterpret_cast<double*>(scratch(rows.count * (from_.doubles() + to_.doubles()) * sizeof(double)));
        } catch (const std::bad_alloc&) {
            return false;
        }
        double *const made = wide + rows.count * from_.doubles(), *at = wide;
        for (int64_t row = 0; row < rows.count; ++row) {
            for (int64_t i = 0; i < from_.count; ++i) {
                const auto* point = reinterpret_cast<const float*>(in + row * rows.in + i * from_.step);
                for (int64_t k = 0; k < from_.numbers; ++k) {
                    *at++ = static_cast<double>(point[k]);
                }
            }
        }
        const Rows dense{rows.count, from_.doubles() * 8, to_.doubles() * 8};
        if (!transform(reinterpret_cast<char*>(wide), reinterpret_cast<char*>(made), dense, from_.numbers * 8,
                       to_.numbers * 8)) {
            return false;
        }
        at = made;
        for (int64_t row = 0; row < rows.count; ++row) {
            for (int64_t i = 0; i < to_.count; ++i) {
                auto* point = reinterpret_cast<float*>(out + row * rows.out + i * to_.step);
                for (int64_t k = 0; k < to_.numbers; ++k) {
                    point[k] = static_cast<float>(*at++);
                }
            }
        }
        return true;
    }
};

bool is_complex(Dtype dtype) {
    return dtype == Dtype::C64 || dtype == Dtype::C128;
}

}  // namespace

bool is_transform(const std::string& kernel) {
    return kernel.rfind(PREFIX, 0) == 0;
}

std::unique_ptr<NativeCall> make_transform(const std::string& kernel, const std::vector<Operand>& inputs,
                                           const std::vector<Operand>& outputs, const BufferTable& table) {
    std::istringstream words(kernel.substr(std::strlen(PREFIX)));
    std::string name;
    size_t axis = 0;
    words >> name >> axis;
    const auto* kind =
        std::find_if(std::begin(KINDS), std::end(KINDS), [&](const Kind& it) { return it.name == name; });
    if (!words || kind == std::end(KINDS) || inputs.size() != 1 || outputs.size() != 1 ||
        axis >= inputs[0].shape.size()) {
        malformed("Call: wrong operands for kernel " + kernel);
    }
    const Operand &in = inputs[0], &out = outputs[0];
    Shape wanted = in.shape;
    const int64_t n = kind->complex_out ? in.shape[axis] : out.shape.size() > axis ? out.shape[axis] : 0;
    wanted[axis] = kind->complex_in && kind->complex_out ? n : kind->complex_out ? n / 2 + 1 : n;
    if (out.shape != wanted || (!kind->complex_out && in.shape[axis] != n / 2 + 1)) {
        malformed("Call: the sizes of the operands do not fit kernel " + kernel);
    }
    const Dtype from = table.dtype(in.view), to = table.dtype(out.view);
    const bool is_double = from == Dtype::F64 || from == Dtype::C128;
    const bool known = is_double || from == Dtype::F32 || from == Dtype::C64;
    if (!known || is_complex(from) != kind->complex_in || is_complex(to) != kind->complex_out ||
        is_double != (to == Dtype::F64 || to == Dtype::C128) || checked_size(in.shape) == 0 ||
        checked_size(out.shape) == 0 || table.may_overlap(out.view, out.shape, in.view, in.shape)) {
        return nullptr;
    }
    std::optional<Loop> loop = find_loop(*kind, n % 2 != 0);
    return loop ? std::make_unique<Transform>(std::move(*loop), *kind, is_double, in, out, axis) : nullptr;
}

}  // namespace tracer

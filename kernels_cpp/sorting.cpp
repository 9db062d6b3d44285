#include "sorting.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>
#include <new>
#include <sstream>
#include <type_traits>
#include <utility>

#include "threads.hpp"

namespace tracer {
namespace {

constexpr const char* PREFIX = "sorted ";
constexpr int64_t SHORTEST = 512;     // numbers of a row; below that the counts of digits show
constexpr double SHARED_COST = 30e3;  // nanoseconds
constexpr double ENTRY_COST = 2.0;    // nanoseconds to move one by one digit
constexpr int DIGIT = 11;             // bits: the counts of one stay in the first-level cache
constexpr int64_t VALUES = 1 << DIGIT;

// Keys in the order of NumPy's sort: both zeros are equal, and NaNs, equal too, come last.
template <class T>
auto key_of(T x) {
    using Key = std::conditional_t<sizeof(T) == 8, uint64_t, uint32_t>;
    constexpr Key SIGN = Key{1} << (sizeof(T) * 8 - 1);
    Key bits;
    if constexpr (std::is_floating_point_v<T>) {
        if (x != x) {
            return std::numeric_limits<Key>::max();
        }
        x += T{0};  // the negative zero becomes the other one
        std::memcpy(&bits, &x, sizeof(bits));
        return static_cast<Key>((bits & SIGN) != 0 ? ~bits : bits | SIGN);
    } else {
        std::memcpy(&bits, &x, sizeof(bits));
        return static_cast<Key>(bits ^ SIGN);
    }
}

template <class Key>
struct Entry {
    Key key;
    uint32_t place;
};

// Sorts by one digit after the other, the lowest first; gives the one of the two arrays that has the result.
template <class Key>
Entry<Key>* sort_entries(Entry<Key>* entries, Entry<Key>* other, int64_t n) {
    constexpr int DIGITS = (sizeof(Key) * 8 + DIGIT - 1) / DIGIT;
    uint32_t counts[DIGITS][VALUES] = {};
    for (int64_t i = 0; i < n; ++i) {
        for (int d = 0; d < DIGITS; ++d) {
            ++counts[d][entries[i].key >> (d * DIGIT) & (VALUES - 1)];
        }
    }
    for (int d = 0; d < DIGITS; ++d) {
        uint32_t* const at = counts[d];
        const auto digit = [d](const Entry<Key>& entry) { return entry.key >> (d * DIGIT) & (VALUES - 1); };
        if (at[digit(entries[0])] == n) {
            continue;  // the same everywhere
        }
        uint32_t start = 0;
        for (int64_t value = 0; value < VALUES; ++value) {
            start += std::exchange(at[value], start);
        }
        for (int64_t i = 0; i < n; ++i) {
            other[at[digit(entries[i])]++] = entries[i];
        }
        std::swap(entries, other);
    }
    return entries;
}

// A row of an operand: where it begins, and bytes to the next number.
struct Row {
    char* start;
    int64_t step;
};

template <class T>
void sort_row(const Row& in, const Row* values, const Row& places, int64_t n) {
    using Key = decltype(key_of(T{}));
    auto* entries = reinterpret_cast<Entry<Key>*>(scratch(2 * n * sizeof(Entry<Key>)));
    for (int64_t i = 0; i < n; ++i) {
        T x;
        std::memcpy(&x, in.start + i * in.step, sizeof(x));
        entries[i] = {key_of(x), static_cast<uint32_t>(i)};
    }
    const Entry<Key>* sorted = sort_entries(entries, entries + n, n);
    for (int64_t i = 0; i < n; ++i) {
        const int64_t place = sorted[i].place;
        std::memcpy(places.start + i * places.step, &place, sizeof(place));
        if (values != nullptr) {
            std::memcpy(values->start + i * values->step, in.start + place * in.step, sizeof(T));
        }
    }
}

using SortRow = void (*)(const Row&, const Row*, const Row&, int64_t);

SortRow sorter(Dtype dtype) {
    switch (dtype) {
        case Dtype::F64:
            return sort_row<double>;
        case Dtype::F32:
            return sort_row<float>;
        case Dtype::I64:
            return sort_row<int64_t>;
        case Dtype::I32:
            return sort_row<int32_t>;
        default:
            return nullptr;
    }
}

class Sorting final : public NativeCall {
  public:
    Sorting(SortRow sort, const std::vector<const Operand*>& operands, const std::vector<int64_t>& sizes, size_t axis)
        : sort_(sort), length_(operands[0]->shape[axis]), axis_(axis), shape_(operands[0]->shape) {
        shape_[axis] = 1;
        for (size_t k = 0; k < operands.size(); ++k) {
            views_.push_back(operands[k]->view);
            for (int64_t& stride : views_.back().strides) {
                stride *= sizes[k];
            }
        }
        for (const int64_t length : shape_) {
            rows_ *= length;
        }
        const double digits = static_cast<double>(sizes[0]) * 8 / DIGIT + 2.0;
        cost_ = static_cast<double>(rows_) * static_cast<double>(length_) * digits * ENTRY_COST;
    }

    bool run(const Context& context) const override {
        Job job{*this, {}, {false}};
        for (const View& view : views_) {
            job.starts.push_back(context.resolve(view));
        }
        if (cost_ > SHARED_COST) {
            parallel_run(rows_, run_row, &job);
        } else {
            for (int64_t row = 0; row < rows_; ++row) {
                run_row(&job, row);
            }
        }
        return !job.failed;
    }

    double cost() const override { return cost_; }

  private:
    struct Job {
        const Sorting& sorting;
        std::vector<char*> starts;
        std::atomic<bool> failed;
    };

    SortRow sort_;
    int64_t length_, rows_ = 1;
    size_t axis_;
    Shape shape_;              // of the rows
    std::vector<View> views_;  // strides in bytes: what is sorted, then the results
    double cost_ = 0.0;

    static void run_row(void* data, int64_t number) {
        Job& job = *static_cast<Job*>(data);
        const Sorting& self = job.sorting;
        Row rows[3];
        const size_t count = self.views_.size();
        for (size_t k = 0; k < count; ++k) {
            rows[k] = {job.starts[k], self.views_[k].strides[self.axis_]};
        }
        for (size_t d = self.shape_.size(); d-- > 0;) {
            for (size_t k = 0; k < count; ++k) {
                rows[k].start += number % self.shape_[d] * self.views_[k].strides[d];
            }
            number /= self.shape_[d];
        }
        try {
            self.sort_(rows[0], count == 3 ? &rows[1] : nullptr, rows[count - 1], self.length_);
        } catch (const std::bad_alloc&) {
            job.failed = true;
        }
    }
};

}  // namespace

bool is_sorting(const std::string& kernel) {
    return kernel.rfind(PREFIX, 0) == 0;
}

std::unique_ptr<NativeCall> make_sorting(const std::string& kernel, const std::vector<Operand>& inputs,
                                         const std::vector<Operand>& outputs, const BufferTable& table) {
    std::istringstream words(kernel.substr(std::strlen(PREFIX)));
    size_t axis = 0;
    words >> axis;
    if (!words || inputs.size() != 1 || outputs.empty() || outputs.size() > 2 || axis >= inputs[0].shape.size()) {
        malformed("Call: wrong operands for kernel " + kernel);
    }
    const Operand& in = inputs[0];
    const Dtype dtype = table.dtype(in.view);
    std::vector<const Operand*> operands = {&in};
    std::vector<int64_t> sizes = {itemsize(dtype)};
    bool apart = true;
    for (const Operand& out : outputs) {
        const Dtype wanted = &out == &outputs.back() ? Dtype::I64 : dtype;
        if (out.shape != in.shape || table.dtype(out.view) != wanted) {
            malformed("Call: the results do not fit kernel " + kernel);
        }
        apart = apart && !table.may_overlap(out.view, out.shape, in.view, in.shape);
        operands.push_back(&out);
        sizes.push_back(itemsize(wanted));
    }
    const SortRow sort = sorter(dtype);
    const int64_t length = in.shape[axis];
    if (sort == nullptr || !apart || length < SHORTEST || length > std::numeric_limits<uint32_t>::max() ||
        checked_size(in.shape) == 0) {
        return nullptr;
    }
    return std::make_unique<Sorting>(sort, operands, sizes, axis);
}

}  // namespace tracer

// Reading and checking the description of a program: shapes, types, buffers and views.
#include <algorithm>
#include <cstdlib>
#include <numeric>
#include <tuple>
#include <utility>

#include "program.hpp"

namespace tracer {

namespace {

constexpr size_t MAX_DIMENSIONS = 64;

int64_t checked_multiply(int64_t a, int64_t b) {
    int64_t product;
    if (__builtin_mul_overflow(a, b, &product)) {
        malformed("a size overflows");
    }
    return product;
}

int64_t checked_add(int64_t a, int64_t b) {
    int64_t sum;
    if (__builtin_add_overflow(a, b, &sum)) {
        malformed("a size overflows");
    }
    return sum;
}

bool is_empty(const Shape& shape) {
    return std::find(shape.begin(), shape.end(), 0) != shape.end();
}

// Lowest and highest element offset of a window that is not empty.
std::pair<int64_t, int64_t> element_range(const Shape& shape, const Shape& strides, int64_t offset) {
    int64_t low = offset, high = offset;
    for (size_t d = 0; d < shape.size(); ++d) {
        const int64_t reach = checked_multiply(shape[d] - 1, strides[d]);
        (reach < 0 ? low : high) = checked_add(reach < 0 ? low : high, reach);
    }
    return {low, high};
}

// Sufficient for "no element twice": each stride steps over everything that the smaller ones reach.
bool hits_once(const Shape& shape, const Shape& strides, bool repeats) {
    std::vector<std::pair<int64_t, int64_t>> axes;
    for (size_t d = 0; d < shape.size(); ++d) {
        if (shape[d] > 1 && !(repeats && strides[d] == 0)) {
            axes.emplace_back(std::abs(strides[d]), shape[d]);
        }
    }
    std::sort(axes.begin(), axes.end());
    int64_t reach = 0;
    for (const auto& [stride, length] : axes) {
        if (stride <= reach) {
            return false;
        }
        reach = checked_add(reach, checked_multiply(stride, length - 1));
    }
    return true;
}

}  // namespace

void malformed(const std::string& message) {
    throw std::invalid_argument(message);
}

int64_t read_integer(py::handle value, const char* what) {
    const auto number = py::reinterpret_steal<py::object>(PyNumber_Index(value.ptr()));
    const int64_t result = number ? PyLong_AsLongLong(number.ptr()) : -1;
    if (PyErr_Occurred() != nullptr) {
        PyErr_Clear();
        malformed(std::string(what) + " is not an integer of 64 bits");
    }
    return result;
}

Shape read_integers(py::handle sequence, const char* what) {
    if (!PyTuple_Check(sequence.ptr()) && !PyList_Check(sequence.ptr())) {
        malformed(std::string(what) + " is not a tuple");
    }
    Shape result;
    for (py::handle item : sequence) {
        result.push_back(read_integer(item, what));
    }
    return result;
}

Shape read_shape(py::handle sequence, const char* what) {
    Shape shape = read_integers(sequence, what);
    if (shape.size() > MAX_DIMENSIONS) {
        malformed(std::string(what) + " has too many dimensions");
    }
    for (const int64_t length : shape) {
        if (length < 0) {
            malformed(std::string(what) + " is negative");
        }
    }
    checked_size(shape);
    return shape;
}

int64_t checked_size(const Shape& shape) {
    if (is_empty(shape)) {
        return 0;
    }
    int64_t size = 1;
    for (const int64_t length : shape) {
        size = checked_multiply(size, length);
    }
    checked_multiply(size, itemsize(Dtype::C128));
    return size;
}

Dtype read_dtype(py::handle dtype, const char* what) {
    if (!py::isinstance<py::dtype>(dtype)) {
        malformed(std::string(what) + " is not a dtype");
    }
    // Kind and size are read from the structure: the attribute `name` is computed in Python, at every call.
    const auto type = py::reinterpret_borrow<py::dtype>(dtype);
    constexpr char KINDS[DTYPE_COUNT + 1] = "biiiiuuuuffcc";
    for (int i = 0; i < DTYPE_COUNT; ++i) {
        const auto candidate = static_cast<Dtype>(i);
        if (type.kind() == KINDS[i] && type.itemsize() == itemsize(candidate) && type.byteorder() != '>') {
            return candidate;
        }
    }
    malformed(std::string(what) + " has the unsupported dtype " + py::cast<std::string>(py::str(dtype)));
}

py::dtype numpy_dtype(Dtype dtype) {
    static PyObject* found[DTYPE_COUNT] = {};  // never freed: modules outlive the interpreter's last objects
    PyObject*& own = found[static_cast<int>(dtype)];
    if (own == nullptr) {
        own = py::dtype(std::string(dtype_name(dtype))).release().ptr();
    }
    return py::reinterpret_borrow<py::dtype>(own);
}

Buffer read_buffer(py::handle python_buffer) {
    Buffer buffer;
    const std::string kind = py::cast<std::string>(python_buffer.attr("kind"));
    if (kind == "argument") {
        buffer.kind = BufferKind::Argument;
    } else if (kind == "constant") {
        buffer.kind = BufferKind::Constant;
    } else if (kind == "temporary") {
        buffer.kind = BufferKind::Temporary;
    } else if (kind == "output") {
        buffer.kind = BufferKind::Output;
    } else {
        malformed("unknown kind of buffer " + kind);
    }
    buffer.dtype = read_dtype(python_buffer.attr("dtype"), "buffer");
    buffer.shape = read_shape(python_buffer.attr("shape"), "shape");
    buffer.strides = read_integers(python_buffer.attr("strides"), "strides");
    buffer.index = read_integer(python_buffer.attr("index"), "index");
    buffer.offset = read_integer(python_buffer.attr("offset"), "offset");
    buffer.size = checked_size(buffer.shape);
    if (buffer.strides.size() != buffer.shape.size()) {
        malformed("as many strides as dimensions are needed");
    }
    if (buffer.index < 0 || buffer.offset < 0) {
        malformed("index and offset cannot be negative");
    }
    if (buffer.size > 0) {
        std::tie(buffer.low, buffer.high) = element_range(buffer.shape, buffer.strides, 0);
        checked_multiply(std::max(std::abs(buffer.low), buffer.high), itemsize(Dtype::C128));
    }
    return buffer;
}

bool is_contiguous(const Buffer& buffer) {
    int64_t expected = 1;
    for (size_t d = buffer.shape.size(); d-- > 0;) {
        if (buffer.shape[d] != 1 && buffer.strides[d] != expected && buffer.size > 0) {
            return false;
        }
        expected *= buffer.size > 0 ? buffer.shape[d] : 1;
    }
    return true;
}

View BufferTable::view(py::handle python_view, const Shape& shape, Access access, bool repeats) {
    const int64_t number = read_integer(python_view.attr("buffer"), "buffer");
    if (number < 0 || number >= static_cast<int64_t>(buffers.size())) {
        malformed("there is no buffer " + std::to_string(number));
    }
    View view;
    view.buffer = static_cast<int>(number);
    view.offset = read_integer(python_view.attr("offset"), "offset");
    view.strides = read_integers(python_view.attr("strides"), "strides");
    if (view.strides.size() != shape.size()) {
        malformed("a view has " + std::to_string(view.strides.size()) + " strides over " +
                  std::to_string(shape.size()) + " dimensions");
    }
    Buffer& buffer = buffers[number];
    if (!is_empty(shape)) {
        const auto [low, high] = element_range(shape, view.strides, view.offset);
        if (buffer.low > buffer.high || low < buffer.low || high > buffer.high) {
            malformed("a view reaches outside buffer " + std::to_string(number));
        }
    }
    if (access == Access::Write) {
        if (buffer.kind == BufferKind::Constant) {
            malformed("buffer " + std::to_string(number) + " is a constant, but is written");
        }
        if (!is_empty(shape) && !hits_once(shape, view.strides, repeats)) {
            malformed("an element of buffer " + std::to_string(number) + " is written twice");
        }
        buffer.written = true;
    }
    return view;
}

namespace {

// Where a window lies in memory: kind and number of what owns it, and its bytes.
struct Window {
    BufferKind kind;
    int64_t owner, start, low, high, step, size;
};

Window place(const std::vector<Buffer>& buffers, const View& view, const Shape& shape) {
    const Buffer& own = buffers[view.buffer];
    const Buffer& buffer = own.shared < 0 ? own : buffers[own.shared];
    const bool shared = buffer.kind == BufferKind::Temporary;
    const int64_t size = itemsize(buffer.dtype);
    const auto [low, high] = element_range(shape, view.strides, view.offset);
    const int64_t base = shared ? buffer.offset : 0;
    int64_t step = 0;
    for (size_t d = 0; d < shape.size(); ++d) {
        if (shape[d] > 1) {
            step = std::gcd(step, view.strides[d] * size);
        }
    }
    return {buffer.kind,
            shared ? 0 : buffer.index,
            base + view.offset * size,
            base + low * size,
            base + (high + 1) * size,
            step,
            size};
}

}  // namespace

bool BufferTable::may_overlap(const View& a, const Shape& shape_a, const View& b, const Shape& shape_b) const {
    if (is_empty(shape_a) || is_empty(shape_b)) {
        return false;
    }
    const Window first = place(buffers, a, shape_a), second = place(buffers, b, shape_b);
    if (first.kind != second.kind || first.owner != second.owner) {
        return false;
    }
    if (first.high <= second.low || second.high <= first.low) {
        return false;
    }
    // Strides with a common step keep to their own residues: columns of one array do not meet.
    const int64_t step = std::gcd(first.step, second.step);
    const int64_t gap = step > 0 ? ((second.start - first.start) % step + step) % step : 0;
    return gap < first.size || gap > step - second.size;
}

bool BufferTable::same_place(const View& a, const View& b, const Shape& shape) const {
    if (is_empty(shape)) {
        return true;
    }
    const Window first = place(buffers, a, shape), second = place(buffers, b, shape);
    if (first.kind != second.kind || first.owner != second.owner || first.start != second.start ||
        first.size != second.size) {
        return false;
    }
    for (size_t d = 0; d < shape.size(); ++d) {
        if (shape[d] > 1 && a.strides[d] != b.strides[d]) {
            return false;
        }
    }
    return true;
}

}  // namespace tracer

// The small parts of plans: array entries, guards, results, the arrays of a call.
#include <algorithm>
#include <cstring>
#include <limits>

#include "dispatch.hpp"

namespace tracer {

bool strictly_equal(PyObject* a, PyObject* b) {
    if (a == b) {
        return true;
    }
    if (Py_TYPE(a) != Py_TYPE(b)) {
        return false;
    }
    if (PyUnicode_CheckExact(a) || PyLong_CheckExact(a) || PyBytes_CheckExact(a)) {
        return PyObject_RichCompareBool(a, b, Py_EQ) == 1;
    }
    if (PyFloat_CheckExact(a)) {
        const double x = PyFloat_AS_DOUBLE(a), y = PyFloat_AS_DOUBLE(b);
        return std::memcmp(&x, &y, sizeof x) == 0;
    }
    if (PyComplex_CheckExact(a)) {
        const Py_complex x = PyComplex_AsCComplex(a), y = PyComplex_AsCComplex(b);
        return std::memcmp(&x, &y, sizeof x) == 0;
    }
    if (PyTuple_CheckExact(a)) {
        const Py_ssize_t count = PyTuple_GET_SIZE(a);
        bool equal = count == PyTuple_GET_SIZE(b);
        for (Py_ssize_t i = 0; equal && i < count; ++i) {
            equal = strictly_equal(PyTuple_GET_ITEM(a, i), PyTuple_GET_ITEM(b, i));
        }
        return equal;
    }
    if (PySlice_Check(a)) {
        const auto *x = reinterpret_cast<PySliceObject*>(a), *y = reinterpret_cast<PySliceObject*>(b);
        return strictly_equal(x->start, y->start) && strictly_equal(x->stop, y->stop) &&
               strictly_equal(x->step, y->step);
    }
    return false;
}

Leaves::Leaves(int capacity)
    : data_(inline_data_), arrays_(inline_arrays_), objects_(inline_objects_), scalars_(inline_scalars_) {
    if (capacity > INLINE) {
        const size_t count = static_cast<size_t>(capacity);
        heap_.reset(new char[count * (SCALAR + 3 * sizeof(void*))]);  // the scalars come first: they need the alignment
        scalars_ = heap_.get();
        data_ = reinterpret_cast<char**>(scalars_ + count * SCALAR);
        arrays_ = reinterpret_cast<PyObject**>(data_ + count);
        objects_ = arrays_ + count;
    }
}

Leaves::~Leaves() {
    for (int i = 0; i < count_; ++i) {
        Py_DECREF(objects_[i]);
    }
    for (PyObject* object : kept_) {
        Py_DECREF(object);
    }
}

void Leaves::add_array(PyObject* array) {
    data_[count_] = static_cast<char*>(PyArray_DATA(reinterpret_cast<PyArrayObject*>(array)));
    arrays_[count_] = array;
    objects_[count_++] = Py_NewRef(array);
}

void Leaves::add_scalar(PyObject* scalar) {
    data_[count_] = scalars_ + static_cast<size_t>(count_) * SCALAR;
    PyArray_ScalarAsCtype(scalar, data_[count_]);
    arrays_[count_] = nullptr;
    objects_[count_++] = Py_NewRef(scalar);
}

namespace {

template <typename T>
bool store_integer(int64_t value, char* target) {
    const T narrow = static_cast<T>(value);
    std::memcpy(target, &narrow, sizeof narrow);
    return static_cast<int64_t>(narrow) == value && (value >= 0 || std::numeric_limits<T>::is_signed);
}

bool store_float(double value, bool lossy, char* target) {
    const float narrow = static_cast<float>(value);
    std::memcpy(target, &narrow, sizeof narrow);
    return lossy || static_cast<double>(narrow) == value || value != value;
}

bool store_int(PyObject* number, int type_number, char* target) {
    int overflow = 0;
    const long long value = PyLong_AsLongLongAndOverflow(number, &overflow);
    if (overflow != 0) {
        return false;
    }
    const double real = static_cast<double>(value);
    switch (type_number) {
        case NPY_BYTE:
            return store_integer<npy_byte>(value, target);
        case NPY_SHORT:
            return store_integer<npy_short>(value, target);
        case NPY_INT:
            return store_integer<npy_int>(value, target);
        case NPY_LONG:
            return store_integer<npy_long>(value, target);
        case NPY_LONGLONG:
            return store_integer<npy_longlong>(value, target);
        case NPY_UBYTE:
            return store_integer<npy_ubyte>(value, target);
        case NPY_USHORT:
            return store_integer<npy_ushort>(value, target);
        case NPY_UINT:
            return store_integer<npy_uint>(value, target);
        case NPY_FLOAT:
            return value >= -(1 << 24) && value <= (1 << 24) && store_float(real, false, target);
        case NPY_DOUBLE:
            std::memcpy(target, &real, sizeof real);
            return true;
        default:
            return false;
    }
}

}  // namespace

bool Leaves::add_number(PyObject* number, int type_number, bool lossy) {
    char* target = scalars_ + static_cast<size_t>(count_) * SCALAR;
    bool stored = false;
    if (PyLong_CheckExact(number)) {
        stored = store_int(number, type_number, target);
    } else if (PyFloat_CheckExact(number)) {
        const double value = PyFloat_AS_DOUBLE(number);
        if (type_number == NPY_FLOAT) {
            stored = store_float(value, lossy, target);
        } else if (type_number == NPY_DOUBLE) {
            std::memcpy(target, &value, sizeof value);
            stored = true;
        }
    }
    if (stored) {
        data_[count_] = target;
        arrays_[count_] = nullptr;
        objects_[count_++] = Py_NewRef(number);
    }
    return stored;
}

void Leaves::add_new(PyObject* stolen) {
    data_[count_] = static_cast<char*>(PyArray_DATA(reinterpret_cast<PyArrayObject*>(stolen)));
    arrays_[count_] = stolen;
    objects_[count_++] = stolen;
}

void Leaves::add_for(PyObject* object, PyObject* stolen) {
    add_new(stolen);
    kept_.push_back(stolen);
    objects_[count_ - 1] = Py_NewRef(object);
}

void Leaves::keep(PyObject* stolen) {
    kept_.push_back(stolen);
}

ArrayEntry::ArrayEntry(py::handle description) {
    if (!PyTuple_CheckExact(description.ptr()) || PyTuple_GET_SIZE(description.ptr()) != 4) {
        throw py::type_error("plan: an array entry is not (\"array\", type number, shape, strides)");
    }
    type_number = py::cast<int>(description[py::int_(1)]);
    auto* descriptor = PyArray_DescrFromType(type_number);
    if (descriptor == nullptr) {
        throw py::error_already_set();
    }
    const npy_intp size = PyDataType_ELSIZE(descriptor);
    Py_DECREF(descriptor);
    for (py::handle length : description[py::int_(2)]) {
        shape.push_back(py::cast<npy_intp>(length));
    }
    rank = static_cast<int>(shape.size());
    const py::object steps = description[py::int_(3)];
    contiguous = steps.is_none();
    std::vector<npy_intp> bytes(rank);
    npy_intp step = size;
    for (int d = rank - 1; d >= 0; --d) {
        bytes[d] = contiguous ? step : py::cast<npy_intp>(steps[py::int_(d)]);
        step *= std::max<npy_intp>(shape[d], 1);
    }
    if (!contiguous && static_cast<int>(py::len(steps)) != rank) {
        throw py::value_error("plan: shape and strides differ in length");
    }
    const bool empty = std::count(shape.begin(), shape.end(), 0) > 0;
    high = empty ? 0 : size;
    for (int d = 0; !empty && d < rank; ++d) {
        if (shape[d] > 1) {
            strides.emplace_back(d, bytes[d]);
            (bytes[d] < 0 ? low : high) += bytes[d] * (shape[d] - 1);
        }
    }
    scalar_type = py::reinterpret_steal<py::object>(PyArray_TypeObjectFromType(type_number));
}

bool ArrayEntry::matches(PyObject* object) const {
    auto* array = reinterpret_cast<PyArrayObject*>(object);
    const PyArray_Descr* descriptor = PyArray_DESCR(array);
    const int needed =
        NPY_ARRAY_ALIGNED | (contiguous ? NPY_ARRAY_C_CONTIGUOUS : 0) | (written ? NPY_ARRAY_WRITEABLE : 0);
    if (descriptor->type_num != type_number || PyArray_NDIM(array) != rank ||
        (PyArray_FLAGS(array) & needed) != needed || !PyArray_ISNBO(descriptor->byteorder) ||
        !std::equal(shape.begin(), shape.end(), PyArray_DIMS(array))) {
        return false;
    }
    if (!contiguous) {
        for (const auto& [dimension, bytes] : strides) {
            if (PyArray_STRIDES(array)[dimension] != bytes) {
                return false;
            }
        }
    }
    return true;
}

bool Guard::holds_contents() const {
    auto* array = reinterpret_cast<PyArrayObject*>(holder.ptr());
    bool same = PyArray_NDIM(array) == PyTuple_GET_SIZE(name.ptr()) &&
                PyArray_NBYTES(array) == PyBytes_GET_SIZE(expected.ptr());
    for (int d = 0; same && d < PyArray_NDIM(array); ++d) {
        same = PyLong_AsSsize_t(PyTuple_GET_ITEM(name.ptr(), d)) == PyArray_DIM(array, d);
    }
    if (!same || PyArray_IS_C_CONTIGUOUS(array)) {
        return same && std::memcmp(PyArray_DATA(array), PyBytes_AS_STRING(expected.ptr()), PyArray_NBYTES(array)) == 0;
    }
    const auto bytes = py::reinterpret_steal<py::object>(PyArray_ToString(array, NPY_CORDER));
    if (!bytes) {
        PyErr_Clear();
        return false;
    }
    return std::memcmp(PyBytes_AS_STRING(bytes.ptr()), PyBytes_AS_STRING(expected.ptr()), PyArray_NBYTES(array)) == 0;
}

bool Guard::holds() const {
    PyObject* found = nullptr;
    switch (kind) {
        case Kind::Cell:
            found = Py_XNewRef(PyCell_GET(holder.ptr()));
            break;
        case Kind::Dict:
        case Kind::Absent:
            found = Py_XNewRef(PyDict_GetItemWithError(holder.ptr(), name.ptr()));
            break;
        case Kind::Attribute:
            found = PyObject_GetAttr(holder.ptr(), name.ptr());
            break;
        case Kind::Items:
            found = PySequence_Tuple(holder.ptr());
            break;
        case Kind::Contents:
            return holds_contents();
    }
    if (found == nullptr) {
        const bool failed = PyErr_Occurred() != nullptr;
        PyErr_Clear();
        return kind == Kind::Absent && !failed;
    }
    const bool same =
        kind != Kind::Absent && (by_value ? strictly_equal(found, expected.ptr()) : found == expected.ptr());
    Py_DECREF(found);
    return same;
}

void Entry::visit_objects(const std::function<void(py::object&)>& visit) {
    visit(object);
    std::for_each(keys.begin(), keys.end(), visit);
    for (Entry& child : children) {
        child.visit_objects(visit);
    }
}

void Result::visit_objects(const std::function<void(py::object&)>& visit) {
    visit(object);
    std::for_each(keys.begin(), keys.end(), visit);
    for (Result& child : children) {
        child.visit_objects(visit);
    }
}

PyObject* Result::build(PyObject* const* outputs, const Leaves& leaves) const {
    const Py_ssize_t count = static_cast<Py_ssize_t>(children.size());
    switch (kind) {
        case Kind::Leaf: {
            PyObject* output = Py_NewRef(outputs[index]);
            return as_scalar ? PyArray_Return(reinterpret_cast<PyArrayObject*>(output)) : output;
        }
        case Kind::Argument:
            return Py_NewRef(leaves.object(index));
        case Kind::Constant:
            return Py_NewRef(object.ptr());
        case Kind::Tuple:
        case Kind::List:
        case Kind::Call:
            break;
        case Kind::Dict: {
            py::object dict = py::reinterpret_steal<py::object>(PyDict_New());
            for (Py_ssize_t i = 0; dict && i < count; ++i) {
                py::object item = py::reinterpret_steal<py::object>(children[i].build(outputs, leaves));
                if (!item || PyDict_SetItem(dict.ptr(), keys[i].ptr(), item.ptr()) < 0) {
                    return nullptr;
                }
            }
            return dict.release().ptr();
        }
    }
    py::object sequence =
        py::reinterpret_steal<py::object>(kind == Kind::List ? PyList_New(count) : PyTuple_New(count));
    for (Py_ssize_t i = 0; sequence && i < count; ++i) {
        PyObject* item = children[i].build(outputs, leaves);
        if (item == nullptr) {
            return nullptr;
        }
        if (kind == Kind::List) {
            PyList_SET_ITEM(sequence.ptr(), i, item);
        } else {
            PyTuple_SET_ITEM(sequence.ptr(), i, item);
        }
    }
    if (kind == Kind::Call && sequence) {
        return PyObject_CallObject(object.ptr(), sequence.ptr());
    }
    return sequence.release().ptr();
}

// --- arguments that become arrays

bool Plan::matches_cast(const Entry& entry, PyObject* value, Leaves& leaves) const {
    if (!PyArray_CheckExact(value) || !sources_[entry.source].matches(value)) {
        return false;
    }
    PyArray_Descr* descriptor = PyArray_DescrFromType(entries_[entry.leaf].type_number);
    PyObject* made = PyArray_CastToType(reinterpret_cast<PyArrayObject*>(value), descriptor, 0);
    if (made == nullptr) {
        PyErr_Clear();
        return false;
    }
    leaves.add_new(made);
    return true;
}

bool Plan::matches_read(const Entry& entry, PyObject* value, Leaves& leaves) const {
    py::object array = py::reinterpret_steal<py::object>(PyObject_CallOneArg(entry.object.ptr(), value));
    if (!array || !PyArray_CheckExact(array.ptr()) || !entries_[entry.leaf].matches(array.ptr())) {
        PyErr_Clear();
        return false;
    }
    leaves.add_for(value, array.release().ptr());
    return true;
}

// --- nests of arguments

bool Plan::matches_tuple(const Entry& entry, PyObject* value, Leaves& leaves) const {
    const Py_ssize_t count = static_cast<Py_ssize_t>(entry.children.size());
    bool same = reinterpret_cast<PyObject*>(Py_TYPE(value)) == entry.object.ptr() && PyTuple_GET_SIZE(value) == count;
    for (Py_ssize_t i = 0; same && i < count; ++i) {
        same = matches_entry(entry.children[i], PyTuple_GET_ITEM(value, i), leaves);
    }
    return same;
}

// The items of lists and dicts are kept: a property read for an entry within may run code that changes its container.
bool Plan::matches_list(const Entry& entry, PyObject* value, Leaves& leaves) const {
    const Py_ssize_t count = static_cast<Py_ssize_t>(entry.children.size());
    bool same = PyList_CheckExact(value) && PyList_GET_SIZE(value) == count;
    for (Py_ssize_t i = 0; same && i < count; ++i) {
        PyObject* item = Py_NewRef(PyList_GET_ITEM(value, i));
        leaves.keep(item);
        same = matches_entry(entry.children[i], item, leaves) && PyList_GET_SIZE(value) == count;
    }
    return same;
}

bool Plan::matches_dict(const Entry& entry, PyObject* value, Leaves& leaves) const {
    const Py_ssize_t count = static_cast<Py_ssize_t>(entry.children.size());
    bool same = PyDict_CheckExact(value) && PyDict_GET_SIZE(value) == count;
    PyObject *key, *item;
    Py_ssize_t place = 0;
    for (Py_ssize_t i = 0; same && i < count; ++i) {
        same = PyDict_Next(value, &place, &key, &item) && strictly_equal(entry.keys[i].ptr(), key);
        if (same) {
            leaves.keep(Py_NewRef(item));
            same = matches_entry(entry.children[i], item, leaves);
        }
    }
    return same;
}

bool Plan::matches_attributes(const Entry& entry, PyObject* value, Leaves& leaves) const {
    bool same = reinterpret_cast<PyObject*>(Py_TYPE(value)) == entry.object.ptr();
    for (size_t i = 0; same && i < entry.children.size(); ++i) {
        PyObject* item = PyObject_GetAttr(value, entry.keys[i].ptr());
        if (item == nullptr) {
            PyErr_Clear();
            return false;
        }
        leaves.keep(item);
        same = matches_entry(entry.children[i], item, leaves);
    }
    return same;
}

}  // namespace tracer

// The states of NumPy's generators, read and written where they lie.
#include <cstring>

#include "draws.hpp"

namespace tracer {
namespace {

// As NumPy's module of the same name lays it out; who makes a GeneratorState tries whether that holds.
struct NumpyPcg64 {
    uint64_t* numbers;  // state and increment, the lower half first
    int has_half;
    uint32_t half;
};
struct NumpyTwister {
    uint32_t key[Twister::SIZE];
    int place;
};

}  // namespace

bool state_kind(const std::string& generator, StateKind& kind) {
    constexpr std::pair<const char*, StateKind> NAMES[] = {{"pcg64", StateKind::Pcg64},
                                                           {"twister", StateKind::Twister},
                                                           {"legacy", StateKind::LegacyTwister},
                                                           {"words32", StateKind::Words32}};
    for (const auto& [name, known] : NAMES) {
        if (generator == name) {
            kind = known;
            return true;
        }
    }
    return false;
}

GeneratorState::GeneratorState(const std::string& kind, uintptr_t address, py::object generator, py::object store,
                               py::dict running)
    : memory_(reinterpret_cast<char*>(address)),
      generator_(std::move(generator)),
      store_(std::move(store)),
      running_(std::move(running)) {
    if (!state_kind(kind, kind_) || (kind_ != StateKind::Pcg64 && kind_ != StateKind::Twister) || address == 0) {
        throw py::value_error("the states of these generators cannot be reached");
    }
}

py::object GeneratorState::read() const {
    py::array_t<uint64_t> words(Bits::bytes(kind_) / 8);
    uint64_t* to = words.mutable_data();
    if (kind_ == StateKind::Pcg64) {
        const auto* from = reinterpret_cast<const NumpyPcg64*>(memory_);
        std::memcpy(to, from->numbers, 4 * sizeof *to);
        to[4] = from->has_half != 0 ? 1 : 0;
        to[5] = from->half;
    } else {
        const auto* from = reinterpret_cast<const NumpyTwister*>(memory_);
        std::memcpy(to, from->key, sizeof from->key);
        to[Twister::SIZE / 2] = static_cast<uint64_t>(from->place);
    }
    return std::move(words);
}

void GeneratorState::write(py::handle array) const {
    PyObject* traces = PyDict_GetItemString(running_.ptr(), "traces");
    if (traces == nullptr || PyObject_IsTrue(traces) != 0) {
        PyErr_Clear();
        store_(array);
        return;
    }
    const auto words = py::array_t<uint64_t, py::array::c_style>::ensure(array);
    if (!words || words.size() != Bits::bytes(kind_) / 8) {
        throw py::value_error("not a state of this generator");
    }
    const uint64_t* from = words.data();
    if (kind_ == StateKind::Pcg64) {
        auto* to = reinterpret_cast<NumpyPcg64*>(memory_);
        std::memcpy(to->numbers, from, 4 * sizeof *from);
        to->has_half = static_cast<int>(from[4]);
        to->half = static_cast<uint32_t>(from[5]);
    } else {
        auto* to = reinterpret_cast<NumpyTwister*>(memory_);
        std::memcpy(to->key, from, sizeof to->key);
        to->place = static_cast<int>(from[Twister::SIZE / 2]);
    }
}

const GeneratorState* generator_state(py::handle object) {
    static PyTypeObject* const type = reinterpret_cast<PyTypeObject*>(py::type::of<GeneratorState>().ptr());
    return Py_TYPE(object.ptr()) == type ? py::cast<const GeneratorState*>(object) : nullptr;
}

void bind_draws(py::module_& m) {
    py::class_<GeneratorState>(m, "GeneratorState", "The memory that one of NumPy's generators keeps its state in.")
        .def(py::init<const std::string&, uintptr_t, py::object, py::object, py::dict>(), py::arg("kind"),
             py::arg("address"), py::arg("generator"), py::arg("store"), py::arg("running"))
        .def("read", &GeneratorState::read, "The state as an array of words.")
        .def("write", &GeneratorState::write, py::arg("words"), "Give the generator a state.");
}

}  // namespace tracer

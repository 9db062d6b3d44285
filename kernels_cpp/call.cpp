// Call: a Python function of arrays, for operations that have no kernel, or one for simple cases only.
#include "draws.hpp"
#include "fourier.hpp"
#include "matrix_kernels.hpp"
#include "native_call.hpp"
#include "program.hpp"
#include "sorting.hpp"

namespace tracer {
namespace {

class Call final : public Instruction {
  public:
    Call(py::handle description, BufferTable& table) : function_(description.attr("function")) {
        if (PyCallable_Check(function_.ptr()) == 0) {
            malformed("the function cannot be called");
        }
        inputs_ = read_operands(description.attr("inputs"), table, Access::Read);
        outputs_ = read_operands(description.attr("outputs"), table, Access::Write);
        kernel_ = py::cast<std::string>(description.attr("kernel"));
        if (!kernel_.empty()) {
            native_ = is_draw(kernel_)        ? make_draws(kernel_, inputs_, outputs_, table)
                      : is_transform(kernel_) ? make_transform(kernel_, inputs_, outputs_, table)
                      : is_sorting(kernel_)   ? make_sorting(kernel_, inputs_, outputs_, table)
                                              : make_matrix_kernel(kernel_, inputs_, outputs_, table);
        }
    }

    void run(const Context& context) const override {
        if (native_ != nullptr && native_->run(context)) {
            return;
        }
        py::gil_scoped_acquire acquire;
        py::tuple arguments(inputs_.size());
        for (size_t i = 0; i < inputs_.size(); ++i) {
            arguments[i] = array_of(context, inputs_[i], false);
        }
        py::object result = function_(*arguments);
        if (outputs_.empty()) {
            return;
        }
        if (!PyTuple_Check(result.ptr())) {
            result = py::make_tuple(result);
        }
        const auto results = py::reinterpret_borrow<py::tuple>(result);
        if (results.size() != outputs_.size()) {
            malformed("a function of " + std::to_string(outputs_.size()) + " results gave " +
                      std::to_string(results.size()));
        }
        for (size_t i = 0; i < outputs_.size(); ++i) {
            copy_result(context, outputs_[i], results[i]);
        }
    }

    double cost() const override { return native_ != nullptr ? native_->cost() : 0.0; }

    std::string name() const override {
        return native_ != nullptr ? kernel_ : "call " + py::cast<std::string>(py::repr(function_));
    }

  private:
    py::object function_;
    std::vector<Operand> inputs_, outputs_;
    std::string kernel_;
    std::unique_ptr<NativeCall> native_;  // instead of the function, unless it gives up

    static std::vector<Operand> read_operands(py::handle pairs, BufferTable& table, Access access) {
        std::vector<Operand> operands;
        for (py::handle item : pairs) {
            const auto pair = py::cast<py::tuple>(item);
            if (pair.size() != 2) {
                malformed("an operand is not a pair of view and shape");
            }
            const Shape shape = read_shape(pair[1], "shape");
            const View view = table.view(pair[0], shape, access);
            operands.push_back({view, shape, numpy_dtype(table.dtype(view))});
        }
        return operands;
    }

    // A view for the function to read (whoever keeps it keeps the memory), or one for us to write.
    static py::array array_of(const Context& context, const Operand& operand, bool writeable) {
        const int64_t size = itemsize(context.buffers[operand.view.buffer].dtype);
        Shape strides;
        for (const int64_t stride : operand.view.strides) {
            strides.push_back(stride * size);
        }
        PyObject* owner = context.owners[operand.view.buffer];
        const py::object base = owner != nullptr ? py::reinterpret_borrow<py::object>(owner) : py::none();
        const bool copied = owner == nullptr && !writeable;
        py::array array(py::reinterpret_borrow<py::dtype>(operand.dtype), operand.shape, strides,
                        context.resolve(operand.view), copied ? py::handle() : py::handle(base));
        if (!writeable) {
            py::detail::array_proxy(array.ptr())->flags &= ~py::detail::npy_api::NPY_ARRAY_WRITEABLE_;
        }
        return array;
    }

    static void copy_result(const Context& context, const Operand& operand, py::handle result) {
        const py::array target = array_of(context, operand, true);
        const auto value = py::array::ensure(result);
        if (!value) {
            malformed("a function gave something that is not an array");
        }
        const auto& api = py::detail::npy_api::get();
        if (!api.PyArray_EquivTypes_(value.dtype().ptr(), operand.dtype.ptr()) ||
            !value.attr("shape").equal(target.attr("shape"))) {
            malformed("a function gave " + describe(value) + " where " + describe(target) + " was expected");
        }
        if (api.PyArray_CopyInto_(target.ptr(), value.ptr()) < 0) {
            throw py::error_already_set();
        }
    }

    static std::string describe(const py::array& array) {
        return py::cast<std::string>(py::str(array.dtype())) + py::cast<std::string>(py::str(array.attr("shape")));
    }
};

}  // namespace

std::unique_ptr<Instruction> make_call(py::handle description, BufferTable& table) {
    return std::make_unique<Call>(description, table);
}

}  // namespace tracer

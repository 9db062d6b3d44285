// What instructions with programs inside have in common: the inner program, its arena, and ways to stop it.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "program.hpp"

namespace tracer {

// A program that an instruction runs, and the views of the outer program that stand for its arguments and outputs.
class Inner {
  public:
    explicit Inner(py::handle description, const std::vector<std::pair<int64_t, int64_t>>& in_place = {})
        : program_(py::reinterpret_borrow<py::object>(description), in_place) {
        for (int64_t i = 0; i < program_.argument_count(); ++i) {
            if (program_.argument(i) == nullptr) {
                malformed("its program has no buffer for argument " + std::to_string(i));
            }
            if (program_.argument(i)->written) {
                malformed("its program writes to argument " + std::to_string(i));
            }
        }
    }

    const Program& operator*() const { return program_; }
    const Program* operator->() const { return &program_; }

    // Throws unless a view has the type and, in its last dimensions, the strides of a buffer of the inner program.
    static void match(const BufferTable& table, const View& view, const Buffer& buffer) {
        if (table.dtype(view) != buffer.dtype) {
            malformed("a view has another dtype than what it stands for in its program");
        }
        const size_t first = view.strides.size() - buffer.shape.size();
        for (size_t d = 0; d < buffer.shape.size(); ++d) {
            if (buffer.size > 0 && buffer.shape[d] != 1 && view.strides[first + d] != buffer.strides[d]) {
                malformed("a view has other strides than what it stands for in its program");
            }
        }
    }

  private:
    Program program_;
};

// Reads the view of the arena that inner programs use, and checks that it is large enough for them.
inline View read_arena(py::handle description, BufferTable& table, int64_t needed) {
    const py::object arena = description.attr("arena");
    if (arena.is_none()) {
        if (needed > 0) {
            malformed("its program needs an arena");
        }
        return View{};
    }
    const View view = table.view(arena, {needed}, Access::Write);
    if (table.dtype(view) != Dtype::U8 || (needed > 1 && view.strides[0] != 1)) {
        malformed("an arena is not made of bytes");
    }
    return view;
}

// Lets Ctrl-C stop a loop: Python's signal handlers are run now and then. Looking at the clock is cheap, the GIL is
// not.
class Interruptions {
  public:
    // `cost` is that of a step, in nanoseconds.
    explicit Interruptions(double cost)
        : every_(static_cast<int64_t>(std::clamp(50000.0 / (cost + 20.0), 1.0, 512.0))) {}

    // To be called once a step. Throws what a handler raised.
    void heed() {
        if (++steps_ < every_) {
            return;
        }
        steps_ = 0;
        const auto now = std::chrono::steady_clock::now();
        if (now - last_ < std::chrono::milliseconds(50)) {
            return;
        }
        py::gil_scoped_acquire acquire;
        if (PyErr_CheckSignals() != 0) {
            throw py::error_already_set();
        }
        last_ = std::chrono::steady_clock::now();
    }

  private:
    int64_t every_, steps_ = 0;
    std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

// Native code for the steps of an instruction: does those from `begin` up to `end`, on memory that starts at the
// addresses of `slots`. Gives the step that comes next, or its complement if there is none because of what was
// computed.
using NativeSteps = int64_t (*)(char* const* slots, int64_t begin, int64_t end);

// The place for it, empty at first.
class StepCode {
  public:
    bool there() const { return function_.load(std::memory_order_acquire) != nullptr; }

    void set(uintptr_t function, py::object owner) const {
        if (there()) {
            malformed("the steps run by native code already");
        }
        owner_ = std::move(owner);
        function_.store(reinterpret_cast<NativeSteps>(function), std::memory_order_release);
    }

    // Does at most `limit` steps, of which one takes about `cost` nanoseconds; gives the number done.
    int64_t run(const std::vector<char*>& slots, int64_t limit, double cost) const {
        const NativeSteps function = function_.load(std::memory_order_acquire);
        const auto portion = static_cast<int64_t>(std::max(1e6 / (cost + 1.0), 1.0));
        Interruptions interruptions(1e6);
        int64_t done = 0;
        while (done < limit) {
            done = function(slots.data(), done, limit - done > portion ? done + portion : limit);
            if (done < 0) {
                return ~done;
            }
            interruptions.heed();
        }
        return done;
    }

  private:
    mutable py::object owner_;
    mutable std::atomic<NativeSteps> function_{nullptr};
};

}  // namespace tracer

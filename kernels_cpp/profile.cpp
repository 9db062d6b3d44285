// Timed runs of a program, the outline of its instructions that goes with their times, and how fast memory is.
#include <algorithm>
#include <atomic>
#include <cstring>
#include <limits>
#include <utility>

#include "loop.hpp"
#include "timer.hpp"

namespace tracer {
namespace {

std::vector<const Program*> programs_of(const Instruction& instruction) {
    std::vector<const Program*> found;
    instruction.find_programs(found);
    return found;
}

// Passes over memory, a piece of it for each part: the C library's own, which are the fastest that there are.
struct Passes {
    char *from, *to;
    size_t size;
    int64_t count;
    bool copies;
    std::atomic<bool> found{false};

    static void run(void* data, int64_t part) {
        Passes& passes = *static_cast<Passes*>(data);
        char* from = passes.from + part * static_cast<int64_t>(passes.size);
        char* to = passes.to + part * static_cast<int64_t>(passes.size);
        bool found = false;
        for (int64_t i = 0; i < passes.count; ++i) {
            if (passes.copies) {
                std::memcpy(to, from, passes.size);
                std::swap(from, to);
            } else {
                found |= std::memchr(from, 1, passes.size) != nullptr;
                asm volatile("" ::: "memory");  // or the compiler would look only once
            }
        }
        if (found) {
            passes.found.store(true);
        }
    }
};

// Nanoseconds of a pass that reads `size` bytes on each of `parts` threads, and of one that copies them.
std::pair<double, double> time_memory(size_t size, int64_t parts, int64_t count) {
    using Clock = std::chrono::steady_clock;
    if (size == 0 || parts < 1 || count < 1) {
        malformed("there is nothing to time");
    }
    std::vector<char> from(size * parts, 0), to(size * parts, 0);
    const auto best_of = [&](bool copies) {
        double best = std::numeric_limits<double>::infinity();
        for (int round = 0; round < 4; ++round) {
            Passes passes{from.data(), to.data(), size, count, copies};
            const auto before = Clock::now();
            parallel_run(parts, Passes::run, &passes);
            const std::chrono::duration<double, std::nano> time = Clock::now() - before;
            best = std::min(best, time.count() / static_cast<double>(count));
        }
        return best;
    };
    const py::gil_scoped_release release;
    const double read = best_of(false);
    return {read, best_of(true)};
}

}  // namespace

py::list Program::costs(Timer& timer) const {
    py::list result;
    const std::vector<Cost> own = timer.of(this, instructions_.size());
    for (size_t i = 0; i < instructions_.size(); ++i) {
        py::list inner;
        for (const Program* program : programs_of(*instructions_[i])) {
            inner.append(program->costs(timer));
        }
        result.append(py::make_tuple(own[i].nanoseconds, own[i].runs, own[i].threads, inner));
    }
    return result;
}

py::list Program::steps() const {
    py::list result;
    for (const auto& instruction : instructions_) {
        py::list inner;
        for (const Program* program : programs_of(*instruction)) {
            inner.append(program->steps());
        }
        result.append(py::make_tuple(instruction->name(), instruction->is_native(), inner));
    }
    return result;
}

py::tuple Program::run_timed(py::handle arguments, bool deep) {
    Timer timer(deep);
    py::list outputs = run(arguments, &timer);
    return py::make_tuple(outputs, costs(timer));
}

void bind_profile(py::module_& m) {
    m.def(
        "log_stretches",
        [](bool on) {
            py::list found;
            for (const Stretch& stretch : log_stretches(on)) {
                found.append(py::make_tuple(stretch.thread, stretch.start, stretch.end));
            }
            return found;
        },
        py::arg("on"),
        "Begin to write down when which thread takes part in a loop, or end that. Gives what was written down: "
        "thread,\n"
        "and start and end in nanoseconds of the clock of time.perf_counter.");
    m.def("time_memory", &time_memory, py::arg("size"), py::arg("parts"), py::arg("passes"),
          "Nanoseconds in which each of so many threads reads and in which it copies so many bytes of its own.");
}

}  // namespace tracer

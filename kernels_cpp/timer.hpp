// What the instructions of a timed run cost, those of inner programs too.
#pragma once

#include <chrono>
#include <cstdint>
#include <unordered_map>
#include <vector>

#include "program.hpp"
#include "threads.hpp"

namespace tracer {

struct Cost {
    double nanoseconds = 0.0;
    int64_t runs = 0;
    int threads = 1;  // the most that a run of it took
};

class Timer {
  public:
    // Whether the instructions of inner programs are timed too: looking at the clock costs as much as a short one.
    explicit Timer(bool deep) : deep_(deep) {}

    bool deep() const { return deep_; }

    std::vector<Cost>& of(const Program* program, size_t instructions) {
        std::vector<Cost>& found = costs_[program];
        found.resize(instructions);
        return found;
    }

    // Runs instructions one after another, and enters what each has cost; `at` is the one that runs.
    static void run_all(const Program* program, const std::vector<std::unique_ptr<Instruction>>& instructions,
                        const Context& context, size_t& at) {
        using Clock = std::chrono::steady_clock;
        std::vector<Cost>& costs = context.timer->of(program, instructions.size());
        Context within = context;
        within.timer = context.timer->deep_ ? context.timer : nullptr;
        auto before = Clock::now();
        for (; at < instructions.size(); ++at) {
            const int outside = exchange_threads_taken(1);
            instructions[at]->run(within);
            const auto now = Clock::now();
            Cost& cost = costs[at];
            cost.nanoseconds += std::chrono::duration<double, std::nano>(now - before).count();
            cost.runs += 1;
            const int taken = exchange_threads_taken(outside);
            cost.threads = std::max(cost.threads, taken);
            before = now;
        }
    }

  private:
    bool deep_;
    std::unordered_map<const Program*, std::vector<Cost>> costs_;
};

}  // namespace tracer

// Steps of a program that treats every element of its arrays alone: all steps are done on one block of the arrays after
// another. Blocks stay in the cache, and threads share them with one meeting instead of one per step.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "program.hpp"

namespace tracer {

class FusedLoop;

class Blockwise {
  public:
    struct Move {
        int buffer;
        int64_t bytes;  // from one step to the next
    };
    using Exchange = std::pair<int, int>;  // two buffers that exchange their memory after each step

    Blockwise() = default;
    // Finds out whether the program is of this kind; `changing` are the buffers that steps change for one another.
    Blockwise(const Program& program, const std::vector<int>& changing);

    // Whether it pays for so many steps.
    bool suits(int64_t steps) const;

    // Does the steps from `begin` up to `end`; `base` is that of step 0, and stays as it is.
    void run(const Context& context, const std::vector<char*>& base, const std::vector<Move>& moves,
             const std::vector<Exchange>& exchanges, int64_t begin, int64_t end) const;

  private:
    std::vector<const FusedLoop*> loops_;  // none: the program is of another kind
    int64_t tiles_ = 0, blocks_ = 0;

    // Estimated nanoseconds of a step.
    double cost() const;
    int64_t parts(double cost) const;
};

}  // namespace tracer

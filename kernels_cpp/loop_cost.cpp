// What a fused loop is estimated to take: decides about threads, and about when native code pays.
#include <map>
#include <string>

#include "loop.hpp"
#include "loop_draft.hpp"

namespace tracer {
namespace {

// Nanoseconds per element, roughly; the type decides about half of it.
double step_cost(const char* kernel, Dtype type) {
    static const std::map<std::string, double> DEAR = {
        {"exp", 0.8},        {"exp2", 0.8},         {"expm1", 1.2},     {"log", 0.9},     {"log1p", 1.2},
        {"log2", 1.0},       {"log10", 1.0},        {"tanh", 1.2},      {"sigmoid", 1.0}, {"sin", 1.5},
        {"cos", 1.5},        {"tan", 2.5},          {"power", 4.0},     {"erf", 2.0},     {"sqrt", 0.7},
        {"divide", 0.6},     {"floor_divide", 3.0}, {"remainder", 4.0}, {"fmod", 5.0},    {"arctan2", 8.0},
        {"arcsin", 6.0},     {"arccos", 6.0},       {"arctan", 6.0},    {"sinh", 5.0},    {"cosh", 5.0},
        {"arcsinh", 8.0},    {"arccosh", 8.0},      {"arctanh", 8.0},   {"cbrt", 8.0},    {"hypot", 4.0},
        {"logaddexp", 3.0},  {"gamma", 30.0},       {"lgamma", 30.0},   {"erfc", 5.0},    {"reciprocal", 0.6},
        {"logaddexp2", 5.0},
    };
    const auto found = DEAR.find(kernel);
    const double scale = 0.25 + static_cast<double>(itemsize(type)) / 8.0 * 0.75;
    return (found != DEAR.end() ? found->second : 0.15) * scale;
}

}  // namespace

void estimate_cost(const LoopDraft& draft, const std::vector<bool>& needed, size_t row_axis, LoopPlan& plan) {
    double element = 0.0, native = 0.0;
    for (const auto* group : {&draft.loads, &draft.stores, &draft.targets}) {
        for (const DraftOperand& operand : *group) {
            element += 0.02 * static_cast<double>(operand.size) + (draft.is_contiguous(operand, row_axis) ? 0.0 : 0.5);
            native += 0.008 * static_cast<double>(operand.size);
        }
    }
    for (size_t t = 0; t < draft.steps.size(); ++t) {
        if (needed[draft.first_step() + t]) {
            const double step = step_cost(draft.steps[t].kernel->name, draft.steps[t].kernel->in);
            element += step;
            native += 0.2 * step;
        }
    }
    double tiles = 1.0;
    for (const Level& level : plan.levels) {
        tiles *= static_cast<double>(level.count);
    }
    const double calls = static_cast<double>(plan.actions.size() + plan.gathers.size());
    const auto points = static_cast<double>(draft.size());
    plan.cost = 20.0 + points * element + tiles * (5.0 + calls * 4.0);
    plan.native_cost = 20.0 + points * native;
}

}  // namespace tracer

#include "draws.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <sstream>

#ifdef TRACER_NUMPY_VERSION
extern "C" {
#include <numpy/random/distributions.h>
}

namespace tracer {
namespace {

constexpr size_t MOST_PARAMETERS = 2;
constexpr double NANOSECONDS = 6.0;  // for one number

// What a parameter may be; for anything else the function of NumPy's runs, which knows what to say.
enum class Domain : uint8_t { Any, NotNegative, Positive, Probability, Rate, Count };

bool is_inside(Domain domain, double value) {
    constexpr double LARGEST = 1e9;
    switch (domain) {
        case Domain::Any:
            return true;
        case Domain::NotNegative:
            return value >= 0.0 && !std::signbit(value);
        case Domain::Positive:
            return value > 0.0;
        case Domain::Probability:
            return value > 0.0 && value <= 1.0;
        case Domain::Rate:
        case Domain::Count:
            return value >= 0.0 && !std::signbit(value) && value <= LARGEST;
    }
    return false;
}

enum class Form : uint8_t { Real, Integer, Doubles, Floats, Range };

struct Distribution {
    const char* name;
    Form form;
    size_t parameters = 0;
    Domain domains[MOST_PARAMETERS] = {Domain::Any, Domain::Any};
    double (*real)(Bits&, double, double) = nullptr;
    int64_t (*integer)(Bits&, double, double) = nullptr;
    void (*doubles)(bitgen_t*, npy_intp, double*) = nullptr;
    void (*floats)(bitgen_t*, npy_intp, float*) = nullptr;
    bool is_closed = false, is_masked = false;  // of a range
};

template <double (*function)(bitgen_t*, double)>
double of_one(Bits& bits, double a, double) {
    return function(bits.interface(), a);
}
template <double (*function)(bitgen_t*, double, double)>
double of_two(Bits& bits, double a, double b) {
    return function(bits.interface(), a, b);
}

template <double (*function)(bitgen_t*, double)>
constexpr Distribution one(const char* name, Domain domain) {
    return {name, Form::Real, 1, {domain, Domain::Any}, of_one<function>};
}
template <double (*function)(bitgen_t*, double, double)>
constexpr Distribution two(const char* name, Domain first, Domain second) {
    return {name, Form::Real, 2, {first, second}, of_two<function>};
}
constexpr Distribution legacy(const char* name, size_t parameters, Domain first, Domain second,
                              double (*real)(Bits&, double, double)) {
    return {name, Form::Real, parameters, {first, second}, real};
}
constexpr Distribution doubles(const char* name, void (*fill)(bitgen_t*, npy_intp, double*)) {
    return {name, Form::Doubles, 0, {Domain::Any, Domain::Any}, nullptr, nullptr, fill};
}
constexpr Distribution floats(const char* name, void (*fill)(bitgen_t*, npy_intp, float*)) {
    return {name, Form::Floats, 0, {Domain::Any, Domain::Any}, nullptr, nullptr, nullptr, fill};
}
constexpr Distribution integers(const char* name, size_t parameters, Domain first, Domain second,
                                int64_t (*integer)(Bits&, double, double)) {
    return {name, Form::Integer, parameters, {first, second}, nullptr, integer};
}
constexpr Distribution range(const char* name, size_t parameters, bool is_closed, bool is_masked) {
    return {name,    Form::Range, parameters, {Domain::Any, Domain::Any}, nullptr, nullptr, nullptr,
            nullptr, is_closed,   is_masked};
}

int64_t draw_binomial(Bits& bits, double trials, double probability) {
    thread_local binomial_t prepared{};  // depends on nothing but the parameters
    return random_binomial(bits.interface(), probability, static_cast<int64_t>(trials), &prepared);
}

double legacy_exponential(Bits& bits, double scale, double) {
    return scale * -std::log(1.0 - bits.next_double());
}

// By the names of the generator's methods; those of RandomState, which never change, begin with "legacy_".
const Distribution DISTRIBUTIONS[] = {
    doubles("random", random_standard_uniform_fill),
    floats("random_f", random_standard_uniform_fill_f),
    doubles("standard_normal", random_standard_normal_fill),
    floats("standard_normal_f", random_standard_normal_fill_f),
    doubles("standard_exponential", random_standard_exponential_fill),
    floats("standard_exponential_f", random_standard_exponential_fill_f),
    one<random_exponential>("exponential", Domain::NotNegative),
    one<random_standard_gamma>("standard_gamma", Domain::NotNegative),
    one<random_chisquare>("chisquare", Domain::Positive),
    one<random_rayleigh>("rayleigh", Domain::NotNegative),
    one<random_weibull>("weibull", Domain::NotNegative),
    one<random_pareto>("pareto", Domain::Positive),
    one<random_power>("power", Domain::Positive),
    one<random_standard_t>("standard_t", Domain::Positive),
    two<random_uniform>("uniform", Domain::Any, Domain::Any),
    two<random_normal>("normal", Domain::Any, Domain::NotNegative),
    two<random_gamma>("gamma", Domain::NotNegative, Domain::NotNegative),
    two<random_beta>("beta", Domain::Positive, Domain::Positive),
    two<random_f>("f", Domain::Positive, Domain::Positive),
    two<random_laplace>("laplace", Domain::Any, Domain::NotNegative),
    two<random_gumbel>("gumbel", Domain::Any, Domain::NotNegative),
    two<random_logistic>("logistic", Domain::Any, Domain::NotNegative),
    two<random_lognormal>("lognormal", Domain::Any, Domain::NotNegative),
    integers("poisson", 1, Domain::Rate, Domain::Any,
             [](Bits& bits, double rate, double) -> int64_t { return random_poisson(bits.interface(), rate); }),
    integers("geometric", 1, Domain::Probability, Domain::Any,
             [](Bits& bits, double p, double) -> int64_t { return random_geometric(bits.interface(), p); }),
    integers("binomial", 2, Domain::Count, Domain::Probability, draw_binomial),
    range("integers", 2, false, false),
    range("integers_closed", 2, true, false),
    range("integers_below", 1, false, false),
    range("integers_closed_below", 1, true, false),
    doubles("legacy_random", random_standard_uniform_fill),
    two<random_uniform>("legacy_uniform", Domain::Any, Domain::Any),
    two<random_laplace>("legacy_laplace", Domain::Any, Domain::NotNegative),
    two<random_gumbel>("legacy_gumbel", Domain::Any, Domain::NotNegative),
    two<random_logistic>("legacy_logistic", Domain::Any, Domain::NotNegative),
    legacy("legacy_standard_normal", 0, Domain::Any, Domain::Any,
           [](Bits& bits, double, double) { return bits.legacy_normal(); }),
    legacy("legacy_normal", 2, Domain::Any, Domain::NotNegative,
           [](Bits& bits, double mean, double scale) { return mean + scale * bits.legacy_normal(); }),
    legacy("legacy_lognormal", 2, Domain::Any, Domain::NotNegative,
           [](Bits& bits, double mean, double scale) { return std::exp(mean + scale * bits.legacy_normal()); }),
    legacy("legacy_standard_exponential", 0, Domain::Any, Domain::Any,
           [](Bits& bits, double, double) { return legacy_exponential(bits, 1.0, 0.0); }),
    legacy("legacy_exponential", 1, Domain::NotNegative, Domain::Any, legacy_exponential),
    integers("legacy_binomial", 2, Domain::Count, Domain::Probability, draw_binomial),
    range("legacy_randint", 2, false, true),
    range("legacy_randint_below", 1, false, true),
    range("legacy_random_integers", 2, true, true),
};

const Distribution* find_distribution(const std::string& name) {
    for (const Distribution& item : DISTRIBUTIONS) {
        if (name == item.name) {
            return &item;
        }
    }
    return nullptr;
}

// --- one sample --------------------------------------------------------------------------------------------------

// A parameter over the shape of the sample; strides count elements, 0 along what is repeated.
struct Parameter {
    View view;
    Dtype dtype = Dtype::F64;
    Shape strides;
    bool is_one = false;  // number for all of the sample

    const char* address(const Context& context) const { return context.resolve(view); }
    double at(const char* address, int64_t offset) const {
        switch (dtype) {
            case Dtype::F32:
                return reinterpret_cast<const float*>(address)[offset];
            case Dtype::I64:
                return static_cast<double>(reinterpret_cast<const int64_t*>(address)[offset]);
            default:
                return reinterpret_cast<const double*>(address)[offset];
        }
    }
};

// Visits the offsets of up to two parameters at every point of a shape, in C order.
class Walk {
  public:
    Walk(const Shape& shape, const std::vector<Parameter>& parameters) : shape_(shape), parameters_(parameters) {
        index_.assign(shape.size(), 0);
    }
    int64_t offsets[MOST_PARAMETERS] = {0, 0};

    void step() {
        for (size_t d = shape_.size(); d-- > 0;) {
            const bool carry = ++index_[d] == shape_[d];
            for (size_t p = 0; p < parameters_.size(); ++p) {
                offsets[p] += parameters_[p].strides[d] * (carry ? 1 - shape_[d] : 1);
            }
            if (!carry) {
                return;
            }
            index_[d] = 0;
        }
    }

  private:
    const Shape& shape_;
    const std::vector<Parameter>& parameters_;
    Shape index_;
};

class Sample {
  public:
    const Distribution* distribution = nullptr;
    std::vector<Parameter> parameters;
    View out;
    Dtype dtype = Dtype::F64;
    Shape shape;
    int64_t size = 0;

    // Whether all parameters are in the ordinary.
    bool is_ordinary(const Context& context) const {
        if (distribution->form == Form::Range) {
            int64_t low, high;
            bounds(context, low, high);
            return distribution->is_closed ? low <= high : low < high;
        }
        const bool is_uniform = distribution->real == of_two<random_uniform>;
        return for_each(context, [&](double a, double b) {
            if (is_uniform) {
                return b > a && std::isfinite(b - a);
            }
            const double values[] = {a, b};
            for (size_t p = 0; p < parameters.size(); ++p) {
                if (!is_inside(distribution->domains[p], values[p])) {
                    return false;
                }
            }
            return true;
        });
    }

    void draw(const Context& context, Bits& bits) const {
        switch (distribution->form) {
            case Form::Doubles:
                return fill(context, bits);
            case Form::Floats:
                return distribution->floats(bits.interface(), size, context.resolve_as<float>(out));
            case Form::Range: {
                int64_t low, high;
                bounds(context, low, high);
                const uint64_t width =
                    static_cast<uint64_t>(high) - static_cast<uint64_t>(low) - (distribution->is_closed ? 0U : 1U);
                return random_bounded_uint64_fill(bits.interface(), static_cast<uint64_t>(low), width, size,
                                                  distribution->is_masked, context.resolve_as<uint64_t>(out));
            }
            case Form::Integer:
                return draw_each<int64_t>(context, bits, distribution->integer);
            case Form::Real:
                return draw_each<double>(context, bits, distribution->real);
        }
    }

  private:
    // Calls a function of the parameters at every point, once if they are the same everywhere, until it gives false.
    template <typename Function>
    bool for_each(const Context& context, Function function) const {
        if (parameters.empty() || size == 0) {
            return true;
        }
        const char* const a = parameters[0].address(context);
        const char* const b = parameters.back().address(context);
        const bool same = std::all_of(parameters.begin(), parameters.end(), [](const auto& it) { return it.is_one; });
        Walk walk(shape, parameters);
        for (int64_t i = 0; i < (same ? 1 : size); ++i) {
            const int64_t second = walk.offsets[parameters.size() - 1];
            if (!function(parameters[0].at(a, walk.offsets[0]), parameters.back().at(b, second))) {
                return false;
            }
            walk.step();
        }
        return true;
    }

    void bounds(const Context& context, int64_t& low, int64_t& high) const {
        low = parameters.size() == 1 ? 0 : *context.resolve_as<int64_t>(parameters[0].view);
        high = *context.resolve_as<int64_t>(parameters.back().view);
    }

    void fill(const Context& context, Bits& bits) const {
        auto* const target = context.resolve_as<double>(out);
        Pcg64* const generator = bits.pcg();
        if (generator == nullptr || distribution->doubles != random_standard_uniform_fill) {
            return distribution->doubles(bits.interface(), size, target);
        }
        for (int64_t i = 0; i < size; ++i) {
            target[i] = generator->next_double();
        }
    }

    template <typename Number, typename Function>
    void draw_each(const Context& context, Bits& bits, Function function) const {
        switch (dtype) {
            case Dtype::F64:
                return store<Number>(context.resolve_as<double>(out), context, bits, function);
            case Dtype::F32:
                return store<Number>(context.resolve_as<float>(out), context, bits, function);
            default:
                return store<Number>(context.resolve_as<int64_t>(out), context, bits, function);
        }
    }

    template <typename Number, typename Target, typename Function>
    void store(Target* target, const Context& context, Bits& bits, Function function) const {
        const bool same = std::all_of(parameters.begin(), parameters.end(), [](const auto& it) { return it.is_one; });
        const char* addresses[MOST_PARAMETERS] = {nullptr, nullptr};
        double values[MOST_PARAMETERS] = {0.0, 0.0};
        for (size_t p = 0; p < parameters.size() && size > 0; ++p) {
            addresses[p] = parameters[p].address(context);
            values[p] = parameters[p].at(addresses[p], 0);
        }
        if (same) {
            for (int64_t i = 0; i < size; ++i) {
                target[i] =
                    static_cast<Target>(function(bits, first(values[0], values[1]), second(values[0], values[1])));
            }
            return;
        }
        Walk walk(shape, parameters);
        for (int64_t i = 0; i < size; ++i) {
            for (size_t p = 0; p < parameters.size(); ++p) {
                values[p] = parameters[p].at(addresses[p], walk.offsets[p]);
            }
            target[i] = static_cast<Target>(function(bits, first(values[0], values[1]), second(values[0], values[1])));
            walk.step();
        }
    }

    // A uniform distribution takes its width in the place of its upper end.
    double first(double a, double) const { return a; }
    double second(double a, double b) const { return distribution->real == of_two<random_uniform> ? b - a : b; }
};

// --- the kernel --------------------------------------------------------------------------------------------------

class Draws final : public NativeCall {
  public:
    Draws(StateKind kind, View from, View to, std::vector<Sample> samples)
        : kind_(kind), from_(std::move(from)), to_(std::move(to)), samples_(std::move(samples)) {}

    bool run(const Context& context) const override {
        const bool ordinary = std::all_of(samples_.begin(), samples_.end(),
                                          [&](const Sample& sample) { return sample.is_ordinary(context); });
        if (!ordinary || !Bits::is_valid(kind_, context.resolve(from_))) {
            return false;
        }
        Bits bits(kind_, context.resolve(from_), context.resolve(to_));
        for (const Sample& sample : samples_) {
            sample.draw(context, bits);
        }
        bits.save();
        return true;
    }

    double cost() const override {
        double total = 50.0;
        for (const Sample& sample : samples_) {
            total += NANOSECONDS * static_cast<double>(sample.size);
        }
        return total;
    }

  private:
    StateKind kind_;
    View from_, to_;
    std::vector<Sample> samples_;
};

bool is_contiguous(const View& view, const Shape& shape) {
    int64_t expected = 1;
    for (size_t d = shape.size(); d-- > 0;) {
        if (shape[d] != 1 && view.strides[d] != expected) {
            return false;
        }
        expected *= shape[d];
    }
    return true;
}

// The last two of the digits of a version are those of a release that changes no numbers.
bool is_same_release(const std::string& one, const std::string& other) {
    const auto release = [](const std::string& text) { return text.substr(0, text.find('.', text.find('.') + 1)); };
    return release(one) == release(other);
}

// Whether the distributions that this was linked with are those of the NumPy that runs.
bool is_numpy_known() {
    static const bool known =
        is_same_release(TRACER_NUMPY_VERSION, py::cast<std::string>(py::module_::import("numpy").attr("__version__")));
    return known;
}

bool takes_dtype(const Distribution& distribution, Dtype dtype) {
    switch (distribution.form) {
        case Form::Floats:
            return dtype == Dtype::F32;
        case Form::Doubles:
            return dtype == Dtype::F64;
        case Form::Range:
            return dtype == Dtype::I64;
        case Form::Integer:
            return dtype == Dtype::I64 || dtype == Dtype::F64 || dtype == Dtype::F32;
        case Form::Real:
            return dtype == Dtype::F64 || dtype == Dtype::F32;
    }
    return false;
}

bool read_parameter(const Operand& operand, const BufferTable& table, const Shape& shape, Parameter& parameter) {
    parameter.view = operand.view;
    parameter.dtype = table.dtype(operand.view);
    if ((parameter.dtype != Dtype::F64 && parameter.dtype != Dtype::F32 && parameter.dtype != Dtype::I64) ||
        operand.shape.size() > shape.size()) {
        return false;
    }
    parameter.strides.assign(shape.size(), 0);
    const size_t missing = shape.size() - operand.shape.size();
    for (size_t d = 0; d < operand.shape.size(); ++d) {
        if (operand.shape[d] != 1 && operand.shape[d] != shape[missing + d]) {
            return false;
        }
        parameter.strides[missing + d] = operand.shape[d] == 1 ? 0 : operand.view.strides[d];
    }
    parameter.is_one = checked_size(operand.shape) == 1;
    return true;
}

bool read_sample(const std::string& text, const std::vector<Operand>& inputs, size_t& at, const Operand& out,
                 const BufferTable& table, bool legacy, Sample& sample) {
    const size_t slash = text.find('/');
    if (slash == std::string::npos) {
        malformed("Call: a draw has no list of inputs");
    }
    sample.distribution = find_distribution((legacy ? "legacy_" : "") + text.substr(0, slash));
    sample.out = out.view;
    sample.shape = out.shape;
    sample.size = checked_size(out.shape);
    sample.dtype = table.dtype(out.view);
    bool fits = sample.distribution != nullptr && is_contiguous(out.view, out.shape) &&
                takes_dtype(*sample.distribution, sample.dtype);
    for (const char letter : text.substr(slash + 1)) {
        if (at >= inputs.size()) {
            malformed("Call: a draw has fewer inputs than its kernel says");
        }
        const Operand& input = inputs[at++];
        if (letter == 'p') {
            Parameter parameter;
            fits = fits && read_parameter(input, table, out.shape, parameter);
            sample.parameters.push_back(std::move(parameter));
        }
    }
    if (!fits || sample.parameters.size() != sample.distribution->parameters) {
        return false;
    }
    const bool is_range = sample.distribution->form == Form::Range;
    const auto suits = [&](const Parameter& it) { return !is_range || (it.is_one && it.dtype == Dtype::I64); };
    const bool counts = sample.distribution->domains[0] == Domain::Count;
    return std::all_of(sample.parameters.begin(), sample.parameters.end(), suits) &&
           (!counts || sample.parameters[0].dtype == Dtype::I64);
}

// Whether what is written is apart from all that is read, but for the state, which may stay where it is.
bool are_apart(const std::vector<Operand>& inputs, const std::vector<Operand>& outputs, const BufferTable& table) {
    for (size_t o = 0; o < outputs.size(); ++o) {
        for (size_t i = 0; i < inputs.size(); ++i) {
            const bool is_state = o == 0 && i == 0;
            if (is_state && table.same_place(inputs[i].view, outputs[o].view, inputs[i].shape)) {
                continue;
            }
            if (table.may_overlap(outputs[o].view, outputs[o].shape, inputs[i].view, inputs[i].shape)) {
                return false;
            }
        }
    }
    return true;
}

}  // namespace

std::unique_ptr<NativeCall> make_draws(const std::string& kernel, const std::vector<Operand>& inputs,
                                       const std::vector<Operand>& outputs, const BufferTable& table) {
    std::istringstream words(kernel);
    std::string word, generator;
    words >> word >> generator;
    StateKind kind;
    if (inputs.empty() || outputs.empty()) {
        malformed("Call: a draw has no state");
    }
    // A stack of states is the function's business.
    if (!is_numpy_known() || !state_kind(generator, kind) || inputs[0].shape.size() != 1) {
        return nullptr;
    }
    const Operand &from = inputs[0], &to = outputs[0];
    const Dtype type = kind == StateKind::Words32 ? Dtype::U32 : Dtype::U64;
    if (table.dtype(from.view) != type || table.dtype(to.view) != type || from.shape != to.shape ||
        checked_size(from.shape) * itemsize(type) != Bits::bytes(kind)) {
        malformed("Call: the state of a draw is not one of its generator");
    }
    const bool legacy = kind == StateKind::LegacyTwister || kind == StateKind::Words32;
    std::vector<Sample> samples;
    size_t at = 1;
    bool fits =
        is_contiguous(from.view, from.shape) && is_contiguous(to.view, to.shape) && are_apart(inputs, outputs, table);
    while (words >> word) {
        if (samples.size() + 1 >= outputs.size()) {
            malformed("Call: a draw has fewer outputs than its kernel says");
        }
        Sample sample;
        fits = read_sample(word, inputs, at, outputs[samples.size() + 1], table, legacy, sample) && fits;
        samples.push_back(std::move(sample));
    }
    if (at != inputs.size() || samples.size() + 1 != outputs.size()) {
        malformed("Call: the operands of a draw are not those that its kernel says");
    }
    return fits ? std::make_unique<Draws>(kind, from.view, to.view, std::move(samples)) : nullptr;
}

}  // namespace tracer

#else

namespace tracer {

std::unique_ptr<NativeCall> make_draws(const std::string&, const std::vector<Operand>&, const std::vector<Operand>&,
                                       const BufferTable&) {
    return nullptr;  // NumPy was installed without its distributions
}

}  // namespace tracer

#endif

namespace tracer {

bool is_draw(const std::string& kernel) {
    return kernel.rfind("draw ", 0) == 0;
}

}  // namespace tracer

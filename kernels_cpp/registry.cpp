#include "registry.hpp"

#include <cstdlib>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tuple>

#include "kernel_tables.hpp"

namespace tracer {
namespace {

using Key = std::tuple<std::string_view, Dtype, Dtype>;
using ReduceKey = std::pair<std::string_view, Dtype>;

#define TRACER_STRING(token) #token
#define TRACER_NAME(token) TRACER_STRING(token)

// All kernels of one instruction set: what was built for it over what was built for a lesser one.
struct Isa {
    const char* name = nullptr;
    std::map<Key, KernelEntry> kernels;
    std::map<ReduceKey, ReduceEntry> reductions;
    std::map<Dtype, TriangularKernel> triangular;

    void add(const KernelTable<KernelEntry>& table) {
        for (int64_t i = 0; i < table.count; ++i) {
            const KernelEntry& entry = table.entries[i];
            kernels[Key{entry.name, entry.in, entry.out}] = entry;
        }
    }
    void add(const KernelTable<ReduceEntry>& table) {
        for (int64_t i = 0; i < table.count; ++i) {
            const ReduceEntry& entry = table.entries[i];
            reductions[ReduceKey{entry.kind, entry.in}] = entry;
        }
    }
    void add(const KernelTable<TriangularEntry>& table) {
        for (int64_t i = 0; i < table.count; ++i) {
            triangular[table.entries[i].dtype] = table.entries[i].fn;
        }
    }
};

#define TRACER_ADD_TABLES(isa_object, isa)       \
    do {                                         \
        (isa_object).add(isa::FLOAT_TABLE);      \
        (isa_object).add(isa::VECTOR_TABLE);     \
        (isa_object).add(isa::INTEGER_TABLE);    \
        (isa_object).add(isa::BOOL_TABLE);       \
        (isa_object).add(isa::COMPARE_TABLE);    \
        (isa_object).add(isa::WHERE_TABLE);      \
        (isa_object).add(isa::CAST_TABLE);       \
        (isa_object).add(isa::REDUCE_TABLE);     \
        (isa_object).add(isa::TRIANGULAR_TABLE); \
    } while (false)

std::vector<Isa> build_isas() {
    std::vector<Isa> isas(1);
    isas[0].name = TRACER_NAME(TRACER_FIRST_ISA);
    isas[0].add(TRACER_FIRST_ISA::SCALAR_TABLE);
    isas[0].add(TRACER_FIRST_ISA::SCALAR_INTEGER_TABLE);
    isas[0].add(TRACER_FIRST_ISA::COMPLEX_TABLE);
    isas[0].add(TRACER_FIRST_ISA::COMPLEX_REDUCE_TABLE);
    TRACER_ADD_TABLES(isas[0], TRACER_FIRST_ISA);
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
        isas.push_back(isas[0]);
        isas[1].name = "avx2";
        TRACER_ADD_TABLES(isas[1], avx2);
        if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
            __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")) {
            isas.push_back(isas[1]);
            isas[2].name = "avx512";
            TRACER_ADD_TABLES(isas[2], avx512);
        }
    }
#endif
    return isas;
}

const std::vector<Isa>& isas() {
    static const std::vector<Isa> built = build_isas();
    return built;
}

const Isa* isa_named(std::string_view name) {
    if (name == "baseline") {
        return &isas().front();  // also on machines whose first instruction set has a name of its own
    }
    for (const Isa& isa : isas()) {
        if (name == isa.name) {
            return &isa;
        }
    }
    return nullptr;
}

const Isa& choose_isa() {
    const char* wanted = std::getenv("TRACER_ISA");
    if (wanted == nullptr || *wanted == '\0') {
        return isas().back();
    }
    const Isa* isa = isa_named(wanted);
    if (isa == nullptr) {
        std::string known;
        for (const Isa& available : isas()) {
            known += std::string(known.empty() ? "" : ", ") + available.name;
        }
        throw std::runtime_error("TRACER_ISA is '" + std::string(wanted) + "', but this machine runs only: " + known);
    }
    return *isa;
}

const Isa& active() {
    static const Isa& chosen = choose_isa();
    return chosen;
}

const KernelEntry* find_in(const Isa& isa, const char* name, Dtype in, Dtype out) {
    const auto found = isa.kernels.find(Key{name, in, out});
    return found == isa.kernels.end() ? nullptr : &found->second;
}

ReduceKernel find_reduce_in(const Isa& isa, const char* kind, Dtype type, Dtype* accumulator_type) {
    const auto found = isa.reductions.find(ReduceKey{kind, type});
    if (found == isa.reductions.end()) {
        return nullptr;
    }
    *accumulator_type = found->second.accumulator;
    return found->second.fn;
}

}  // namespace

const KernelEntry* find_kernel(const char* name, Dtype in, Dtype out) {
    return find_in(active(), name, in, out);
}

ReduceKernel find_reduce(const char* kind, Dtype type, Dtype* accumulator_type) {
    return find_reduce_in(active(), kind, type, accumulator_type);
}

TriangularKernel find_triangular(Dtype dtype) {
    const auto found = active().triangular.find(dtype);
    return found == active().triangular.end() ? nullptr : found->second;
}

const char* active_isa() {
    return active().name;
}

std::vector<const char*> available_isas() {
    std::vector<const char*> names;
    for (const Isa& isa : isas()) {
        names.push_back(isa.name);
    }
    return names;
}

std::vector<KernelEntry> list_kernels() {
    std::vector<KernelEntry> entries;
    for (const auto& item : active().kernels) {
        entries.push_back(item.second);
    }
    return entries;
}

const KernelEntry* find_kernel_isa(const char* isa, const char* name, Dtype in, Dtype out) {
    const Isa* found = isa_named(isa);
    return found == nullptr ? nullptr : find_in(*found, name, in, out);
}

ReduceKernel find_reduce_isa(const char* isa, const char* kind, Dtype type, Dtype* accumulator_type) {
    const Isa* found = isa_named(isa);
    return found == nullptr ? nullptr : find_reduce_in(*found, kind, type, accumulator_type);
}

}  // namespace tracer

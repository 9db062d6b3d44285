#include "strided.hpp"

#include <cstring>
#include <utility>

namespace tracer {
namespace {

struct Sixteen {
    uint64_t words[2];
};

template <typename T>
T load(const char* memory) {
    T value;
    std::memcpy(&value, memory, sizeof(T));
    return value;
}

template <typename T>
void store(char* memory, T value) {
    std::memcpy(memory, &value, sizeof(T));
}

// to[i * to_step] = from[i * from_step]; the cases of a constant step are spelled out for the compiler to vectorise.
template <typename T>
void copy_row(char* to, int64_t to_step, const char* from, int64_t from_step, int64_t count) {
    constexpr int64_t SIZE = sizeof(T);
    if (to_step == SIZE && from_step == SIZE) {
        if (count * SIZE >= 32) {
            std::memcpy(to, from, count * SIZE);
            return;
        }
        for (int64_t i = 0; i < count; ++i) {
            store(to + i * SIZE, load<T>(from + i * SIZE));
        }
    } else if (to_step == SIZE && from_step == 0) {
        const T value = load<T>(from);
        for (int64_t i = 0; i < count; ++i) {
            store(to + i * SIZE, value);
        }
    } else {
        for (int64_t i = 0; i < count; ++i) {
            store(to + i * to_step, load<T>(from + i * from_step));
        }
    }
}

template <typename T, bool TO_BLOCK>
void copy_walk(const Walk& walk, int64_t rows, char* memory, char* block) {
    for_each_row(walk, rows, memory, block, [](char* a, char* b, int64_t count, int64_t a_step, int64_t b_step) {
        if (TO_BLOCK) {
            copy_row<T>(b, b_step, a, a_step, count);
        } else {
            copy_row<T>(a, a_step, b, b_step, count);
        }
    });
}

template <bool TO_BLOCK>
void copy_sized(const Walk& walk, int64_t size, int64_t rows, char* memory, char* block) {
    switch (size) {
        case 1:
            return copy_walk<uint8_t, TO_BLOCK>(walk, rows, memory, block);
        case 2:
            return copy_walk<uint16_t, TO_BLOCK>(walk, rows, memory, block);
        case 4:
            return copy_walk<uint32_t, TO_BLOCK>(walk, rows, memory, block);
        case 8:
            return copy_walk<uint64_t, TO_BLOCK>(walk, rows, memory, block);
        default:
            return copy_walk<Sixteen, TO_BLOCK>(walk, rows, memory, block);
    }
}

}  // namespace

void Walk::append(int64_t count, int64_t a, int64_t b) {
    if (count == 1) {
        return;
    }
    if (!axes.empty() && axes.back().a == a * count && axes.back().b == b * count) {
        axes.back() = {axes.back().count * count, a, b};
    } else {
        axes.push_back({count, a, b});
    }
}

void Walk::append_rows(int64_t a, int64_t b) {
    axes.push_back({1, a, b});
    rows_axis = 0;
}

void Walk::favour_long_rows(int64_t rows) {
    constexpr int64_t SHORT = 8;
    const size_t inner = axes.size() - 1;
    if (axes.size() < 2 || count(inner, rows) >= SHORT || count(inner - 1, rows) <= count(inner, rows)) {
        return;
    }
    std::swap(axes[inner], axes[inner - 1]);
    if (rows_axis == static_cast<int>(inner) - 1) {
        rows_axis = static_cast<int>(inner);
    }
}

void gather_block(const Walk& walk, int64_t size, int64_t rows, char* memory, char* block) {
    copy_sized<true>(walk, size, rows, memory, block);
}

void scatter_block(const Walk& walk, int64_t size, int64_t rows, char* memory, char* block) {
    copy_sized<false>(walk, size, rows, memory, block);
}

void splat(char* block, const void* value, int64_t size, int64_t count) {
    for (int64_t i = 0; i < count; ++i) {
        std::memcpy(block + i * size, value, size);
    }
}

}  // namespace tracer

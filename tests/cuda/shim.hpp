// Lets a C++ compiler build generated CUDA source, and plays the grid: blocks one after the other, the threads of a
// block as fibers that stop at barriers. A barrier that some threads never reach is an error.
#pragma once

#include <math.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <ucontext.h>

#include <algorithm>
#include <random>
#include <utility>
#include <vector>

#define __global__ static
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(threads)
#define __shared__ static

struct ShimDim {
    unsigned x, y, z;
};
static ShimDim threadIdx, blockIdx, blockDim, gridDim;

static inline float __int_as_float(int bits) {
    float value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}
static inline int __float_as_int(float value) {
    int bits;
    memcpy(&bits, &value, sizeof(bits));
    return bits;
}
static inline double __longlong_as_double(long long bits) {
    double value;
    memcpy(&value, &bits, sizeof(value));
    return value;
}

// Numbers of 16 bits: a sign, 5 bits of exponent, 10 bits; multiples of 2^-24 below 2^-14.
static inline unsigned short to_half(double value) {
    const unsigned sign = signbit(value) ? 0x8000u : 0, infinity = 0x7c00;
    const double size = fabs(value);
    if (!(size < 65520)) {
        return static_cast<unsigned short>(sign | infinity | (size != size ? 0x200u : 0));
    }
    int exponent = 0;
    frexp(size, &exponent);
    exponent = size == 0 ? -13 : std::max(exponent, -13);
    const unsigned units = static_cast<unsigned>(nearbyint(ldexp(size, 11 - exponent)));
    return static_cast<unsigned short>(sign | ((static_cast<unsigned>(exponent + 13) << 10) + units));
}
static inline unsigned short to_half(float value) {
    return to_half(static_cast<double>(value));
}
static inline float half_to_float(unsigned short bits) {
    const int exponent = bits >> 10 & 31, rest = bits & 1023;
    const double size = exponent == 31  ? (rest ? NAN : INFINITY)
                        : exponent != 0 ? ldexp(1024 + rest, exponent - 25)
                                        : ldexp(rest, -24);
    return static_cast<float>(bits & 0x8000 ? -size : size);
}
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    __extension__ using Wide = unsigned __int128;
    return static_cast<unsigned long long>((static_cast<Wide>(a) * b) >> 64);
}

namespace shim {

enum Wait { NONE, BLOCK, WARP };

struct Fiber {
    ucontext_t context;
    jmp_buf place;
    bool started, done;
    Wait wait;
    unsigned turn;  // of the warp's exchanges
    std::vector<char> stack;
};

static std::vector<Fiber> fibers;
static std::vector<unsigned> slots[2];  // what the threads of a warp show each other
static ucontext_t main_context;
static jmp_buf scheduler;
static size_t current;
static void (*body)(void**);
static void** arguments;

static void enter() {
    body(arguments);
    fibers[current].done = true;
    _longjmp(scheduler, 1);
}

static void pause(Wait wait) {
    Fiber& fiber = fibers[current];
    fiber.wait = wait;
    if (_setjmp(fiber.place) == 0) {
        _longjmp(scheduler, 1);
    }
}

static void resume(size_t number) {
    Fiber& fiber = fibers[number];
    current = number;
    threadIdx = {static_cast<unsigned>(number), 0, 0};
    if (_setjmp(scheduler) == 0) {
        if (fiber.started) {
            _longjmp(fiber.place, 1);
        }
        fiber.started = true;
        getcontext(&fiber.context);
        fiber.context.uc_stack.ss_sp = fiber.stack.data();
        fiber.context.uc_stack.ss_size = fiber.stack.size();
        fiber.context.uc_link = &main_context;
        makecontext(&fiber.context, enter, 0);
        setcontext(&fiber.context);
    }
}

// Lets go the threads that have all come to the same place; false if there are none though some wait.
static bool release() {
    bool released = false, all_at_block = true, all_done = true;
    for (const Fiber& fiber : fibers) {
        all_at_block &= !fiber.done && fiber.wait == BLOCK;
        all_done &= fiber.done;
    }
    for (size_t warp = 0; warp < fibers.size(); warp += 32) {
        const size_t end = std::min(fibers.size(), warp + 32);
        bool all_at_warp = true;
        for (size_t i = warp; i < end; ++i) {
            all_at_warp &= !fibers[i].done && fibers[i].wait == WARP;
        }
        for (size_t i = warp; i < end && (all_at_warp || all_at_block); ++i) {
            fibers[i].wait = NONE;
            released = true;
        }
    }
    return released || all_done;
}

static bool play_block() {
    for (Fiber& fiber : fibers) {
        fiber.started = fiber.done = false;
        fiber.wait = NONE;
        fiber.turn = 0;
    }
    while (true) {
        bool all_done = true;
        for (size_t i = 0; i < fibers.size(); ++i) {
            while (!fibers[i].done && fibers[i].wait == NONE) {
                resume(i);
            }
            all_done &= fibers[i].done;
        }
        if (all_done) {
            return true;
        }
        if (!release()) {
            return false;
        }
    }
}

// Blocks in order (0), backwards (1), or shuffled; 1 if threads wait for each other for ever.
static int play(void (*kernel)(void**), void** given, const unsigned* grid, unsigned threads, int order, bool meets) {
    body = kernel;
    arguments = given;
    gridDim = {grid[0], grid[1], grid[2]};
    blockDim = {threads, 1, 1};
    std::vector<size_t> blocks(static_cast<size_t>(grid[0]) * grid[1] * grid[2]);
    for (size_t i = 0; i < blocks.size(); ++i) {
        blocks[i] = order == 1 ? blocks.size() - 1 - i : i;
    }
    if (order > 1) {
        std::shuffle(blocks.begin(), blocks.end(), std::mt19937(static_cast<unsigned>(order)));
    }
    if (meets && fibers.size() != threads) {
        fibers.resize(threads);
        for (Fiber& fiber : fibers) {
            fiber.stack.resize(1 << 16);
        }
    }
    slots[0].resize(threads);
    slots[1].resize(threads);
    for (const size_t block : blocks) {
        blockIdx = {static_cast<unsigned>(block % grid[0]), static_cast<unsigned>(block / grid[0] % grid[1]),
                    static_cast<unsigned>(block / grid[0] / grid[1])};
        if (meets) {
            if (!play_block()) {
                return 1;
            }
        } else {
            for (unsigned thread = 0; thread < threads; ++thread) {
                threadIdx = {thread, 0, 0};
                kernel(given);
            }
        }
    }
    return 0;
}

// Shows a word to the warp; gives what all of its threads show.
static const unsigned* exchange(unsigned word) {
    const size_t me = current;
    const unsigned turn = fibers[me].turn++ % 2;
    slots[turn][me] = word;
    pause(WARP);
    return slots[turn].data() + me / 32 * 32;
}

template <class... Types, size_t... I>
static void call(void (*kernel)(Types...), void** given, std::index_sequence<I...>) {
    kernel(static_cast<Types>(given[I])...);
}

template <class... Types>
static void call(void (*kernel)(Types...), void** given) {
    call(kernel, given, std::index_sequence_for<Types...>{});
}

}  // namespace shim

static inline void __syncthreads() {
    shim::pause(shim::BLOCK);
}
static inline void __syncwarp() {
    shim::pause(shim::WARP);
}
static inline unsigned __shfl_down_sync(unsigned, unsigned word, int distance, int width) {
    const unsigned* words = shim::exchange(word);
    const int lane = static_cast<int>(threadIdx.x % 32);
    return lane % width + distance < width ? words[lane + distance] : word;
}
static inline unsigned __shfl_up_sync(unsigned, unsigned word, int distance, int width) {
    const unsigned* words = shim::exchange(word);
    const int lane = static_cast<int>(threadIdx.x % 32);
    return lane % width >= distance ? words[lane - distance] : word;
}
static inline unsigned __shfl_sync(unsigned, unsigned word, int lane) {
    return shim::exchange(word)[lane];
}
static inline unsigned __ballot_sync(unsigned, bool vote) {
    const unsigned* words = shim::exchange(vote);
    unsigned votes = 0;
    for (unsigned lane = 0; lane < 32; ++lane) {
        votes |= words[lane] << lane;
    }
    return votes;
}
static inline int __popc(unsigned word) {
    return __builtin_popcount(word);
}
template <class T>
static inline T atomicAdd(T* place, T value) {
    const T before = *place;
    *place = before + value;
    return before;
}
static inline unsigned long long atomicMin(unsigned long long* place, unsigned long long value) {
    const unsigned long long before = *place;
    *place = std::min(before, value);
    return before;
}

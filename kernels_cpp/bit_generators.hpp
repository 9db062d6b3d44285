// Bit generators on states that are arrays of words, behind the interface through which NumPy's distributions ask for
// bits. The words are those of `state_of` in tracer/ops/generators.py and of tracer/ops/draws.py.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

extern "C" {
#include <numpy/random/bitgen.h>
}

namespace tracer {

constexpr double DOUBLE_UNIT = 1.0 / 9007199254740992.0;  // 2 to the -53

// M. E. O'Neill, "PCG: a family of simple fast space-efficient statistically good algorithms for random number
// generation", 2014: 128 bits of a linear congruence, of which 64 come out xored and rotated.
struct Pcg64 {
    __extension__ using Wide = unsigned __int128;
    Wide state, increment;
    bool has_half;  // the upper half of the last 64 bits waits for its use
    uint32_t half;

    uint64_t next() {
        constexpr Wide MULTIPLIER = (Wide{2549297995355413924U} << 64) + 4865540595714422341U;
        state = state * MULTIPLIER + increment;
        const auto mixed = static_cast<uint64_t>(state >> 64) ^ static_cast<uint64_t>(state);
        const auto turn = static_cast<unsigned>(state >> 122);
        return (mixed >> turn) | (mixed << (-turn & 63));
    }
    uint32_t next_half() {
        if (has_half) {
            has_half = false;
            return half;
        }
        const uint64_t both = next();
        has_half = true;
        half = static_cast<uint32_t>(both >> 32);
        return static_cast<uint32_t>(both);
    }
    double next_double() { return static_cast<double>(next() >> 11) * DOUBLE_UNIT; }
};

// M. Matsumoto and T. Nishimura, "Mersenne twister", ACM Transactions on Modeling and Computer Simulation 8, 1998.
struct Twister {
    static constexpr int SIZE = 624, SHIFT = 397;
    uint32_t* key;
    int place;

    uint32_t next_half() {
        if (place >= SIZE) {
            refill();
        }
        uint32_t word = key[place++];
        word ^= word >> 11;
        word ^= (word << 7) & 0x9d2c5680U;
        word ^= (word << 15) & 0xefc60000U;
        return word ^ (word >> 18);
    }
    uint64_t next() {
        const uint64_t upper = next_half();
        return upper << 32 | next_half();
    }
    double next_double() {
        const uint32_t upper = next_half() >> 5, lower = next_half() >> 6;
        return (upper * 67108864.0 + lower) * DOUBLE_UNIT;
    }

  private:
    static uint32_t twisted(uint32_t upper, uint32_t lower, uint32_t far) {
        const uint32_t mixed = (upper & 0x80000000U) | (lower & 0x7fffffffU);
        return far ^ (mixed >> 1) ^ (-(mixed & 1U) & 0x9908b0dfU);
    }
    void refill() {
        for (int i = 0; i < SIZE - SHIFT; ++i) {
            key[i] = twisted(key[i], key[i + 1], key[i + SHIFT]);
        }
        for (int i = SIZE - SHIFT; i < SIZE - 1; ++i) {
            key[i] = twisted(key[i], key[i + 1], key[i + SHIFT - SIZE]);
        }
        key[SIZE - 1] = twisted(key[SIZE - 1], key[0], key[SHIFT - 1]);
        place = 0;
    }
};

// Which words a state has, and which generator they are the state of.
enum class StateKind : uint8_t {
    Pcg64,          // 6 words of 64 bits: state, increment, whether a half waits, and that half
    Twister,        // 313: the key, the place in it
    LegacyTwister,  // 315: also whether a normal number is kept, and that number
    Words32,        // 628 words of 32 bits: the same
};

// What draws: a generator that was given a state.
class Bits {
  public:
    // The state is copied to `to`, where it stays until `save`; the two may be the same.
    Bits(StateKind kind, const char* from, char* to) : kind_(kind), words_(to) {
        std::memmove(to, from, static_cast<size_t>(bytes(kind)));
        if (kind == StateKind::Pcg64) {
            load_pcg();
        } else {
            load_twister();
        }
    }
    Bits(const Bits&) = delete;
    Bits& operator=(const Bits&) = delete;

    static int64_t bytes(StateKind kind) {
        constexpr int64_t SIZES[] = {6 * 8, 313 * 8, 315 * 8, 628 * 4};
        return SIZES[static_cast<int>(kind)];
    }

    // Whether the words can be those of a state: a user may have written them.
    static bool is_valid(StateKind kind, const char* words) {
        if (kind == StateKind::Pcg64) {
            return true;
        }
        uint32_t place;
        std::memcpy(&place, words + Twister::SIZE * 4, sizeof place);
        return place <= Twister::SIZE;
    }

    bitgen_t* interface() { return &interface_; }
    Pcg64* pcg() { return kind_ == StateKind::Pcg64 ? &pcg_ : nullptr; }
    double next_double() { return interface_.next_double(interface_.state); }

    // A normal number of the legacy generator. G. Marsaglia and T. A. Bray, "A convenient method for generating normal
    // variables", SIAM Review 6, 1964: they come in pairs, of which the other one is kept.
    double legacy_normal() {
        if (has_normal_) {
            has_normal_ = false;
            return std::exchange(normal_, 0.0);
        }
        double x, y, square;
        do {
            x = 2.0 * next_double() - 1.0;
            y = 2.0 * next_double() - 1.0;
            square = x * x + y * y;
        } while (square >= 1.0 || square == 0.0);
        const double factor = std::sqrt(-2.0 * std::log(square) / square);
        has_normal_ = true;
        normal_ = factor * x;
        return factor * y;
    }

    void save() {
        if (kind_ == StateKind::Pcg64) {
            const uint64_t words[6] = {static_cast<uint64_t>(pcg_.state),
                                       static_cast<uint64_t>(pcg_.state >> 64),
                                       static_cast<uint64_t>(pcg_.increment),
                                       static_cast<uint64_t>(pcg_.increment >> 64),
                                       pcg_.has_half ? 1U : 0U,
                                       pcg_.half};
            std::memcpy(words_, words, sizeof words);
        } else if (kind_ == StateKind::Words32) {
            const uint32_t words[2] = {static_cast<uint32_t>(twister_.place), has_normal_ ? 1U : 0U};
            std::memcpy(words_ + Twister::SIZE * 4, words, sizeof words);
            std::memcpy(words_ + (Twister::SIZE + 2) * 4, &normal_, sizeof normal_);
        } else {
            const uint64_t words[2] = {static_cast<uint64_t>(twister_.place), has_normal_ ? 1U : 0U};
            const bool legacy = kind_ == StateKind::LegacyTwister;
            std::memcpy(words_ + Twister::SIZE * 4, words, legacy ? sizeof words : sizeof words[0]);
            if (legacy) {
                std::memcpy(words_ + Twister::SIZE * 4 + sizeof words, &normal_, sizeof normal_);
            }
        }
    }

  private:
    StateKind kind_;
    char* words_;
    bitgen_t interface_{};
    Pcg64 pcg_{};
    Twister twister_{};
    bool has_normal_ = false;
    double normal_ = 0.0;

    template <typename Generator>
    void answer_with(Generator* generator) {
        interface_.state = generator;
        interface_.next_uint64 = [](void* it) { return static_cast<Generator*>(it)->next(); };
        interface_.next_uint32 = [](void* it) { return static_cast<Generator*>(it)->next_half(); };
        interface_.next_double = [](void* it) { return static_cast<Generator*>(it)->next_double(); };
        interface_.next_raw = interface_.next_uint64;  // no distribution asks for it
    }

    void load_pcg() {
        uint64_t words[6];
        std::memcpy(words, words_, sizeof words);
        pcg_ = {Pcg64::Wide{words[1]} << 64 | words[0], Pcg64::Wide{words[3]} << 64 | words[2], words[4] != 0,
                static_cast<uint32_t>(words[5])};
        answer_with(&pcg_);
    }

    void load_twister() {
        const char* rest = words_ + Twister::SIZE * 4;
        twister_.key = reinterpret_cast<uint32_t*>(words_);
        if (kind_ == StateKind::Words32) {
            uint32_t words[2];
            std::memcpy(words, rest, sizeof words);
            twister_.place = static_cast<int>(words[0]);
            has_normal_ = words[1] != 0;
            std::memcpy(&normal_, rest + sizeof words, sizeof normal_);
        } else {
            uint64_t words[2] = {0, 0};
            const bool legacy = kind_ == StateKind::LegacyTwister;
            std::memcpy(words, rest, legacy ? sizeof words : sizeof words[0]);
            twister_.place = static_cast<int>(words[0]);
            has_normal_ = words[1] != 0;
            if (legacy) {
                std::memcpy(&normal_, rest + sizeof words, sizeof normal_);
            }
        }
        answer_with(&twister_);
    }
};

}  // namespace tracer

// Bits of NumPy's generators that can be computed from the state and a distance alone. Read with preamble.cuh.
//@ Pcg64 Philox
struct Bits128 {
    uint64 high, low;
};

//@ Pcg64
// M. E. O'Neill, "PCG: a family of simple fast space-efficient statistically good algorithms for random number
// generation", 2014: 128 bits of a linear congruence, of which 64 come out xored and rotated.
struct Pcg64 {
    Bits128 state, increment;

    __device__ __forceinline__ explicit Pcg64(const uint64* words)
        : state{words[1], words[0]}, increment{words[3], words[2]} {}
    static __device__ __forceinline__ Bits128 product(Bits128 a, Bits128 b) {
        return {__umul64hi(a.low, b.low) + a.high * b.low + a.low * b.high, a.low * b.low};
    }
    // As many steps at once as the two numbers stand for: the power of the multiplier, and the sum of the lower ones.
    __device__ __forceinline__ void jump(Bits128 power, Bits128 sum) {
        const Bits128 a = product(state, power), b = product(increment, sum);
        state.low = a.low + b.low;
        state.high = a.high + b.high + (state.low < a.low);
    }
    __device__ __forceinline__ uint64 word() const {
        const uint64 mixed = state.high ^ state.low;
        const uint32 turn = static_cast<uint32>(state.high >> 58);
        return (mixed >> turn) | (mixed << ((64 - turn) & 63));
    }
};

//@ Philox
// J. K. Salmon, M. A. Moraes, R. O. Dror and D. E. Shaw, "Parallel random numbers: as easy as 1, 2, 3", 2011: four
// words of 64 bits are a function, of ten rounds, of a counter of 256 bits and a key of 128.
struct Philox {
    uint64 v[4];

    // The four words so many blocks after those in the buffer, which are none ahead.
    __device__ __forceinline__ Philox(const uint64* state, uint64 ahead) {
        if (ahead == 0) {
            for (int i = 0; i < 4; ++i) v[i] = state[6 + i];
            return;
        }
        for (int i = 0; i < 4; ++i) {
            v[i] = state[i] + ahead;
            ahead = v[i] < ahead;
        }
        uint64 first = state[4], second = state[5];
        for (int round = 0; round < 10; ++round) {
            const Bits128 a{__umul64hi(0xd2e7470ee14c6c93ull, v[0]), 0xd2e7470ee14c6c93ull * v[0]};
            const Bits128 b{__umul64hi(0xca5a826395121157ull, v[2]), 0xca5a826395121157ull * v[2]};
            v[0] = b.high ^ v[1] ^ first;
            v[2] = a.high ^ v[3] ^ second;
            v[1] = b.low;
            v[3] = a.low;
            first += 0x9e3779b97f4a7c15ull;
            second += 0xbb67ae8584caa73bull;
        }
    }
};

//@ unit_float64
DEVICE float64 unit_float64(uint64 word) {
    return static_cast<float64>(word >> 11) * (1.0 / 9007199254740992.0);
}

//@ unit_float32
DEVICE float32 unit_float32(uint32 half) {
    return static_cast<float32>(half >> 8) * (1.0f / 16777216.0f);
}

//@ is_range
// Whether NumPy takes it as the width of a uniform distribution: finite, and without a sign.
DEVICE bool is_range(float64 width) {
    return width - width == 0 && (width > 0 || (width == 0 && 1 / width > 0));
}

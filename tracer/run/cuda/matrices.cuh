// Factors of small matrices, and what is computed from them, by the threads of a warp. Read with preamble.cuh.
//@ factor_matrix
// Both triangular factors of a matrix of N rows in their place, and the row that each was exchanged for, by a warp.
template <int N, class T>
DEVICE void factor_matrix(T* m, int32* pivots) {
    constexpr int LEADING = N | 1;
    const int lane = threadIdx.x % 32;
    for (int k = 0; k < N; ++k) {
        int best = k;
        T largest = ::fabs(m[k * LEADING + k]);
        for (int i = k + 1; i < N; ++i) {
            const T size = ::fabs(m[i * LEADING + k]);
            if (size > largest) {
                largest = size;
                best = i;
            }
        }
        __syncwarp();
        if (lane == 0) {
            pivots[k] = best;
        }
        for (int j = lane; j < N && best != k; j += 32) {
            const T other = m[k * LEADING + j];
            m[k * LEADING + j] = m[best * LEADING + j];
            m[best * LEADING + j] = other;
        }
        __syncwarp();
        const T pivot = m[k * LEADING + k];
        for (int i = k + 1 + lane; i < N && pivot != 0; i += 32) {
            m[i * LEADING + k] /= pivot;
        }
        __syncwarp();
        for (int j = k + 1 + lane; j < N; j += 32) {
            const T top = m[k * LEADING + j];
            for (int i = k + 1; i < N; ++i) {
                m[i * LEADING + j] -= m[i * LEADING + k] * top;
            }
        }
        __syncwarp();
    }
}

//@ cholesky_matrix
// The lower triangular factor of a matrix of N rows, of which the lower triangle is read, in its place, by a warp.
template <int N, class T>
DEVICE bool cholesky_matrix(T* m) {
    constexpr int LEADING = N | 1;
    bool good = true;
    for (int j = 0; j < N; ++j) {
        for (int i = j + static_cast<int>(threadIdx.x % 32); i < N; i += 32) {
            T rest = m[i * LEADING + j];
            for (int k = 0; k < j; ++k) {
                rest -= m[i * LEADING + k] * m[j * LEADING + k];
            }
            m[i * LEADING + j] = rest;
        }
        __syncwarp();
        const T square = m[j * LEADING + j];
        good = good && square > 0;
        const T root = ::sqrt(square);
        __syncwarp();
        for (int i = j + static_cast<int>(threadIdx.x % 32); i < N; i += 32) {
            m[i * LEADING + j] = i == j ? root : m[i * LEADING + j] / root;
        }
        __syncwarp();
    }
    return good;
}

//@ is_regular
template <int N, class T>
DEVICE bool is_regular(const T* m) {
    bool regular = true;
    for (int k = 0; k < N; ++k) {
        regular = regular && m[k * (N | 1) + k] != 0;
    }
    return regular;
}

//@ solve_triangle solve_factored
// A column of right sides becomes that of the solutions, with one triangle of a matrix of N rows or of its transpose.
template <int N, class T>
DEVICE void solve_triangle(const T* m, T (&x)[N], bool lower, bool unit, bool transposed = false) {
    const int row = transposed ? 1 : (N | 1), column = transposed ? (N | 1) : 1;
    if (lower != transposed) {
        for (int i = 0; i < N; ++i) {
            for (int j = 0; j < i; ++j) {
                x[i] -= m[i * row + j * column] * x[j];
            }
            x[i] = unit ? x[i] : x[i] / m[i * (row + column)];
        }
    } else {
        for (int i = N - 1; i >= 0; --i) {
            for (int j = i + 1; j < N; ++j) {
                x[i] -= m[i * row + j * column] * x[j];
            }
            x[i] = unit ? x[i] : x[i] / m[i * (row + column)];
        }
    }
}

//@ solve_factored
// The same with both factors.
template <int N, class T>
DEVICE void solve_factored(const T* m, const int32* pivots, T (&x)[N], bool transposed) {
    for (int n = 0; n < N && !transposed; ++n) {
        const T other = x[n];
        x[n] = x[pivots[n]];
        x[pivots[n]] = other;
    }
    solve_triangle<N>(m, x, !transposed, !transposed, transposed);
    solve_triangle<N>(m, x, transposed, transposed, transposed);
    for (int n = N - 1; n >= 0 && transposed; --n) {
        const T other = x[n];
        x[n] = x[pivots[n]];
        x[pivots[n]] = other;
    }
}

//@ determinant log_determinant
template <int N, class T>
DEVICE T determinant(const T* m, const int32* pivots) {
    T product = 1;
    for (int k = 0; k < N; ++k) {
        product *= pivots[k] != k ? -m[k * (N | 1) + k] : m[k * (N | 1) + k];
    }
    return product;
}
// As in NumPy, the sign of what is no number is 1.
template <int N, class T>
DEVICE void log_determinant(const T* m, const int32* pivots, T* sign, T* logarithm) {
    bool negative = false, singular = false;
    T sum = 0;
    for (int k = 0; k < N; ++k) {
        const T pivot = m[k * (N | 1) + k];
        negative ^= (pivot < 0) != (pivots[k] != k);
        singular |= pivot == 0;
        sum += ::log(::fabs(pivot));
    }
    *sign = singular ? T(0) : negative ? T(-1) : T(1);
    *logarithm = singular ? -infinity(T()) : sum;
}

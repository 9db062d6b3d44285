#include "threads.hpp"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <new>
#include <thread>
#include <utility>
#include <vector>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace tracer {
namespace {

// How long a worker polls for the next loop before it sleeps: loops of one program follow each other closely.
constexpr int SPINS = 2000;

inline void relax() {
#if defined(__x86_64__)
    _mm_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

thread_local bool inside_part = false;
thread_local int threads_taken = 1;

std::atomic<bool> logging{false};
std::mutex* log_mutex = new std::mutex;
std::vector<Stretch> stretches;  // guarded by log_mutex

int64_t now() {
    return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// A loop is announced by a new generation and stays open until the caller finds no part left. Workers that wake up too
// late find it closed and go back to sleep, so nobody waits for them; `active_` counts those that came in time.
class Pool {
  public:
    explicit Pool(int workers) {
        threads_.reserve(workers);
        for (int i = 0; i < workers; ++i) {
            threads_.emplace_back([this, i] { serve(i + 1); });
        }
    }

    ~Pool() {
        stopping_.store(true);
        announce();
        for (auto& thread : threads_) {
            thread.join();
        }
    }

    int workers() const { return static_cast<int>(threads_.size()); }

    void run(int64_t parts, void (*work)(void*, int64_t), void* data) {
        work_ = work;
        data_ = data;
        parts_ = parts;
        next_.store(0);
        open_.store(true);
        announce();
        take_parts(0);
        open_.store(false);
        for (int waits = 1; active_.load() > 0; ++waits) {
            relax();
            if (waits % SPINS == 0) {
                std::this_thread::yield();
            }
        }
    }

  private:
    std::vector<std::thread> threads_;
    std::mutex mutex_;
    std::condition_variable wake_;
    std::atomic<uint64_t> generation_{0};
    std::atomic<int64_t> next_{0};
    std::atomic<int> active_{0};
    std::atomic<int> sleepers_{0};
    std::atomic<bool> open_{false};
    std::atomic<bool> stopping_{false};
    void (*work_)(void*, int64_t) = nullptr;
    void* data_ = nullptr;
    int64_t parts_ = 0;

    void announce() {
        generation_.fetch_add(1);
        if (sleepers_.load() > 0) {
            std::lock_guard<std::mutex> lock(mutex_);
            wake_.notify_all();
        }
    }

    void take_parts(int thread) {
        const bool logged = logging.load(std::memory_order_relaxed);
        const int64_t start = logged ? now() : 0;
        bool any = false;
        inside_part = true;
        for (int64_t part; (part = next_.fetch_add(1)) < parts_;) {
            work_(data_, part);
            any = true;
        }
        inside_part = false;
        if (logged && any) {
            std::lock_guard<std::mutex> lock(*log_mutex);
            stretches.push_back({thread, start, now()});
        }
    }

    uint64_t await(uint64_t seen) {
        for (int i = 0; i < SPINS; ++i) {
            const uint64_t now = generation_.load();
            if (now != seen) {
                return now;
            }
            relax();
        }
        std::unique_lock<std::mutex> lock(mutex_);
        sleepers_.fetch_add(1);
        wake_.wait(lock, [&] { return generation_.load() != seen; });
        sleepers_.fetch_sub(1);
        return generation_.load();
    }

    void serve(int thread) {
        for (uint64_t seen = 0; !stopping_.load();) {
            seen = await(seen);
            active_.fetch_add(1);
            if (open_.load()) {
                take_parts(thread);
            }
            active_.fetch_sub(1);
        }
    }
};

int processors() {
    const unsigned n = std::thread::hardware_concurrency();
    return n > 0 ? static_cast<int>(n) : 1;
}

std::atomic<int> wanted_threads{0};
std::mutex* pool_mutex = new std::mutex;
Pool* pool = nullptr;

// The threads of the parent do not exist in a forked child: forget them, and let the first loop start new ones.
void after_fork_in_child() {
    pool_mutex = new std::mutex;
    pool = nullptr;
    log_mutex = new std::mutex;
    inside_part = false;
}

void stop_pool() {
    std::lock_guard<std::mutex> lock(*pool_mutex);
    delete pool;
    pool = nullptr;
}

void run_inline(int64_t parts, void (*work)(void*, int64_t), void* data) {
    for (int64_t part = 0; part < parts; ++part) {
        work(data, part);
    }
}

struct Scratch {
    char* memory = nullptr;
    std::size_t size = 0;
    ~Scratch() { std::free(memory); }
};

thread_local Scratch thread_scratch;

}  // namespace

int thread_count() {
    const int wanted = wanted_threads.load(std::memory_order_relaxed);
    if (wanted > 0) {
        return wanted;
    }
    const int found = processors();
    wanted_threads.store(found, std::memory_order_relaxed);
    return found;
}

void set_thread_count(int n) {
    wanted_threads.store(n < 1 ? processors() : n, std::memory_order_relaxed);
}

void parallel_run(int64_t parts, void (*work)(void* data, int64_t part), void* data) {
    static const bool registered = [] {
        pthread_atfork(nullptr, nullptr, after_fork_in_child);
        std::atexit(stop_pool);
        return true;
    }();
    (void)registered;
    const int workers = thread_count() - 1;
    if (parts < 2 || workers < 1 || inside_part) {
        return run_inline(parts, work, data);
    }
    std::unique_lock<std::mutex> lock(*pool_mutex, std::try_to_lock);
    if (!lock.owns_lock()) {
        return run_inline(parts, work, data);
    }
    if (pool == nullptr || pool->workers() != workers) {
        delete pool;
        pool = nullptr;
        pool = new Pool(workers);
    }
    threads_taken = std::max(threads_taken, static_cast<int>(std::min<int64_t>(parts, workers + 1)));
    pool->run(parts, work, data);
}

int exchange_threads_taken(int value) {
    return std::exchange(threads_taken, value);
}

std::vector<Stretch> log_stretches(bool on) {
    std::lock_guard<std::mutex> lock(*log_mutex);
    logging.store(on);
    return std::exchange(stretches, {});
}

char* scratch(std::size_t bytes) {
    constexpr std::size_t ALIGNMENT = 64;
    if (bytes > thread_scratch.size) {
        const std::size_t size = (bytes + 4095) / 4096 * 4096;
        std::free(thread_scratch.memory);
        thread_scratch.memory = nullptr;
        thread_scratch.size = 0;
        void* memory = nullptr;
        if (posix_memalign(&memory, ALIGNMENT, size) != 0) {
            throw std::bad_alloc();
        }
        thread_scratch.memory = static_cast<char*>(memory);
        thread_scratch.size = size;
    }
    return thread_scratch.memory;
}

}  // namespace tracer

// The thread pool of the kernels: `parts` independent pieces of work, run by the caller and the pool's workers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace tracer {

int thread_count();            // threads a parallel loop may use, the caller included; at least 1
void set_thread_count(int n);  // n < 1: one per processor available

// Runs work(data, part) for every part in [0, parts). Which thread runs which part is open, so results must not depend
// on it. Runs everything inline if the pool is busy with another caller's loop, or if called from within a part. `work`
// must not throw and must not touch Python.
void parallel_run(int64_t parts, void (*work)(void* data, int64_t part), void* data);

// The most threads that a parallel_run of the calling thread took since this was last called; it becomes `value`.
int exchange_threads_taken(int value);

// The time, in nanoseconds of the steady clock, that a thread spent on parts of one parallel_run; the caller is thread
// 0.
struct Stretch {
    int thread;
    int64_t start, end;
};
// Begins to write down stretches, or ends that; gives those since it was begun, of all callers.
std::vector<Stretch> log_stretches(bool on);

// A 64-byte aligned piece of memory owned by the calling thread, valid until its next call of scratch().
char* scratch(std::size_t bytes);

}  // namespace tracer

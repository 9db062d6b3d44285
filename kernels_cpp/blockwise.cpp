// Steps that are done block by block.
#include "blockwise.hpp"

#include <algorithm>
#include <atomic>
#include <new>
#include <numeric>
#include <utility>

#include "loop.hpp"
#include "threads.hpp"

namespace tracer {
namespace {

constexpr int64_t BLOCK_BYTES = 1 << 15;  // of all arrays together
constexpr double PARALLEL_ABOVE = 15e3;   // nanoseconds of estimated work

// What the threads of one run share.
struct Job {
    const std::vector<const FusedLoop*>& loops;
    const Context& context;
    const std::vector<char*>& base;
    const std::vector<Blockwise::Move>& moves;
    const std::vector<Blockwise::Exchange>& exchanges;
    int64_t begin, end, parts;
    std::atomic<bool> out_of_memory{false};

    void run(int64_t number) {
        const LoopPart own_part = loops[0]->part(number, parts);
        std::vector<char*> own = base;
        for (const Blockwise::Move& move : moves) {
            own[move.buffer] += begin * move.bytes;
        }
        if (begin % 2 != 0) {
            exchange(own);
        }
        const Context within{own.data(), context.buffers, context.owners};
        for (int64_t step = begin; step < end; ++step) {
            for (const FusedLoop* loop : loops) {
                loop->run_part(within, own_part);
            }
            exchange(own);
            for (const Blockwise::Move& move : moves) {
                own[move.buffer] += move.bytes;
            }
        }
    }

    void exchange(std::vector<char*>& own) const {
        for (const auto& [one, other] : exchanges) {
            std::swap(own[one], own[other]);
        }
    }
};

void run_block(void* data, int64_t part) {
    Job& job = *static_cast<Job*>(data);
    try {
        job.run(part);
    } catch (const std::bad_alloc&) {
        job.out_of_memory = true;
    }
}

}  // namespace

Blockwise::Blockwise(const Program& program, const std::vector<int>& changing) {
    std::vector<bool> changed(program.buffer_count(), false);
    for (const int buffer : changing) {
        changed[buffer] = true;
    }
    std::vector<const FusedLoop*> loops;
    std::vector<bool> counted(program.buffer_count(), false);
    int64_t bytes = 0;
    for (const auto& instruction : program.instructions()) {
        const auto* loop = dynamic_cast<const FusedLoop*>(instruction.get());
        const int64_t tiles = loop == nullptr ? 0 : loop->tiles(changed);
        if (tiles == 0 || (!loops.empty() && !loop->has_tiles_of(*loops.front()))) {
            return;
        }
        bytes += loop->bytes(counted);
        loops.push_back(loop);
        tiles_ = tiles;
    }
    // Temporaries that take turns in the arena would meet where threads are not at the same step.
    if (loops.empty() || program.arena_size() > 0) {
        return;
    }
    blocks_ = std::clamp<int64_t>((bytes + BLOCK_BYTES - 1) / BLOCK_BYTES, 1, tiles_);
    loops_ = std::move(loops);
}

double Blockwise::cost() const {
    return std::accumulate(loops_.begin(), loops_.end(), 0.0,
                           [](double sum, const FusedLoop* loop) { return sum + loop->current_cost(); });
}

int64_t Blockwise::parts(double cost) const {
    return std::min(std::max<int64_t>(blocks_, cost > PARALLEL_ABOVE ? thread_count() : 1), tiles_);
}

bool Blockwise::suits(int64_t steps) const {
    return !loops_.empty() && steps > 1 && parts(static_cast<double>(steps) * cost()) > 1;
}

void Blockwise::run(const Context& context, const std::vector<char*>& base, const std::vector<Move>& moves,
                    const std::vector<Exchange>& exchanges, int64_t begin, int64_t end) const {
    const double all = static_cast<double>(end - begin) * cost();
    Job job{loops_, context, base, moves, exchanges, begin, end, parts(all)};
    if (all > PARALLEL_ABOVE) {
        parallel_run(job.parts, run_block, &job);
    } else {
        for (int64_t part = 0; part < job.parts; ++part) {
            run_block(&job, part);
        }
    }
    if (job.out_of_memory) {
        throw std::bad_alloc();
    }
}

}  // namespace tracer

// While: a program run as long as another one says so, and further ones over the same steps, forth or back.
#include <cstring>
#include <limits>
#include <new>

#include "blas_threads.hpp"
#include "inner.hpp"

namespace tracer {
namespace {

constexpr int64_t ALIGNMENT = 64;
constexpr double GUESSED_STEPS = 1000.0;  // how many there are is not known
constexpr int64_t FIRST_CHUNK = 1 << 12, LARGEST_CHUNK = 1 << 26;

int64_t aligned(int64_t bytes) {
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

int64_t bytes_of(const Buffer& buffer) {
    return buffer.size * static_cast<int64_t>(itemsize(buffer.dtype));
}

// The records of one sweep, one a step. It grows by ever larger pieces, which stay where they are.
class Tape {
  public:
    explicit Tape(int64_t record) : record_(record) {}
    Tape(const Tape&) = delete;
    Tape& operator=(const Tape&) = delete;
    ~Tape() {
        for (char* chunk : chunks_) {
            ::operator delete(chunk, std::align_val_t{ALIGNMENT});
        }
    }

    // Makes room for the records of so many more steps.
    void extend(int64_t steps) {
        for (; steps > 0 && record_ > 0; --steps) {
            if (left_ == 0) {
                const int64_t next = chunks_.empty() ? std::max(steps, FIRST_CHUNK / record_)
                                                     : std::min(2 * size_, LARGEST_CHUNK / record_);
                size_ = left_ = std::max<int64_t>(next, 1);
                chunks_.reserve(chunks_.size() + 1);
                chunks_.push_back(static_cast<char*>(::operator new(size_ * record_, std::align_val_t{ALIGNMENT})));
                free_ = chunks_.back();
            }
            rows_.push_back(free_);
            free_ += record_;
            --left_;
        }
    }

    char* row(int64_t step) const { return rows_[step]; }

  private:
    int64_t record_, size_ = 0, left_ = 0;
    char* free_ = nullptr;
    std::vector<char*> chunks_, rows_;
};

class While final : public Instruction, public Translatable {
  public:
    While(py::handle description, BufferTable& table)
        : condition_(description.attr("condition")), description_(py::reinterpret_borrow<py::object>(description)) {
        read_sweeps(description, table);
        read_fixed(description, table);
        int64_t needed = condition_->arena_size();
        for (const auto& sweep : sweeps_) {
            needed = std::max(needed, sweep->inner->arena_size());
        }
        arena_ = read_arena(description, table, needed);
        arena_size_ = needed;
        check_condition();
        for (auto& sweep : sweeps_) {
            check_tape(*sweep);
        }
        check_apart(table);
    }

    void run(const Context& context) const override {
        if (code_.there()) {
            return run_natively(context);
        }
        OneBlasThread alone;  // a step is too short to wake other threads for
        std::vector<std::unique_ptr<Tape>> tapes;
        int64_t steps = 0;
        for (const auto& sweep : sweeps_) {
            tapes.push_back(std::make_unique<Tape>(sweep->record));
            Interruptions interruptions(sweep->inner->cost());
            if (tapes.size() == 1) {
                steps = run_first(context, *tapes[0], interruptions);
            } else {
                tapes.back()->extend(steps);
                run_again(context, *sweep, tapes, steps, interruptions);
            }
        }
    }

    // Enough to let other threads of Python go on meanwhile.
    double cost() const override {
        double sum = condition_->cost();
        for (const auto& sweep : sweeps_) {
            sum += sweep->inner->cost() + 20.0;
        }
        return GUESSED_STEPS * sum;
    }

    std::string name() const override {
        return "while of " + std::to_string(sweeps_.size()) + " sweeps" + (code_.there() ? ", native" : "");
    }

    py::tuple outline() const override {
        std::vector<FoundLoop> inside;
        find_inner_loops(inside, 1.0);
        return py::make_tuple(description_, inside.size());
    }

    void use_native(uintptr_t function, py::object owner) const override {
        if (sweeps_.size() > 1 || sweeps_[0]->record > 0) {
            malformed("native code keeps no tape");
        }
        code_.set(function, std::move(owner));
    }

    bool is_native() const override { return code_.there(); }

    void find_loops(std::vector<FoundLoop>& found, double times) const override {
        found.push_back({this, times * cost()});
        find_inner_loops(found, times);
    }

    void find_programs(std::vector<const Program*>& found) const override {
        found.push_back(&*condition_);
        for (const auto& sweep : sweeps_) {
            found.push_back(&*sweep->inner);
        }
    }

  private:
    struct Carry {
        View home, spare;
        int from, to;  // buffers of the inner program
        int64_t bytes;
    };
    struct Sweep {
        explicit Sweep(py::handle description)
            : inner(description.attr("program"), shared_carries(description)),
              backward(py::cast<bool>(description.attr("backward"))) {}

        Inner inner;
        bool backward;
        std::vector<Carry> carries;
        std::vector<int64_t> offsets;  // of what it emits, in its record
        int64_t record = 0;
        int64_t read = 0;  // how many values of earlier sweeps it is given
    };
    // What the programs of one sweep and its addresses are while it runs.
    struct Frame {
        Frame(const Inner& inner, char* arena) : base(inner->buffer_count(), nullptr), owners(base.size(), nullptr) {
            inner->place(base.data(), arena);
        }
        Context context(const Inner& inner, Timer* timer) const {
            return {base.data(), inner->buffers(), owners.data(), timer};
        }

        std::vector<char*> base;
        std::vector<PyObject*> owners;
    };

    Inner condition_;
    py::object description_;
    StepCode code_;
    std::vector<std::unique_ptr<Sweep>> sweeps_;
    std::vector<View> fixed_;
    View arena_;
    int64_t arena_size_ = 0;

    // --- reading the description ---

    // The carries of which each new value replaces the old one in its place.
    static std::vector<std::pair<int64_t, int64_t>> shared_carries(py::handle description) {
        std::vector<std::pair<int64_t, int64_t>> found;
        int64_t place = 0;
        for (py::handle item : description.attr("carries")) {
            const auto pair = py::cast<py::tuple>(item);
            if (pair.size() != 2) {
                malformed("a carry is not a pair of views");
            }
            if (pair[0].attr("buffer").equal(pair[1].attr("buffer"))) {
                found.emplace_back(place, place);
            }
            ++place;
        }
        return found;
    }

    void read_sweeps(py::handle description, BufferTable& table) {
        int64_t emitted = 0;
        for (py::handle item : description.attr("sweeps")) {
            sweeps_.push_back(std::make_unique<Sweep>(item));
            Sweep& sweep = *sweeps_.back();
            const Inner& inner = sweep.inner;
            for (py::handle pair : item.attr("carries")) {
                const auto views = py::cast<py::tuple>(pair);
                const auto place = static_cast<int64_t>(sweep.carries.size());
                if (place >= inner->argument_count() || place >= inner->output_count()) {
                    malformed("there are more carries than arguments or outputs");
                }
                const Buffer &argument = *inner->argument(place), &output = *inner->output(place);
                if (argument.dtype != output.dtype || argument.shape != output.shape || !is_contiguous(argument)) {
                    malformed("a carry's argument and output cannot exchange their memory");
                }
                sweep.carries.push_back({table.view(views[0], argument.shape, Access::Write),
                                         table.view(views[1], argument.shape, Access::Write),
                                         inner->argument_buffer(place), inner->output_buffer(place), bytes_of(output)});
                Inner::match(table, sweep.carries.back().home, argument);
                Inner::match(table, sweep.carries.back().spare, output);
            }
            sweep.read = emitted;
            for (auto o = static_cast<int64_t>(sweep.carries.size()); o < inner->output_count(); ++o) {
                sweep.offsets.push_back(sweep.record);
                sweep.record += aligned(bytes_of(*inner->output(o)));
                ++emitted;
            }
            sweep.record = sweep.offsets.empty() ? 0 : std::max(sweep.record, ALIGNMENT);
        }
        if (sweeps_.empty() || sweeps_[0]->backward) {
            malformed("the first sweep is missing, or runs backward");
        }
    }

    void read_fixed(py::handle description, BufferTable& table) {
        const auto count = static_cast<int64_t>(sweeps_[0]->carries.size());
        for (py::handle item : description.attr("fixed")) {
            const int64_t place = count + static_cast<int64_t>(fixed_.size());
            if (place >= condition_->argument_count()) {
                malformed("there are more fixed values than arguments of the condition");
            }
            fixed_.push_back(table.view(item, condition_->argument(place)->shape, Access::Read));
            Inner::match(table, fixed_.back(), *condition_->argument(place));
            for (const auto& sweep : sweeps_) {
                const int64_t own = static_cast<int64_t>(sweep->carries.size() + fixed_.size()) + sweep->read - 1;
                if (own >= sweep->inner->argument_count() ||
                    sweep->inner->argument(own)->shape != condition_->argument(place)->shape) {
                    malformed("a sweep does not take the fixed values");
                }
                Inner::match(table, fixed_.back(), *sweep->inner->argument(own));
            }
        }
    }

    void check_condition() const {
        const auto wanted = static_cast<int64_t>(sweeps_[0]->carries.size() + fixed_.size());
        if (condition_->argument_count() != wanted || condition_->output_count() != 1 ||
            condition_->output(0)->dtype != Dtype::Bool || !condition_->output(0)->shape.empty()) {
            malformed("the condition takes something else, or does not give one truth value");
        }
        for (size_t i = 0; i < sweeps_[0]->carries.size(); ++i) {
            const Buffer &own = *condition_->argument(static_cast<int64_t>(i)),
                         &other = *sweeps_[0]->inner->argument(static_cast<int64_t>(i));
            if (own.dtype != other.dtype || own.shape != other.shape || !is_contiguous(own)) {
                malformed("the condition does not take the carries");
            }
        }
    }

    // What a sweep reads of the tape must be what earlier ones emit.
    void check_tape(const Sweep& sweep) const {
        int64_t place = static_cast<int64_t>(sweep.carries.size());
        if (sweep.inner->argument_count() != place + sweep.read + static_cast<int64_t>(fixed_.size())) {
            malformed("a sweep takes another number of arguments");
        }
        for (const auto& earlier : sweeps_) {
            if (earlier.get() == &sweep) {
                break;
            }
            for (size_t e = 0; e < earlier->offsets.size(); ++e, ++place) {
                const Buffer& from = *earlier->inner->output(static_cast<int64_t>(earlier->carries.size() + e));
                const Buffer& to = *sweep.inner->argument(place);
                if (from.dtype != to.dtype || from.shape != to.shape || !is_contiguous(to)) {
                    malformed("a sweep reads something else than what was emitted");
                }
            }
        }
    }

    // What is written must not be read or written elsewhere.
    void check_apart(const BufferTable& table) const {
        std::vector<std::pair<View, Shape>> all;
        for (const auto& sweep : sweeps_) {
            for (size_t c = 0; c < sweep->carries.size(); ++c) {
                const Shape& shape = sweep->inner->output(static_cast<int64_t>(c))->shape;
                const Carry& carry = sweep->carries[c];
                all.emplace_back(carry.home, shape);
                if (carry.home.buffer != carry.spare.buffer) {
                    all.emplace_back(carry.spare, shape);
                } else if (carry.home.offset != carry.spare.offset || carry.home.strides != carry.spare.strides) {
                    malformed("a carry is in two places of one array");
                }
            }
        }
        if (arena_.buffer >= 0) {
            all.emplace_back(arena_, Shape{arena_size_});
        }
        const size_t written = all.size(), first = sweeps_[0]->carries.size();
        for (size_t i = 0; i < fixed_.size(); ++i) {
            all.emplace_back(fixed_[i], condition_->argument(static_cast<int64_t>(first + i))->shape);
        }
        for (size_t i = 0; i < written; ++i) {
            for (size_t j = i + 1; j < all.size(); ++j) {
                if (table.may_overlap(all[i].first, all[i].second, all[j].first, all[j].second)) {
                    malformed("what a step writes overlaps something else");
                }
            }
        }
    }

    // --- running ---

    char* arena_of(const Context& context) const { return arena_.buffer >= 0 ? context.resolve(arena_) : nullptr; }

    // Enters the addresses that are the same at all steps, and those of the carries at the first one.
    Frame start(const Context& context, const Sweep& sweep) const {
        Frame frame(sweep.inner, arena_of(context));
        for (const Carry& carry : sweep.carries) {
            frame.base[carry.to] = context.resolve(carry.spare);
            frame.base[carry.from] = context.resolve(carry.home);
        }
        int64_t place = static_cast<int64_t>(sweep.carries.size()) + sweep.read;
        for (const View& view : fixed_) {
            frame.base[sweep.inner->argument_buffer(place++)] = context.resolve(view);
        }
        return frame;
    }

    static void emit(const Sweep& sweep, Frame& frame, char* record) {
        for (size_t e = 0; e < sweep.offsets.size(); ++e) {
            const auto place = static_cast<int64_t>(sweep.carries.size() + e);
            frame.base[sweep.inner->output_buffer(place)] = record + sweep.offsets[e];
        }
    }

    static void swap(const Sweep& sweep, Frame& frame) {
        for (const Carry& carry : sweep.carries) {
            std::swap(frame.base[carry.from], frame.base[carry.to]);
        }
    }

    // Brings the last values home.
    static void finish(const Context& context, const Sweep& sweep, const Frame& frame) {
        for (const Carry& carry : sweep.carries) {
            char* home = context.resolve(carry.home);
            if (frame.base[carry.from] != home) {
                std::memcpy(home, frame.base[carry.from], carry.bytes);
            }
        }
    }

    void find_inner_loops(std::vector<FoundLoop>& found, double times) const {
        condition_->find_loops(found, times * GUESSED_STEPS);
        for (const auto& sweep : sweeps_) {
            sweep->inner->find_loops(found, times * GUESSED_STEPS);
        }
    }

    void run_natively(const Context& context) const {
        const Sweep& sweep = *sweeps_[0];
        std::vector<char*> slots;
        for (const Carry& carry : sweep.carries) {
            slots.push_back(context.resolve(carry.home));
        }
        for (const View& view : fixed_) {
            slots.push_back(context.resolve(view));
        }
        code_.run(slots, std::numeric_limits<int64_t>::max(), sweep.inner->cost() + condition_->cost());
    }

    int64_t run_first(const Context& context, Tape& tape, Interruptions& interruptions) const {
        const Sweep& sweep = *sweeps_[0];
        Frame frame = start(context, sweep), asked(condition_, arena_of(context));
        const auto count = static_cast<int64_t>(sweep.carries.size());
        for (size_t i = 0; i < fixed_.size(); ++i) {
            asked.base[condition_->argument_buffer(count + static_cast<int64_t>(i))] = context.resolve(fixed_[i]);
        }
        bool answer = false;
        asked.base[condition_->output_buffer(0)] = reinterpret_cast<char*>(&answer);
        const Context within = frame.context(sweep.inner, context.timer),
                      asking = asked.context(condition_, context.timer);
        for (int64_t step = 0;; ++step) {
            for (int64_t i = 0; i < count; ++i) {
                asked.base[condition_->argument_buffer(i)] = frame.base[sweep.carries[i].from];
            }
            condition_->run_inside(asking);
            if (!answer) {
                finish(context, sweep, frame);
                return step;
            }
            if (sweep.record > 0) {
                tape.extend(1);
                emit(sweep, frame, tape.row(step));
            }
            sweep.inner->run_inside(within);
            interruptions.heed();
            swap(sweep, frame);
        }
    }

    void run_again(const Context& context, const Sweep& sweep, const std::vector<std::unique_ptr<Tape>>& tapes,
                   int64_t steps, Interruptions& interruptions) const {
        Frame frame = start(context, sweep);
        const Context within = frame.context(sweep.inner, context.timer);
        for (int64_t done = 0; done < steps; ++done) {
            const int64_t step = sweep.backward ? steps - 1 - done : done;
            auto place = static_cast<int64_t>(sweep.carries.size());
            for (size_t j = 0; j + 1 < tapes.size(); ++j) {
                for (const int64_t offset : sweeps_[j]->offsets) {
                    frame.base[sweep.inner->argument_buffer(place++)] = tapes[j]->row(step) + offset;
                }
            }
            if (sweep.record > 0) {
                emit(sweep, frame, tapes.back()->row(step));
            }
            sweep.inner->run_inside(within);
            interruptions.heed();
            swap(sweep, frame);
        }
        finish(context, sweep, frame);
    }
};

}  // namespace

std::unique_ptr<Instruction> make_while(py::handle description, BufferTable& table) {
    return std::make_unique<While>(description, table);
}

}  // namespace tracer

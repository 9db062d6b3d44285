// Scan and Branch: programs inside a program, run straight on the memory of the outer one.
#include <algorithm>
#include <cstring>
#include <optional>

#include "blas_threads.hpp"
#include "blockwise.hpp"
#include "inner.hpp"
#include "timer.hpp"

namespace tracer {
namespace {

Shape stacked(int64_t steps, const Shape& shape) {
    Shape result{steps};
    result.insert(result.end(), shape.begin(), shape.end());
    return result;
}

class Scan final : public Instruction, public Translatable {
  public:
    Scan(py::handle description, BufferTable& table)
        : inner_(description.attr("program"), shared_carries(description)),
          description_(py::reinterpret_borrow<py::object>(description)) {
        steps_ = read_integer(description.attr("steps"), "steps");
        stop_ = read_integer(description.attr("stop"), "stop");
        if (steps_ < 0 || stop_ >= inner_->output_count()) {
            malformed("the number of steps or of the stop is out of range");
        }
        read_carries(description.attr("carries"));
        read_windows(description, table);
        arena_ = read_arena(description, table, inner_->arena_size());
        count_ = read_number(description.attr("count"), table, Access::Read);
        done_ = read_number(description.attr("done"), table, Access::Write);
        if (stop_ >= 0 && (inner_->output(stop_)->dtype != Dtype::Bool || !inner_->output(stop_)->shape.empty())) {
            malformed("the stop is not a truth value");
        }
        check_apart(table);
        find_blocks();
    }

    void run(const Context& context) const override {
        int64_t limit = steps_;
        if (count_.buffer >= 0) {
            limit = std::clamp<int64_t>(*context.resolve_as<int64_t>(count_), 0, steps_);
        }
        std::vector<char*> base(inner_->buffer_count(), nullptr);
        const std::vector<PyObject*> owners(base.size(), nullptr);
        inner_->place(base.data(), arena_.buffer >= 0 ? context.resolve(arena_) : nullptr);
        for (const Window& window : windows_) {
            char* start = context.resolve(window.view);
            base[window.buffer] = window.backward ? start + (limit - 1) * window.row : start;
        }
        const Context within{base.data(), inner_->buffers(), owners.data(), context.timer};
        const bool timed = context.timer != nullptr && context.timer->deep();
        const int64_t done = code_.there()                    ? run_natively(base, limit)
                             : blocks_.suits(limit) && !timed ? run_blocks(within, base, limit)
                                                              : run_steps(within, base, limit);
        finish(context, base, done);
    }

    double cost() const override { return static_cast<double>(steps_) * (inner_->cost() + 20.0); }

    std::string name() const override {
        return "scan of " + std::to_string(steps_) + " steps" + (code_.there() ? ", native" : "");
    }

    py::tuple outline() const override {
        std::vector<FoundLoop> inside;
        inner_->find_loops(inside, 1.0);
        return py::make_tuple(description_, inside.size());
    }

    void use_native(uintptr_t function, py::object owner) const override { code_.set(function, std::move(owner)); }

    bool is_native() const override { return code_.there(); }

    void find_loops(std::vector<FoundLoop>& found, double times) const override {
        found.push_back({this, times * cost()});
        inner_->find_loops(found, times * static_cast<double>(steps_));
    }

    void find_programs(std::vector<const Program*>& found) const override { found.push_back(&*inner_); }

  private:
    // One buffer of the inner program, and where it is in the outer one; `row` in bytes.
    struct Window {
        int buffer;
        View view;
        bool backward;
        int64_t row;
        bool written;
        Shape shape;  // that of the view
    };
    struct Carry {
        int64_t argument, output;
        int from, to;  // buffers of the inner program
        View home;
        int64_t bytes;
    };
    struct Kept {
        View view;
        int64_t row, bytes;
    };

    Inner inner_;
    py::object description_;
    StepCode code_;
    int64_t steps_ = 0, stop_ = -1;
    std::vector<Window> windows_;
    std::vector<Blockwise::Move> moves_;
    std::vector<Carry> carries_;
    std::vector<Kept> kept_;  // the targets with a row a step
    Blockwise blocks_;
    View arena_, count_, done_;

    static View read_number(py::handle view, BufferTable& table, Access access) {
        if (view.is_none()) {
            return View{};
        }
        const View found = table.view(view, {}, access);
        if (table.dtype(found) != Dtype::I64) {
            malformed("a number of steps is not an int64");
        }
        return found;
    }

    // Which argument a carry enters a step as, and which output it leaves it as.
    static std::pair<int64_t, int64_t> read_carry(py::handle item, int64_t arguments, int64_t outputs) {
        const Shape pair = read_integers(item, "carries");
        if (pair.size() != 2 || pair[0] < 0 || pair[0] >= arguments || pair[1] < 0 || pair[1] >= outputs) {
            malformed("a carry is not a pair of argument and output");
        }
        return {pair[0], pair[1]};
    }

    // The carries of which each new value replaces the old one in its place.
    static std::vector<std::pair<int64_t, int64_t>> shared_carries(py::handle description) {
        const auto sources = py::cast<py::tuple>(description.attr("sources"));
        const auto targets = py::cast<py::tuple>(description.attr("targets"));
        std::vector<std::pair<int64_t, int64_t>> found;
        for (py::handle item : description.attr("carries")) {
            const auto [argument, output] =
                read_carry(item, static_cast<int64_t>(sources.size()), static_cast<int64_t>(targets.size()));
            const py::object from = sources[argument].attr("view"), to = targets[output].attr("view");
            if (from.attr("buffer").equal(to.attr("buffer"))) {
                found.emplace_back(argument, output);
            }
        }
        return found;
    }

    void read_carries(py::handle pairs) {
        for (py::handle item : pairs) {
            const auto [from, to] = read_carry(item, inner_->argument_count(), inner_->output_count());
            const Buffer &argument = *inner_->argument(from), &output = *inner_->output(to);
            if (argument.dtype != output.dtype || argument.shape != output.shape || !is_contiguous(argument)) {
                malformed("a carry's argument and output cannot exchange their memory");
            }
            for (const Carry& other : carries_) {
                if (other.argument == from || other.output == to) {
                    malformed("two carries have an argument or an output in common");
                }
            }
            if (to == stop_) {
                malformed("the stop is a carry");
            }
            carries_.push_back({from, to, inner_->argument_buffer(from), inner_->output_buffer(to), View{},
                                output.size * static_cast<int64_t>(itemsize(output.dtype))});
        }
    }

    void read_windows(py::handle description, BufferTable& table) {
        int64_t i = 0;
        for (py::handle item : description.attr("sources")) {
            if (i == inner_->argument_count()) {
                malformed("there are more sources than arguments");
            }
            const auto carry =
                std::find_if(carries_.begin(), carries_.end(), [i](const Carry& c) { return c.argument == i; });
            const bool carried = carry != carries_.end();
            const Buffer& buffer = *inner_->argument(i);
            const Window& window = add_window(item, table, buffer, inner_->argument_buffer(i), carried, carried);
            if (carried) {
                carry->home = window.view;
            }
            ++i;
        }
        int64_t o = 0;
        for (py::handle item : description.attr("targets")) {
            if (o == inner_->output_count()) {
                malformed("there are more targets than outputs");
            }
            const bool carried =
                std::any_of(carries_.begin(), carries_.end(), [o](const Carry& c) { return c.output == o; });
            const bool fixed = carried || o == stop_;
            const Buffer& buffer = *inner_->output(o);
            const Window& window = add_window(item, table, buffer, inner_->output_buffer(o), true, fixed);
            if (!fixed) {
                kept_.push_back({window.view, window.row, buffer.size * static_cast<int64_t>(itemsize(buffer.dtype))});
            }
            ++o;
        }
        if (i != inner_->argument_count() || o != inner_->output_count()) {
            malformed("a source or target is missing");
        }
    }

    // `fixed`: the same memory at every step.
    const Window& add_window(py::handle item, BufferTable& table, const Buffer& buffer, int number, bool written,
                             bool fixed) {
        const View view =
            table.view(item.attr("view"), stacked(steps_, buffer.shape), written ? Access::Write : Access::Read, fixed);
        Inner::match(table, view, buffer);
        if (fixed && view.strides[0] != 0) {
            malformed("what is not kept must have one place for all steps");
        }
        const bool backward = py::cast<bool>(item.attr("backward"));
        const int64_t row = view.strides[0] * static_cast<int64_t>(itemsize(buffer.dtype));
        if (row != 0) {
            moves_.push_back({number, backward ? -row : row});
        }
        windows_.push_back({number, view, backward, row, written, stacked(steps_, buffer.shape)});
        return windows_.back();
    }

    // What is written must not be read or written elsewhere, but for rows that later steps read back.
    void check_apart(const BufferTable& table) const {
        std::vector<Window> all = windows_;
        for (const View* view : {&arena_, &done_}) {
            if (view->buffer >= 0) {
                const Shape shape = view == &arena_ ? Shape{inner_->arena_size()} : Shape{};
                all.push_back({-1, *view, false, 0, true, shape});
            }
        }
        for (size_t i = 0; i < all.size(); ++i) {
            for (size_t j = 0; j < i; ++j) {
                const bool harmless = !(all[i].written || all[j].written) || follows(all[i], all[j]) ||
                                      follows(all[j], all[i]) || is_in_place(all[i], all[j]);
                if (!harmless && table.may_overlap(all[i].view, all[i].shape, all[j].view, all[j].shape)) {
                    malformed("what a step writes overlaps something else");
                }
            }
        }
    }

    static bool follows(const Window& written, const Window& read) {
        return written.written && !read.written && written.view.buffer == read.view.buffer && !written.backward &&
               !read.backward && written.view.strides == read.view.strides && written.row > 0 &&
               written.view.offset - read.view.offset >= written.view.strides[0];
    }

    bool is_in_place(const Window& target, const Window& source) const {
        return std::any_of(carries_.begin(), carries_.end(), [&](const Carry& carry) {
            return carry.from == source.buffer && carry.to == target.buffer &&
                   target.view.buffer == source.view.buffer && target.view.offset == source.view.offset &&
                   target.view.strides == source.view.strides;
        });
    }

    // Whether steps can be done block by block: rows that are read back have to be whole rows written.
    void find_blocks() {
        std::vector<int> changing;
        for (const Window& window : windows_) {
            bool changes = window.written;
            for (const Window& other : windows_) {
                if (other.written && !window.written && other.view.buffer == window.view.buffer) {
                    const int64_t row = other.view.strides[0];
                    if (row == 0 || (other.view.offset - window.view.offset) % row != 0) {
                        return;
                    }
                    changes = true;
                }
            }
            if (changes) {
                changing.push_back(window.buffer);
            }
        }
        if (stop_ < 0) {
            blocks_ = Blockwise(*inner_, changing);
        }
    }

    int64_t run_blocks(const Context& within, std::vector<char*>& base, int64_t limit) const {
        std::vector<Blockwise::Exchange> exchanges;
        for (const Carry& carry : carries_) {
            exchanges.emplace_back(carry.from, carry.to);
        }
        const auto portion = static_cast<int64_t>(std::max(1e8 / (inner_->cost() + 1.0), 1.0));
        Interruptions interruptions(1e8);
        for (int64_t begin = 0; begin < limit; begin += portion) {
            blocks_.run(within, base, moves_, exchanges, begin, std::min(limit, begin + portion));
            interruptions.heed();
        }
        if (limit % 2 != 0) {
            for (const auto& [from, to] : exchanges) {
                std::swap(base[from], base[to]);
            }
        }
        return limit;
    }

    // Native code keeps the carries to itself while it runs, and leaves them at home.
    int64_t run_natively(const std::vector<char*>& base, int64_t limit) const {
        std::vector<char*> slots;
        for (const Window& window : windows_) {
            slots.push_back(base[window.buffer]);
        }
        return code_.run(slots, limit, inner_->cost());
    }

    int64_t run_steps(const Context& within, std::vector<char*>& base, int64_t limit) const {
        Interruptions interruptions(inner_->cost());
        std::optional<OneBlasThread> alone;  // a step is too short to wake other threads for
        if (limit > 1) {
            alone.emplace();
        }
        const char* stop = stop_ < 0 ? nullptr : base[inner_->output_buffer(stop_)];
        int64_t done = 0;
        while (done < limit) {
            inner_->run_inside(within);
            interruptions.heed();
            ++done;
            for (const Carry& carry : carries_) {
                std::swap(base[carry.from], base[carry.to]);
            }
            if (stop != nullptr && *stop != 0) {
                break;
            }
            for (const Blockwise::Move& move : moves_) {
                base[move.buffer] += move.bytes;
            }
        }
        return done;
    }

    // Brings the last values home, clears the rows that no step wrote, and says how many did.
    void finish(const Context& context, const std::vector<char*>& base, int64_t done) const {
        for (const Carry& carry : carries_) {
            char* home = context.resolve(carry.home);
            if (base[carry.from] != home) {
                std::memcpy(home, base[carry.from], carry.bytes);
            }
        }
        for (const Kept& target : kept_) {
            char* start = context.resolve(target.view);
            for (int64_t row = done; row < steps_; ++row) {
                std::memset(start + row * target.row, 0, target.bytes);
            }
        }
        if (done_.buffer >= 0) {
            *context.resolve_as<int64_t>(done_) = done;
        }
    }
};

class Branch final : public Instruction {
  public:
    Branch(py::handle description, BufferTable& table) {
        predicate_ = table.view(description.attr("predicate"), {}, Access::Read);
        if (table.dtype(predicate_) != Dtype::Bool) {
            malformed("the predicate is not a truth value");
        }
        int64_t needed = 0;
        for (py::handle program : description.attr("programs")) {
            programs_.push_back(std::make_unique<Inner>(program));
            needed = std::max(needed, (*programs_.back())->arena_size());
        }
        if (programs_.size() != 2) {
            malformed("a branch has two programs");
        }
        arena_ = read_arena(description, table, needed);
        for (const auto& program : programs_) {
            sources_.push_back(read_views(description.attr("sources"), table, *program, Access::Read));
            targets_.push_back(read_views(description.attr("targets"), table, *program, Access::Write));
            check_apart(table, *program, needed);
        }
    }

    void run(const Context& context) const override {
        const size_t taken = *context.resolve(predicate_) != 0 ? 0 : 1;
        const Inner& inner = *programs_[taken];
        std::vector<char*> base(inner->buffer_count(), nullptr);
        const std::vector<PyObject*> owners(base.size(), nullptr);
        inner->place(base.data(), arena_.buffer >= 0 ? context.resolve(arena_) : nullptr);
        for (size_t i = 0; i < sources_[taken].size(); ++i) {
            base[inner->argument_buffer(i)] = context.resolve(sources_[taken][i]);
        }
        for (size_t i = 0; i < targets_[taken].size(); ++i) {
            base[inner->output_buffer(i)] = context.resolve(targets_[taken][i]);
        }
        inner->run_inside(Context{base.data(), inner->buffers(), owners.data(), context.timer});
    }

    double cost() const override { return std::max((*programs_[0])->cost(), (*programs_[1])->cost()); }

    std::string name() const override { return "branch"; }

    void find_loops(std::vector<FoundLoop>& found, double times) const override {
        for (const auto& program : programs_) {
            (*program)->find_loops(found, times);
        }
    }

    void find_programs(std::vector<const Program*>& found) const override {
        for (const auto& program : programs_) {
            found.push_back(&**program);
        }
    }

  private:
    View predicate_, arena_;
    std::vector<std::unique_ptr<Inner>> programs_;
    std::vector<std::vector<View>> sources_, targets_;  // of each program

    // What a program of this branch writes must not be read or written elsewhere.
    void check_apart(const BufferTable& table, const Inner& inner, int64_t arena_size) const {
        std::vector<std::pair<View, Shape>> all;  // what is written comes first
        for (size_t o = 0; o < targets_.back().size(); ++o) {
            all.emplace_back(targets_.back()[o], inner->output(o)->shape);
        }
        if (arena_.buffer >= 0) {
            all.emplace_back(arena_, Shape{arena_size});
        }
        const size_t written = all.size();
        for (size_t i = 0; i < sources_.back().size(); ++i) {
            all.emplace_back(sources_.back()[i], inner->argument(i)->shape);
        }
        for (size_t i = 0; i < written; ++i) {
            for (size_t j = i + 1; j < all.size(); ++j) {
                if (table.may_overlap(all[i].first, all[i].second, all[j].first, all[j].second)) {
                    malformed("a target overlaps something else");
                }
            }
        }
    }

    static std::vector<View> read_views(py::handle views, BufferTable& table, const Inner& inner, Access access) {
        const bool read = access == Access::Read;
        const int64_t count = read ? inner->argument_count() : inner->output_count();
        std::vector<View> found;
        for (py::handle item : views) {
            const auto i = static_cast<int64_t>(found.size());
            if (i == count) {
                malformed("a branch has more views than its program has arguments or outputs");
            }
            const Buffer& buffer = read ? *inner->argument(i) : *inner->output(i);
            found.push_back(table.view(item, buffer.shape, access));
            Inner::match(table, found.back(), buffer);
        }
        if (static_cast<int64_t>(found.size()) != count) {
            malformed("a branch has fewer views than its program has arguments or outputs");
        }
        return found;
    }
};

}  // namespace

std::unique_ptr<Instruction> make_scan(py::handle description, BufferTable& table) {
    return std::make_unique<Scan>(description, table);
}

std::unique_ptr<Instruction> make_branch(py::handle description, BufferTable& table) {
    return std::make_unique<Branch>(description, table);
}

}  // namespace tracer

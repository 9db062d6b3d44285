#include "output_memory.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <map>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "threads.hpp"

#define PY_ARRAY_UNIQUE_SYMBOL tracer_ARRAY_API
#define NO_IMPORT_ARRAY
#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#define NPY_TARGET_VERSION NPY_2_0_API_VERSION
#include <numpy/arrayobject.h>

namespace py = pybind11;

namespace tracer {
namespace {

constexpr int64_t RECYCLED_BYTES = 1 << 16;        // from this size on memory is recycled
constexpr size_t MOST_KEPT = size_t{1} << 28;      // bytes that wait for their next use, at most
constexpr size_t ADVISED_BYTES = 1 << 22;          // from this size on memory is asked for in huge pages
constexpr size_t HEADER = 64;                      // before each piece: its capacity; keeps 64-byte alignment
constexpr size_t MOST_PREPARED = size_t{1} << 26;  // bytes that are prepared at once, at most
constexpr size_t LEAST_PREPARED = 1 << 18;         // bytes for which it pays to start a thread
constexpr size_t STRETCH = 1 << 17;                // bytes of which the pages are asked for at once

size_t& capacity_of(void* data) {
    return *reinterpret_cast<size_t*>(static_cast<char*>(data) - HEADER);
}

// Memory aligned for vectors, to be given back to `free`; nullptr if there is none. A large piece comes in huge pages
// where the system has them: the first write to each page costs as much as writing it several times.
void* aligned_memory(size_t bytes) {
    constexpr size_t ALIGNMENT = 64, HUGE_PAGE = size_t{1} << 21;
    void* memory = nullptr;
    if (posix_memalign(&memory, bytes < ADVISED_BYTES ? ALIGNMENT : HUGE_PAGE, bytes) != 0) {
        return nullptr;
    }
#ifdef MADV_HUGEPAGE
    if (bytes >= ADVISED_BYTES) {
        // Only pages that are needed as a whole: what is resident does not grow. It is no error if there are none.
        madvise(memory, bytes / HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE);
    }
#endif
    return memory;
}

using Stretches = std::vector<std::pair<char*, size_t>>;

// How often memory was taken; pages are asked for ahead of time until that changes.
std::atomic<uint64_t> taken{0};

// Has the system hand out the pages of memory, which may be in use by now, or free: nothing in it changes.
void ask_for_pages(const Stretches& memory, uint64_t now) {
#ifdef __linux__
    constexpr int POPULATE_WRITE = 23;  // since Linux 5.14; missing from older headers
    constexpr uintptr_t PAGE = 4096;
    for (const auto& [start, bytes] : memory) {
        const uintptr_t first = reinterpret_cast<uintptr_t>(start) / PAGE * PAGE;
        const uintptr_t last = (reinterpret_cast<uintptr_t>(start) + bytes + PAGE - 1) / PAGE * PAGE;
        for (uintptr_t at = first; at < last; at += STRETCH) {
            if (taken.load(std::memory_order_relaxed) != now ||
                madvise(reinterpret_cast<void*>(at), std::min<size_t>(STRETCH, last - at), POPULATE_WRITE) != 0) {
                return;
            }
        }
    }
#else
    (void)memory, (void)now;
#endif
}

// Freed pieces by capacity. Capacities have three significant bits, so that sizes which differ a little share pieces.
class Recycler {
  public:
    void* take(size_t bytes) {
        taken.fetch_add(1, std::memory_order_relaxed);
        const size_t capacity = rounded(bytes);
        {
            std::lock_guard<std::mutex> lock(mutex_);
            const auto found = pieces_.find(capacity);
            if (found != pieces_.end()) {
                void* data = found->second;
                pieces_.erase(found);
                kept_ -= capacity;
                return data;
            }
        }
        return new_piece(capacity);
    }

    // Adds pieces until there is one for each of these sizes, and returns where the new ones are.
    Stretches prepare(const std::vector<int64_t>& sizes) {
        std::map<size_t, size_t> wanted;
        Stretches found;
        size_t total = 0;
        std::lock_guard<std::mutex> lock(mutex_);
        for (const int64_t size : sizes) {
            const size_t bytes = static_cast<size_t>(std::max<int64_t>(size, 0)), capacity = rounded(bytes);
            // The system is quick with huge pages, or else keeps everybody waiting who asks it for memory meanwhile.
            const bool is_between = bytes >= RECYCLED_BYTES && HEADER + capacity < ADVISED_BYTES;
            if (!is_between || pieces_.count(capacity) >= ++wanted[capacity]) {
                continue;
            }
            total += capacity;
            void* data = total > MOST_PREPARED || kept_ + capacity > MOST_KEPT ? nullptr : new_piece(capacity);
            if (data == nullptr) {
                break;
            }
            pieces_.emplace(capacity, data);
            kept_ += capacity;
            found.emplace_back(static_cast<char*>(data) - HEADER, HEADER + bytes);
        }
        return found;
    }

    void give_back(void* data) {
        const size_t capacity = capacity_of(data);
        {
            std::lock_guard<std::mutex> lock(mutex_);
            if (kept_ + capacity <= MOST_KEPT) {
                pieces_.emplace(capacity, data);
                kept_ += capacity;
                return;
            }
        }
        std::free(static_cast<char*>(data) - HEADER);
    }

  private:
    std::mutex mutex_;
    std::multimap<size_t, void*> pieces_;
    size_t kept_ = 0;

    static void* new_piece(size_t capacity) {
        void* memory = aligned_memory(HEADER + capacity);
        if (memory == nullptr) {
            return nullptr;
        }
        void* data = static_cast<char*>(memory) + HEADER;
        capacity_of(data) = capacity;
        return data;
    }

    static size_t rounded(size_t bytes) {
        size_t grain = HEADER;
        while (bytes > grain * 8) {
            grain *= 2;
        }
        return (bytes + grain - 1) / grain * grain;
    }
};

// Never destroyed: arrays may be freed after everything else at exit.
Recycler& recycler() {
    static Recycler* const instance = new Recycler;
    return *instance;
}

void* handler_malloc(void*, size_t size) {
    return recycler().take(size);
}

void* handler_calloc(void*, size_t count, size_t size) {
    void* data = recycler().take(count * size);
    return data == nullptr ? nullptr : std::memset(data, 0, count * size);
}

void handler_free(void*, void* data, size_t) {
    if (data != nullptr) {
        recycler().give_back(data);
    }
}

void* handler_realloc(void* context, void* data, size_t size) {
    if (data == nullptr) {
        return handler_malloc(context, size);
    }
    const size_t capacity = capacity_of(data);
    if (size <= capacity) {
        return data;
    }
    void* larger = recycler().take(size);
    if (larger != nullptr) {
        std::memcpy(larger, data, capacity);
        recycler().give_back(data);
    }
    return larger;
}

PyDataMem_Handler handler = {"tracer", 1, {nullptr, handler_malloc, handler_calloc, handler_realloc, handler_free}};

// Allocates with this module's handler while it lives.
class WithRecycler {
  public:
    WithRecycler() {
        static PyObject* const capsule = PyCapsule_New(&handler, "mem_handler", nullptr);
        before_ = capsule == nullptr ? nullptr : PyDataMem_SetHandler(capsule);
        if (before_ == nullptr) {
            throw py::error_already_set();
        }
    }
    ~WithRecycler() {
        Py_XDECREF(PyDataMem_SetHandler(before_));
        Py_DECREF(before_);
    }
    WithRecycler(const WithRecycler&) = delete;
    WithRecycler& operator=(const WithRecycler&) = delete;

  private:
    PyObject* before_ = nullptr;
};

py::object empty(py::handle dtype, const std::vector<int64_t>& shape) {
    Py_INCREF(dtype.ptr());  // the constructor steals it
    static_assert(sizeof(npy_intp) == sizeof(int64_t));
    PyObject* array = PyArray_NewFromDescr(
        &PyArray_Type, reinterpret_cast<PyArray_Descr*>(dtype.ptr()), static_cast<int>(shape.size()),
        reinterpret_cast<const npy_intp*>(shape.data()), nullptr, nullptr, 0, nullptr);
    if (array == nullptr) {
        throw py::error_already_set();
    }
    return py::reinterpret_steal<py::object>(array);
}

}  // namespace

void* new_memory(size_t bytes) {
    return recycler().take(bytes);
}

void free_memory(void* data) {
    std::free(static_cast<char*>(data) - HEADER);
}

void prepare_memory(const std::vector<int64_t>& sizes) {
    if (thread_count() < 2) {
        return;
    }
    Stretches memory = recycler().prepare(sizes);
    size_t total = 0;
    for (const auto& [start, bytes] : memory) {
        total += bytes;
    }
    if (total < LEAST_PREPARED) {
        return;
    }
    const uint64_t now = taken.load(std::memory_order_relaxed);
    try {
        std::thread([memory = std::move(memory), now] { ask_for_pages(memory, now); }).detach();
    } catch (const std::system_error&) {  // no thread is to be had: pages come when they are written to
    }
}

py::object new_output(py::handle dtype, const std::vector<int64_t>& shape, int64_t bytes) {
    if (bytes < RECYCLED_BYTES) {
        return empty(dtype, shape);
    }
    const WithRecycler scope;
    return empty(dtype, shape);
}

}  // namespace tracer

#include "blas_threads.hpp"

#include <dlfcn.h>
#include <pthread.h>

#include <mutex>
#include <string>

namespace tracer {
namespace {

using SetThreads = void (*)(int);
using GetThreads = int (*)();

SetThreads set_threads = nullptr;
GetThreads get_threads = nullptr;
std::mutex* mutex = new std::mutex;
int holders = 0;
int threads_before = 0;

// Of the threads that held the library to one thread, or the lock, none exists in a forked child.
void after_fork_in_child() {
    mutex = new std::mutex;
    holders = 0;
}

}  // namespace

void find_blas_threads(void* blas_function) {
    static const bool registered = pthread_atfork(nullptr, nullptr, after_fork_in_child) == 0;
    (void)registered;
    Dl_info place;
    if (dladdr(blas_function, &place) == 0 || place.dli_fname == nullptr) {
        return;
    }
    // SciPy's pointers lead into its own wrapper module: the handle's search also covers what that is linked to.
    void* library = dlopen(place.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    if (library == nullptr) {
        return;
    }
    for (const char* prefix : {"scipy_openblas", "openblas"}) {
        for (const char* suffix : {"", "64_"}) {
            const std::string name = prefix;
            const auto set = reinterpret_cast<SetThreads>(dlsym(library, (name + "_set_num_threads" + suffix).c_str()));
            const auto get = reinterpret_cast<GetThreads>(dlsym(library, (name + "_get_num_threads" + suffix).c_str()));
            if (set != nullptr && get != nullptr && get_threads == nullptr) {
                set_threads = set;
                get_threads = get;
            }
        }
    }
    dlclose(library);
}

bool controls_blas_threads() {
    return get_threads != nullptr;
}

OneBlasThread::OneBlasThread() {
    std::lock_guard<std::mutex> lock(*mutex);
    if (holders++ == 0 && get_threads != nullptr) {
        threads_before = get_threads();
        if (threads_before > 1) {
            set_threads(1);
        }
    }
}

OneBlasThread::~OneBlasThread() {
    std::lock_guard<std::mutex> lock(*mutex);
    if (holders > 0 && --holders == 0 && get_threads != nullptr && threads_before > 1) {
        set_threads(threads_before);
    }
}

}  // namespace tracer

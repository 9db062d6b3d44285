// Keeps a BLAS that has threads of its own from using them, so that products are shared out over the kernels' pool.
#pragma once

namespace tracer {

// Looks up how to set the number of threads of the BLAS that this function of it belongs to, or is linked to.
void find_blas_threads(void* blas_function);

// Whether find_blas_threads succeeded: only then do products run on the pool.
bool controls_blas_threads();

// While any of these lives, BLAS runs on the thread that calls it. The setting is the whole process's: others who call
// BLAS meanwhile wait a little longer, and the last one to go puts it back.
class OneBlasThread {
  public:
    OneBlasThread();
    ~OneBlasThread();
    OneBlasThread(const OneBlasThread&) = delete;
    OneBlasThread& operator=(const OneBlasThread&) = delete;
};

}  // namespace tracer

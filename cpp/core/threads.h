// Threads: the only OpenMP of the project is in threads.cpp.
//
// Results never depend on the number of threads: a task is defined by geometry alone, or every value is
// computed whole inside one task, whichever thread runs it.
#pragma once

#include "kernels/index.h"

namespace fastconv {

// The threads a call may use. At first: FASTCONV_NUM_THREADS, else OMP_NUM_THREADS, else the processors
// that the affinity mask and the control group's quota grant. Throws std::invalid_argument below 1.
int num_threads();
void set_num_threads(index_t count);

// Processors that the control group's quota grants, 0 where there is no quota.
double cpu_quota();
const char* openmp_version();

// How many threads `work` operations are worth: waking a thread costs as much as a few
// hundred thousand of them.
int worthwhile_threads(double work, index_t tasks);

namespace detail {
void run_tasks(index_t tasks, int threads, void (*run)(const void* body, index_t task, int worker), const void* body);
}

// Runs body(task, worker) for every task in [0, tasks), with worker in [0, threads): scratch memory that
// belongs to a worker is never shared. Bodies must not throw. Denormals count as zero in them; all kernels
// run in such bodies. In the child of a fork, where OpenMP's threads no longer exist, everything runs on the
// calling thread.
template <class Body>
void parallel_for(index_t tasks, int threads, const Body& body) {
    detail::run_tasks(tasks, threads, [](const void* erased, index_t task, int worker) {
        (*static_cast<const Body*>(erased))(task, worker);
    }, &body);
}

}  // namespace fastconv

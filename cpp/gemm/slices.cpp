#include "gemm/slices.h"

#include <algorithm>
#include <numeric>

#include "core/arithmetic.h"
#include "core/isa.h"
#include "core/memory.h"
#include "core/threads.h"

namespace fastconv {
namespace {

constexpr index_t kFewestRows = 512;
constexpr index_t kMostSlices = 64;
constexpr index_t kTaskValues = 1024;  // of a slice, that are added in a task
constexpr double kAddCost = 8;         // of a value that another core's cache may hold, in operations

}  // namespace

template <class T>
void add_slices(const T* partial, index_t slices, index_t rows, index_t columns, T* sums, index_t pitch) {
    const index_t rows_per_task = ceil_div(kTaskValues, columns);
    const index_t tasks = ceil_div(rows, rows_per_task);
    const int threads = worthwhile_threads(kAddCost * static_cast<double>(slices * rows * columns), tasks);
    parallel_for(tasks, threads, [&](index_t task, int) {
        const index_t last = std::min((task + 1) * rows_per_task, rows);
        for (index_t row = task * rows_per_task; row < last; ++row) {
            std::fill_n(sums + row * pitch, columns, T(0));
            kernels<T>().add_rows(partial + row * columns, rows * columns, slices, columns, sums + row * pitch);
        }
    });
}

template <class T>
void sum_rows(const T* matrix, index_t rows, index_t columns, T* sums) {
    // As many rows as fill whole vectors are one long row: six channels would be summed value by value.
    const index_t lanes = kernels<T>().vector_width, joined = lanes / std::gcd(columns, lanes),
                  long_row = joined * columns;
    const index_t slices = std::clamp<index_t>(rows / kFewestRows, 1, kMostSlices);
    const index_t rows_per_slice = ceil_div(rows, slices);
    const Buffer buffer(take_buffer(static_cast<std::size_t>(slices * long_row) * sizeof(T)));
    T* partial = static_cast<T*>(buffer.get());
    const int threads = worthwhile_threads(4.0 * static_cast<double>(rows * columns), slices);
    parallel_for(slices, threads, [&](index_t slice, int) {
        const index_t first = std::min(slice * rows_per_slice, rows);
        const index_t count = std::min(rows_per_slice, rows - first), whole = count / joined;
        const T* start = matrix + first * columns;
        T* own = partial + slice * long_row;
        std::fill_n(own, long_row, T(0));
        kernels<T>().add_rows(start, long_row, whole, long_row, own);
        kernels<T>().add_rows(start + whole * long_row, columns, count - whole * joined, columns, own);
    });
    add_slices(partial, slices * joined, 1, columns, sums, columns);
}

template void add_slices(const float*, index_t, index_t, index_t, float*, index_t);
template void add_slices(const double*, index_t, index_t, index_t, double*, index_t);
template void sum_rows(const float*, index_t, index_t, float*);
template void sum_rows(const double*, index_t, index_t, double*);

}  // namespace fastconv

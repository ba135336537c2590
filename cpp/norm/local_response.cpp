#include "norm/local_response.h"

#include <algorithm>

#include "core/arithmetic.h"
#include "core/isa.h"
#include "core/memory.h"
#include "core/threads.h"
#include "elementwise/streamed.h"

namespace fastconv {
namespace {

// Calls visit(some rows with scratch memory, the place of their first value) in parallel. A window that reaches beyond
// all channels is as good as one that ends there.
template <class T, class Visit>
void for_each_part(LocalResponse<T> block, const Visit& visit) {
    const Rows<T> source = block.source;
    block.before = std::min(block.before, source.channels - 1);
    block.after = std::min(block.after, source.channels - 1);
    const index_t rows_per_task = std::max<index_t>(16384 / source.channels, 1);
    const index_t tasks = ceil_div(source.count, rows_per_task);
    const double work = static_cast<double>(block.before + block.after + 16) * static_cast<double>(source.count) *
                        static_cast<double>(source.channels);
    const int threads = worthwhile_threads(work, tasks);
    const index_t scratch_size = 3 * (source.channels + block.before + block.after + 16);
    Buffer buffer;
    T* scratch = carve_buffer(buffer, [&](Arena& arena) { return arena.take<T>(threads * scratch_size); });
    parallel_for(tasks, threads, [&](index_t task, int worker) {
        const index_t first = task * rows_per_task, start = first * source.channels;
        LocalResponse<T> part = block;
        part.source = {source.data + start, std::min(rows_per_task, source.count - first), source.channels};
        part.scratch = scratch + worker * scratch_size;
        visit(part, start);
    });
}

}  // namespace

template <class T>
void local_response_forward(const LocalResponse<T>& block, T* output) {
    const bool stream = output != block.source.data && worth_streaming<T>(block.source.count * block.source.channels);
    for_each_part(block, [&](const LocalResponse<T>& part, index_t start) {
        const index_t channels = part.source.channels;
        write_values(stream, part.source.count * channels, channels, output + start,
                     [&](index_t at, index_t values, T* target) {
            LocalResponse<T> piece = part;
            piece.source = {part.source.data + at, values / channels, channels};
            element_kernels<T>().local_response(piece, target);
        });
    });
}

template <class T>
void local_response_backward(const LocalResponse<T>& block, const T* grad_output, T* grad_input) {
    for_each_part(block, [&](const LocalResponse<T>& part, index_t start) {
        element_kernels<T>().local_response_backward(part, grad_output + start, grad_input + start);
    });
}

template void local_response_forward(const LocalResponse<float>&, float*);
template void local_response_forward(const LocalResponse<double>&, double*);
template void local_response_backward(const LocalResponse<float>&, const float*, float*);
template void local_response_backward(const LocalResponse<double>&, const double*, double*);

}  // namespace fastconv

#include "elementwise/relu.h"

#include <algorithm>

#include "core/arithmetic.h"
#include "core/isa.h"
#include "core/threads.h"

namespace fastconv {
namespace {

// Calls visit(first, count) over chunks that keep a thread busy for some microseconds.
template <class Visit>
void for_each_chunk(index_t count, const Visit& visit) {
    constexpr index_t kChunk = 32768;
    const index_t chunks = ceil_div(count, kChunk);
    const int threads = worthwhile_threads(4.0 * static_cast<double>(count), chunks);
    parallel_for(chunks, threads,
                 [&](index_t chunk, int) { visit(chunk * kChunk, std::min(kChunk, count - chunk * kChunk)); });
}

}  // namespace

template <class T>
void relu_forward(const T* input, index_t count, T* output) {
    for_each_chunk(count, [&](index_t first, index_t size) { kernels<T>().relu(input + first, size, output + first); });
}

template <class T>
void relu_backward(const T* grad_output, const T* output, index_t count, T* grad_input) {
    for_each_chunk(count, [&](index_t first, index_t size) {
        kernels<T>().relu_backward(grad_output + first, output + first, size, grad_input + first);
    });
}

template void relu_forward(const float*, index_t, float*);
template void relu_forward(const double*, index_t, double*);
template void relu_backward(const float*, const float*, index_t, float*);
template void relu_backward(const double*, const double*, index_t, double*);

}  // namespace fastconv

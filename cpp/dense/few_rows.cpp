#include "dense/few_rows.h"

#include <algorithm>

#include "core/arithmetic.h"
#include "core/isa.h"
#include "core/memory.h"
#include "core/threads.h"
#include "elementwise/streamed.h"

namespace fastconv {
namespace {

double operations(const LinearGeometry& g) {
    return 2.0 * static_cast<double>(g.rows) * static_cast<double>(g.in_features) * static_cast<double>(g.out_features);
}

// Calls visit(first, count) for pieces of an extent, in parallel. Every value is computed whole, whatever the pieces.
template <class Visit>
void for_each_piece(const LinearGeometry& g, index_t extent, index_t piece, const Visit& visit) {
    const index_t tasks = ceil_div(extent, piece);
    parallel_for(tasks, worthwhile_threads(operations(g), tasks),
                 [&](index_t task, int) { visit(task * piece, std::min(piece, extent - task * piece)); });
}

// Rows of the weight that a task takes: some megabytes, one after the other.
constexpr index_t kFeatures = 256;

// The weight moves once, where a product with packed panels moves it three times. That pays for any weight. Measured in
// cache, time of packed over this: one row, 400 -> 120, 2.7 forward, 1.8 and 1.3 backwards, 512 -> 512 2.9, 2.5, 2.4.
// Eight rows forward 1.2 to 3, where the columns fill vectors (84 -> 10 0.55), the gradient of the weight 0.95 to 2,
// that of the input, whose sums run along the columns, 0.9 to 3 with 64 columns and more (1024 -> 16 0.3).
template <class T>
bool has_few_rows(const LinearGeometry& g, index_t most) {
    constexpr index_t kLargeBytes = index_t{2} << 20;
    const bool large = g.in_features * g.out_features * static_cast<index_t>(sizeof(T)) >= kLargeBytes;
    return g.rows >= 1 && g.rows <= (large ? kFewRows : most);
}

}  // namespace

template <class T>
bool has_few_rows_forward(const LinearGeometry& g) {
    return has_few_rows<T>(g, g.out_features >= kernels<T>().vector_width ? kFewRows : 2);
}

template <class T>
bool has_few_rows_backward_input(const LinearGeometry& g) {
    constexpr index_t kManyColumns = 64;
    return has_few_rows<T>(g, g.out_features >= kManyColumns ? kFewRows : 1);
}

template <class T>
bool has_few_rows_backward_weight(const LinearGeometry& g) {
    return has_few_rows<T>(g, kFewRows);
}

// A task takes whole lines of memory of a slice of the weight's rows, and has sums of its own; slices are cut by
// geometry and added in order. Measured, 25088 -> 4096, batch 4: pieces of 512, 1024 and 4096 columns took 39, 30 and
// 24 ms, the last with one thread.
template <class T>
void few_rows_forward(const LinearGeometry& g, const T* input, const T* weight, const T* bias, T* output) {
    constexpr index_t kColumns = 4096, kSlices = 8, kLeastRows = 128;
    const index_t slices = std::clamp<index_t>(g.in_features / kLeastRows, 1, kSlices);
    const index_t slice = ceil_div(g.in_features, slices), size = g.rows * g.out_features;
    const index_t pieces = ceil_div(g.out_features, kColumns), tasks = slices * pieces;
    Buffer buffer;
    T* sums = carve_buffer(buffer, [&](Arena& arena) { return arena.take<T>(slices * size); });
    parallel_for(tasks, worthwhile_threads(operations(g), tasks), [&](index_t task, int) {
        const index_t row = task / pieces * slice, first = task % pieces * kColumns;
        const index_t columns = std::min(kColumns, g.out_features - first);
        T* own = sums + task / pieces * size + first;
        for (index_t r = 0; r < g.rows; ++r) std::fill_n(own + r * g.out_features, columns, T(0));
        element_kernels<T>().add_few_products({input + row, g.rows, g.pitch, weight + row * g.out_features + first,
                                               std::min(slice, g.in_features - row), columns, g.out_features},
                                              own, g.out_features);
    });
    const double additions = static_cast<double>((slices + 1) * size);
    parallel_for(g.rows, worthwhile_threads(additions, g.rows), [&](index_t r, int) {
        T* row = output + r * g.out_features;
        std::copy_n(sums + r * g.out_features, g.out_features, row);
        for (index_t s = 1; s < slices; ++s)
            kernels<T>().add_rows(sums + s * size + r * g.out_features, 0, 1, g.out_features, row);
        if (bias != nullptr) kernels<T>().add_rows(bias, 0, 1, g.out_features, row);
    });
}

template <class T>
void few_rows_backward_input(const LinearGeometry& g, const T* grad_output, const T* weight, T* grad_input) {
    for_each_piece(g, g.in_features, kFeatures, [&](index_t first, index_t count) {
        element_kernels<T>().multiply_few_transposed(
            {grad_output, g.rows, g.out_features, weight + first * g.out_features, count, g.out_features,
             g.out_features},
            grad_input + first, g.in_features);
    });
}

template <class T>
void few_rows_backward_weight(const LinearGeometry& g, const T* grad_output, const T* input, T* grad_weight) {
    const bool stream = worth_streaming<T>(g.in_features * g.out_features);
    for_each_piece(g, g.in_features, kFeatures, [&](index_t first, index_t count) {
        element_kernels<T>().multiply_few_outer(
            {input + first, g.rows, g.pitch, grad_output, count, g.out_features, g.out_features},
            grad_weight + first * g.out_features, stream);
    });
}

#define FASTCONV_INSTANTIATE(T)                                                              \
    template bool has_few_rows_forward<T>(const LinearGeometry&);                            \
    template bool has_few_rows_backward_input<T>(const LinearGeometry&);                     \
    template bool has_few_rows_backward_weight<T>(const LinearGeometry&);                    \
    template void few_rows_forward(const LinearGeometry&, const T*, const T*, const T*, T*); \
    template void few_rows_backward_input(const LinearGeometry&, const T*, const T*, T*);    \
    template void few_rows_backward_weight(const LinearGeometry&, const T*, const T*, T*);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)
#undef FASTCONV_INSTANTIATE

}  // namespace fastconv

#include "norm/layer_norm.h"

#include <algorithm>

#include "core/arithmetic.h"
#include "core/isa.h"
#include "core/memory.h"
#include "core/threads.h"
#include "elementwise/streamed.h"

namespace fastconv {
namespace {

constexpr index_t kMostSlices = 64;
constexpr index_t kRowsInT = 128;  // whose gradients are summed in T, before double takes over

// Calls visit(slice, the rows of a slice, the place of its first value) in parallel.
template <class T, class Visit>
void for_each_slice(const NormalizedRows<T>& rows, index_t rows_per_slice, const Visit& visit) {
    const Rows<T>& source = rows.source;
    const index_t slices = ceil_div(source.count, rows_per_slice);
    const double work = 12.0 * static_cast<double>(source.count) * static_cast<double>(source.channels);
    parallel_for(slices, worthwhile_threads(work, slices), [&](index_t slice, int) {
        const index_t first = slice * rows_per_slice, start = first * source.channels;
        NormalizedRows<T> part = rows;
        part.source = {source.data + start, std::min(rows_per_slice, source.count - first), source.channels};
        visit(slice, part, start);
    });
}

}  // namespace

template <class T>
void layer_norm_forward(const NormalizedRows<T>& rows, T* output) {
    const index_t rows_per_slice = std::max<index_t>(16384 / rows.source.channels, 1);
    const bool stream = output != rows.source.data && worth_streaming<T>(rows.source.count * rows.source.channels);
    for_each_slice(rows, rows_per_slice, [&](index_t, const NormalizedRows<T>& part, index_t start) {
        const index_t channels = part.source.channels;
        write_values(stream, part.source.count * channels, channels, output + start,
                     [&](index_t at, index_t values, T* target) {
            NormalizedRows<T> piece = part;
            piece.source = {part.source.data + at, values / channels, channels};
            element_kernels<T>().normalize_rows(piece, target);
        });
    });
}

template <class T>
void layer_norm_backward(const NormalizedRows<T>& rows, const T* grad_output, T* grad_input, T* grad_scale,
                         T* grad_bias) {
    const index_t channels = rows.source.channels;
    const index_t fewest_rows = std::max<index_t>(16384 / channels, 1);
    const index_t rows_per_slice = std::max(fewest_rows, ceil_div(rows.source.count, kMostSlices));
    const index_t slices = ceil_div(rows.source.count, rows_per_slice);
    Buffer sums_buffer, parts_buffer;
    double* sums = carve_buffer(sums_buffer, [&](Arena& arena) { return arena.take<double>(slices * 2 * channels); });
    T* parts = carve_buffer(parts_buffer, [&](Arena& arena) { return arena.take<T>(slices * 2 * channels); });

    const bool stream = worth_streaming<T>(rows.source.count * channels);
    for_each_slice(rows, rows_per_slice, [&](index_t slice, const NormalizedRows<T>& part, index_t start) {
        double* sum = sums + slice * 2 * channels;
        T* of_part = parts + slice * 2 * channels;
        std::fill_n(sum, 2 * channels, 0.0);
        for (index_t row = 0; row < part.source.count; row += kRowsInT) {
            NormalizedRows<T> block = part;
            block.source.data += row * channels;
            block.source.count = std::min(kRowsInT, part.source.count - row);
            std::fill_n(of_part, 2 * channels, T(0));
            const index_t begin = start + row * channels;
            write_values(stream, block.source.count * channels, channels, grad_input + begin,
                         [&](index_t at, index_t values, T* target) {
                NormalizedRows<T> piece = block;
                piece.source = {block.source.data + at, values / channels, channels};
                element_kernels<T>().normalize_rows_backward(piece, grad_output + begin + at, target, of_part,
                                                             of_part + channels);
            });
            for (index_t c = 0; c < 2 * channels; ++c) sum[c] += static_cast<double>(of_part[c]);
        }
    });
    for (index_t c = 0; c < channels; ++c) {
        double scale = 0, bias = 0;
        for (index_t slice = 0; slice < slices; ++slice) {
            scale += sums[slice * 2 * channels + c];
            bias += sums[(slice * 2 + 1) * channels + c];
        }
        grad_scale[c] = static_cast<T>(scale);
        grad_bias[c] = static_cast<T>(bias);
    }
}

template void layer_norm_forward(const NormalizedRows<float>&, float*);
template void layer_norm_forward(const NormalizedRows<double>&, double*);
template void layer_norm_backward(const NormalizedRows<float>&, const float*, float*, float*, float*);
template void layer_norm_backward(const NormalizedRows<double>&, const double*, double*, double*, double*);

}  // namespace fastconv

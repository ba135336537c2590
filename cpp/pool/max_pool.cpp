#include <atomic>

#include "pool/pool.h"
#include "pool/windows.h"

namespace fastconv {
namespace {

// Positions in a spatial plane, gathered with the same map as the rows.
RowAddresses<index_t> plane_positions(const PoolGeometry& g) {
    return {0, -1, 0, {g.axes[1].input * g.axes[2].input, g.axes[2].input, 1}};
}

}  // namespace

template <class T>
void max_pool_forward(const PoolGeometry& g, const TensorView<const T>& input, T* output, index_t* indices) {
    const RowMap map = forward_map(g, g.batch);
    const RowAddresses<const T*> addresses = source_rows<const T>(input, nullptr);
    const RowAddresses<index_t> plane = plane_positions(g);
    const int threads = window_threads(map, g.channels);
    const index_t per_worker = map.taps() * window_rows(map);

    static_assert(sizeof(const T*) == sizeof(index_t), "rows and positions share one buffer");
    const Buffer buffer(take_buffer(static_cast<std::size_t>(2 * threads * per_worker) * sizeof(index_t)));
    const T** all_rows = static_cast<const T**>(buffer.get());
    index_t* all_positions = static_cast<index_t*>(buffer.get()) + threads * per_worker;
    for_each_window_block(map, threads, [&](index_t first, index_t count, int worker) {
        const T** rows = all_rows + worker * per_worker;
        index_t* positions = all_positions + worker * per_worker;
        addresses.gather(map, first, count, 0, map.taps(), rows, count);
        if (indices != nullptr) plane.gather(map, first, count, 0, map.taps(), positions, count);
        for (index_t r = 0; r < count; ++r) {
            const index_t at = (first + r) * g.channels;
            kernels<T>().max_window({rows + r, positions + r, count, map.taps(), g.channels}, output + at,
                                    indices == nullptr ? nullptr : indices + at);
        }
    });
}

template <class T>
index_t max_pool_backward(const PoolGeometry& g, const T* grad_output, const index_t* indices, T* grad_input) {
    const index_t plane = g.input_pixels(), windows = g.output_pixels();
    const int threads =
        worthwhile_threads(4.0 * static_cast<double>(g.batch * (plane + windows) * g.channels), g.batch * g.channels);
    std::atomic<index_t> invalid{-1};
    for_each_image_part(g.batch, g.channels, threads, [&](index_t image, index_t channel, index_t channels, int) {
        T* targets = grad_input + image * plane * g.channels + channel;
        for (index_t p = 0; p < plane; ++p) std::fill_n(targets + p * g.channels, channels, T(0));
        for (index_t w = 0; w < windows; ++w) {
            const index_t at = (image * windows + w) * g.channels + channel;
            for (index_t c = 0; c < channels; ++c) {
                const index_t position = indices[at + c];
                if (position >= 0 && position < plane) {
                    targets[position * g.channels + c] += grad_output[at + c];
                } else if (position != -1) {
                    invalid = position;
                }
            }
        }
    });
    return invalid;
}

template void max_pool_forward(const PoolGeometry&, const TensorView<const float>&, float*, index_t*);
template void max_pool_forward(const PoolGeometry&, const TensorView<const double>&, double*, index_t*);
template index_t max_pool_backward(const PoolGeometry&, const float*, const index_t*, float*);
template index_t max_pool_backward(const PoolGeometry&, const double*, const index_t*, double*);

}  // namespace fastconv

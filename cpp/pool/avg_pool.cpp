#include "pool/pool.h"
#include "pool/windows.h"

namespace fastconv {
namespace {

// Window positions start, start + dilation, ... that lie in [low, high).
index_t count_inside(const Axis& axis, index_t output, index_t low, index_t high) {
    const index_t start = output * axis.stride - axis.pad_before;
    const index_t first = start < low ? ceil_div(low - start, axis.dilation) : 0;
    const index_t last = high > start ? std::min(ceil_div(high - start, axis.dilation), axis.kernel) : 0;
    return std::max<index_t>(last - first, 0);
}

// The factor of every window: 1 / divisor, and 0 for a window without any position.
class Scales {
  public:
    Scales(const PoolGeometry& g, const Divisor& divisor) : g_(g), divisor_(divisor) {}

    template <class T>
    T of(index_t row) const {
        index_t count = divisor_.override_with;
        if (count == 0) {
            const Axis &d = g_.axes[0], &h = g_.axes[1], &w = g_.axes[2];
            count = along(w, row % w.output) * along(h, row / w.output % h.output) *
                    along(d, row / w.output / h.output % d.output);
        }
        return count == 0 ? T(0) : T(1) / static_cast<T>(count);
    }

  private:
    index_t along(const Axis& axis, index_t output) const {
        return divisor_.count_include_pad ? count_inside(axis, output, -axis.pad_before, axis.input + axis.pad_after)
                                          : count_inside(axis, output, 0, axis.input);
    }

    const PoolGeometry& g_;
    const Divisor& divisor_;
};

}  // namespace

template <class T>
void avg_pool_forward(const PoolGeometry& g, const Divisor& divisor, const TensorView<const T>& input, T* output) {
    const RowMap map = forward_map(g, g.batch);
    const RowAddresses<const T*> addresses = source_rows<const T>(input, nullptr);
    const Scales scales(g, divisor);
    const int threads = window_threads(map, g.channels);
    const index_t per_worker = map.taps() * window_rows(map);

    const Buffer buffer(take_buffer(static_cast<std::size_t>(threads * per_worker) * sizeof(const T*)));
    const T** all_rows = static_cast<const T**>(buffer.get());
    for_each_window_block(map, threads, [&](index_t first, index_t count, int worker) {
        const T** rows = all_rows + worker * per_worker;
        addresses.gather(map, first, count, 0, map.taps(), rows, count);
        for (index_t r = 0; r < count; ++r)
            kernels<T>().average_window({rows + r, nullptr, count, map.taps(), g.channels}, scales.of<T>(first + r),
                                        output + (first + r) * g.channels);
    });
}

template <class T>
void avg_pool_backward(const PoolGeometry& g, const Divisor& divisor, const T* grad_output, T* grad_input) {
    const RowMap map = forward_map(g, g.batch);
    const Scales scales(g, divisor);
    const std::array<index_t, kAxes> extents{g.axes[0].input, g.axes[1].input, g.axes[2].input};
    const int threads = window_threads(map, g.channels);
    const index_t block = window_rows(map);
    const index_t per_worker = map.taps() * block;

    const Buffer buffer(take_buffer(static_cast<std::size_t>(threads * per_worker) * sizeof(T*)));
    T** all_targets = static_cast<T**>(buffer.get());
    for_each_image_part(g.batch, g.channels, threads,
                        [&](index_t image, index_t channel, index_t channels, int worker) {
        TensorView<T> part = contiguous_view(grad_input, extents, g.channels);
        part.data += channel;
        const RowAddresses<T*> addresses = source_rows<T>(part, nullptr);
        T* plane = part.data + image * part.batch_stride;
        for (index_t p = 0; p < g.input_pixels(); ++p) std::fill_n(plane + p * g.channels, channels, T(0));

        T** targets = all_targets + worker * per_worker;
        const index_t end = (image + 1) * map.pixels();
        for (index_t first = image * map.pixels(); first < end; first += block) {
            const index_t count = std::min(block, end - first);
            addresses.gather(map, first, count, 0, map.taps(), targets, count);
            for (index_t r = 0; r < count; ++r)
                kernels<T>().scatter_add(targets + r, count, map.taps(),
                                         grad_output + (first + r) * g.channels + channel, 0, channels,
                                         scales.of<T>(first + r));
        }
    });
}

template void avg_pool_forward(const PoolGeometry&, const Divisor&, const TensorView<const float>&, float*);
template void avg_pool_forward(const PoolGeometry&, const Divisor&, const TensorView<const double>&, double*);
template void avg_pool_backward(const PoolGeometry&, const Divisor&, const float*, float*);
template void avg_pool_backward(const PoolGeometry&, const Divisor&, const double*, double*);

}  // namespace fastconv

#include <atomic>
#include <limits>

#include "pool/planes.h"
#include "pool/pool.h"

namespace fastconv {
namespace {

constexpr index_t kMostPositions = std::numeric_limits<std::int32_t>::max();  // in the lanes of floats

double max_work(const PooledShape& g, double taps) {
    const auto inputs = static_cast<double>(g.input_pixels()), outputs = static_cast<double>(g.output_pixels());
    return static_cast<double>(g.batch * g.channels) * (inputs + outputs * (1 + 2 * taps));
}

double taps_inside(const PoolGeometry& g) {
    double taps = 1;
    for (const Axis& axis : g.axes) taps *= static_cast<double>(std::min(axis.kernel, axis.input));
    return taps;
}

double taps_inside(const AdaptiveGeometry& g) {
    double taps = 1;
    for (const Axis& axis : g.axes) taps *= 1 + static_cast<double>(axis.input) / std::max(1.0 * axis.output, 1.0);
    return taps;
}

auto input_spans(const PoolGeometry& g) {
    return [&g](std::size_t axis, index_t q) { return input_span(g.axes[axis], q); };
}

auto input_spans(const AdaptiveGeometry& g) {
    return [&g](std::size_t axis, index_t q) { return adaptive_span(g.axes[axis], q); };
}

// --- The gradient, scattered: any windows, any indices ------------------------------------------------------

// One image's plane of some channels, zeroed only as far as the windows have come, while it is in cache.
template <class T>
class Plane {
  public:
    Plane(T* data, index_t pixels, index_t pitch, index_t channels)
        : data_(data), pixels_(pixels), pitch_(pitch), channels_(channels) {}

    void zero_until(index_t pixel) {
        if (pixel <= zeroed_) return;
        if (channels_ == pitch_) {
            std::fill_n(data_ + zeroed_ * pitch_, (pixel - zeroed_) * pitch_, T(0));
        } else {
            for (index_t p = zeroed_; p < pixel; ++p) std::fill_n(data_ + p * pitch_, channels_, T(0));
        }
        zeroed_ = pixel;
    }

    // Adds a window's gradients; returns -1, or an index that is neither -1 nor a position.
    index_t add(const T* gradient, const index_t* positions) {
        index_t invalid = -1;
        for (index_t c = 0; c < channels_; ++c) {
            const index_t position = positions[c];
            if (static_cast<std::uint64_t>(position) >= static_cast<std::uint64_t>(zeroed_)) {
                if (position < 0 || position >= pixels_) {
                    if (position != -1) invalid = position;
                    continue;
                }
                zero_until(pixels_);  // an index that the forward pass didn't make: from now on any may come
            }
            data_[position * pitch_ + c] += gradient[c];
        }
        return invalid;
    }

  private:
    T* data_;
    index_t pixels_, pitch_, channels_;
    index_t zeroed_ = 0;
};

template <class T, class Geometry>
index_t scatter(const Geometry& g, const T* grad_output, const index_t* indices, T* grad_input) {
    const auto span_of = input_spans(g);
    const Axis &d = g.axes[0], &h = g.axes[1], &w = g.axes[2];
    const index_t plane = g.input_pixels(), windows = g.output_pixels();
    constexpr index_t kLeastChannels = 16;  // a line of cache
    const int threads = worthwhile_threads(4.0 * static_cast<double>(g.batch * (plane + windows) * g.channels),
                                           g.batch * ceil_div(g.channels, kLeastChannels));
    // Windows overlap, so a task has an image's plane for its own, of as many channels as leave work for all.
    const index_t missing = threads == 1 ? 1 : ceil_div(4 * threads, std::max<index_t>(g.batch, 1));
    const index_t part = round_up(ceil_div(std::max<index_t>(g.channels, 1), missing), kLeastChannels);
    const index_t parts = ceil_div(g.channels, part);
    std::atomic<index_t> invalid{-1};
    parallel_for(g.batch * parts, threads, [&](index_t task, int) {
        const index_t image = task / parts, channel = task % parts * part;
        Plane<T> target(grad_input + image * plane * g.channels + channel, plane, g.channels,
                        std::min(part, g.channels - channel));
        for (index_t line = 0; line < d.output * h.output; ++line) {
            const Span depths = span_of(0, line / h.output), heights = span_of(1, line % h.output);
            if (depths.count * heights.count != 0) {
                const index_t last_depth = depths.first + (depths.count - 1) * d.dilation;
                const index_t last_height = heights.first + (heights.count - 1) * h.dilation;
                target.zero_until((last_depth * h.input + last_height + 1) * w.input);
            }
            for (index_t q = 0; q < w.output; ++q) {
                const index_t at = ((image * d.output * h.output + line) * w.output + q) * g.channels + channel;
                const index_t wrong = target.add(grad_output + at, indices + at);
                if (wrong != -1) invalid = wrong;
            }
        }
        target.zero_until(plane);
    });
    return invalid;
}

// --- The gradient, gathered: windows that hold their indices ------------------------------------------------

// Gathering compares whole vectors of positions, of every window that a pixel lies in, with that of the pixel.
template <class T>
bool gathers(const PoolGeometry& g) {
    constexpr index_t kMostWindows = 9;
    index_t windows = 1;
    for (const Axis& axis : g.axes) {
        if (axis.dilation != 1 || axis.output == 0) return false;
        // Every window has to hold a pixel that compares.
        if (input_span(axis, 0).count == 0 || input_span(axis, axis.output - 1).count == 0) return false;
        windows *= std::min(ceil_div(axis.kernel, axis.stride), axis.output);
        if (windows > kMostWindows) return false;
    }
    return g.channels >= kernels<T>().vector_width;
}

// The outputs of an axis whose windows begin, as far as they lie inside the input, at positions [low, high).
Span beginning_in(const Axis& axis, index_t low, index_t high) {
    const auto before = [&](index_t position) {  // outputs whose windows begin before `position`
        return position == 0 ? 0 : std::min((position - 1 + axis.pad_before) / axis.stride + 1, axis.output);
    };
    return {before(low), before(high) - before(low)};
}

// The positions of the windows that a piece of a line of the input looks at, narrowed, as one dense block for each
// worker. The next line looks at much the same windows, so the block has room for a few more lines of them.
template <class T>
class Maxima {
  public:
    using Narrow = typename PositionOf<T>::Type;

    Maxima(const PoolGeometry& g, const LineGrid& grid, const index_t* indices) : g_(g), indices_(indices) {
        const auto most = [](const Axis& axis, index_t extent) {  // windows that hold any of `extent` pixels
            return std::min((extent + axis.kernel - 2) / axis.stride + 1, axis.output);
        };
        constexpr index_t kMoreLines = 6;
        lines_ = std::min(most(g.axes[1], 1) + kMoreLines, g.axes[1].output);
        size_ = most(g.axes[0], 1) * lines_ * most(g.axes[2], grid.targets) * grid.part;
        blocks_.resize(static_cast<std::size_t>(grid.threads));
        buffer_.reset(take_buffer(static_cast<std::size_t>(grid.threads * size_) * sizeof(Narrow)));
    }

    // Adds to `found` the maxima whose windows begin in this piece, each of which some pixel has to match; false
    // where a position doesn't fit.
    bool narrow(const WindowLine& at, int worker, PoolMatches<T>& matches, index_t& found) {
        const Axis &d = g_.axes[0], &h = g_.axes[1], &w = g_.axes[2];
        const Span own = beginning_in(w, at.first, at.first + at.targets);
        const index_t end = own.first + own.count;
        index_t begin = own.first;
        for (index_t q = at.targets; q-- > 0;)
            if (at.spans[q].count != 0) begin = std::min(begin, at.spans[q].first);
        const index_t own_depth = beginning_in(d, at.depth, at.depth + 1).first;
        const index_t own_height = beginning_in(h, at.height, at.height + 1).first;

        Block& block = blocks_[static_cast<std::size_t>(worker)];
        const index_t low = at.lines[1].first, high = low + at.lines[1].count;
        const std::array<index_t, 4> place{at.image, at.depth, at.first, at.channel};
        if (place != block.place || low < block.low || low > block.high || high > block.low + lines_)
            block = {place, low, low};

        const index_t line_size = (end - begin) * at.channels;
        Narrow* base = static_cast<Narrow*>(buffer_.get()) + worker * size_;
        matches.pixel_step = at.channels;
        matches.height_step = line_size;
        matches.depth_step = lines_ * line_size;
        matches.positions = base + (low - block.low) * line_size - begin * at.channels;
        matches.first_target = (at.depth * h.input + at.height) * w.input + at.first;

        bool fits = true;
        for (index_t i = 0; i < at.lines[0].count; ++i) {
            for (index_t height = block.high; height < high; ++height) {
                const index_t depth = at.lines[0].first + i;
                const index_t line = (at.image * d.output + depth) * h.output + height;
                Narrow* target = base + (i * lines_ + height - block.low) * line_size;
                narrow_pixels(at, line, begin, own.first, target, fits);
                const index_t present =
                    narrow_pixels(at, line, own.first, end, target + (own.first - begin) * at.channels, fits);
                if (depth >= own_depth && height >= own_height) found += present;
            }
        }
        block.high = std::max(block.high, high);
        return fits;
    }

  private:
    struct Block {
        std::array<index_t, 4> place{-1, -1, -1, -1};
        index_t low = 0, high = 0;  // lines [low, high) along the height are there
    };

    // Pixels [first, last) of a line of windows; returns how many have a maximum.
    index_t narrow_pixels(const WindowLine& at, index_t line, index_t first, index_t last, Narrow* target,
                          bool& fits) const {
        const index_t* source = indices_ + (line * g_.axes[2].output + first) * g_.channels + at.channel;
        const bool dense = at.channels == g_.channels;
        const index_t rows = dense ? 1 : last - first, row = dense ? (last - first) * at.channels : at.channels;
        index_t present = 0;
        for (index_t r = 0; r < rows; ++r) {
            const index_t here = kernels<T>().narrow_positions(source + r * g_.channels, row, target + r * row);
            if (here < 0) fits = false;
            present += here;
        }
        return present;
    }

    const PoolGeometry& g_;
    const index_t* indices_;
    index_t lines_, size_;
    std::vector<Block> blocks_;
    Buffer buffer_;
};

// Whether all indices lay in their windows; grad_input is unspecified otherwise.
template <class T>
bool gather(const PoolGeometry& g, const T* grad_output, const index_t* indices, T* grad_input) {
    const Axis &d = g.axes[0], &h = g.axes[1], &w = g.axes[2];
    const LineGrid grid(g.batch, {d.input, h.input, w.input}, g.channels, sizeof(T), max_work(g, taps_inside(g)));
    const Targets<T> targets(grid, grad_input);
    Maxima<T> maxima(g, grid, indices);
    const TensorView<const T> source = contiguous_view(grad_output, {d.output, h.output, w.output}, g.channels);
    const auto span_of = [&](std::size_t axis, index_t p) { return output_span(g.axes[axis], p); };

    // By worker: an atomic addition would wait for the stores past the caches, line after line.
    struct alignas(64) Count {
        index_t unmatched = 0;
    };
    std::vector<Count> counts(static_cast<std::size_t>(grid.threads));
    std::atomic<bool> fits{true};
    for_each_line(grid, 1, span_of, [&](const WindowLine& at, int worker) {
        if (!fits.load(std::memory_order_relaxed)) return;
        PoolLine<T> line = pool_line(at, source, {1, 1, 1});
        line.target = targets.begin(at, worker);
        line.target_step = g.channels;
        PoolMatches<T> matches;
        index_t found = 0;
        if (!maxima.narrow(at, worker, matches, found)) fits = false;
        const index_t matched = kernels<T>().matching_line(line, matches);
        targets.finish(at, worker);
        counts[static_cast<std::size_t>(worker)].unmatched += found - matched;
    });
    index_t unmatched = 0;
    for (const Count& count : counts) unmatched += count.unmatched;
    return fits && unmatched == 0;
}

template <class T, class Geometry>
void maxima_of_windows(const Geometry& g, const TensorView<const T>& input, T* output, index_t* indices) {
    const Axis &d = g.axes[0], &h = g.axes[1], &w = g.axes[2];
    const std::array<index_t, kAxes> dilation{d.dilation, h.dilation, w.dilation};
    const auto find = [&](const TensorView<const T>& source, const WindowLine& at, int, T* target, index_t* places,
                          index_t target_step) {
        PoolLine<T> line = pool_line(at, source, dilation);
        line.target = target;
        line.target_step = target_step;
        PoolPositions plane;
        plane.first = (at.lines[0].first * h.input + at.lines[1].first) * w.input;
        plane.depth_step = d.dilation * h.input * w.input;
        plane.height_step = h.dilation * w.input;
        plane.indices = places;
        kernels<T>().max_line(line, plane);
    };
    const std::array<index_t, kAxes> extents{d.output, h.output, w.output};
    const double work = max_work(g, taps_inside(g));
    if (input.channel_stride != 1) {
        PlaneGrid grid(g.batch, g.axes, g.channels, sizeof(T), work);
        if (g.input_pixels() > kMostPositions) grid.block.lanes = 0;
        pool_planes(grid, g.axes, input_spans(g), input, output, indices, find);
        return;
    }
    LineGrid grid(g.batch, extents, g.channels, sizeof(T), work);
    if (g.input_pixels() > kMostPositions) grid.lanes = 0;
    const Targets<T> targets(grid, output);
    const Targets<index_t> places(grid, indices);
    for_each_line(grid, w.dilation, input_spans(g), [&](const WindowLine& at, int worker) {
        find(input, at, worker, targets.begin(at, worker), places.begin(at, worker), g.channels);
        targets.finish(at, worker);
        places.finish(at, worker);
    });
}

}  // namespace

template <class T>
void max_pool_forward(const PoolGeometry& g, const TensorView<const T>& input, T* output, index_t* indices) {
    maxima_of_windows(g, input, output, indices);
}

template <class T>
void adaptive_max_forward(const AdaptiveGeometry& g, const TensorView<const T>& input, T* output, index_t* indices) {
    maxima_of_windows(g, input, output, indices);
}

template <class T>
index_t max_pool_backward(const PoolGeometry& g, const T* grad_output, const index_t* indices, T* grad_input) {
    if (gathers<T>(g) && gather(g, grad_output, indices, grad_input)) return -1;
    return scatter(g, grad_output, indices, grad_input);
}

template <class T>
index_t adaptive_max_backward(const AdaptiveGeometry& g, const T* grad_output, const index_t* indices, T* grad_input) {
    return scatter(g, grad_output, indices, grad_input);
}

template void adaptive_max_forward(const AdaptiveGeometry&, const TensorView<const float>&, float*, index_t*);
template void adaptive_max_forward(const AdaptiveGeometry&, const TensorView<const double>&, double*, index_t*);
template index_t adaptive_max_backward(const AdaptiveGeometry&, const float*, const index_t*, float*);
template index_t adaptive_max_backward(const AdaptiveGeometry&, const double*, const index_t*, double*);
template void max_pool_forward(const PoolGeometry&, const TensorView<const float>&, float*, index_t*);
template void max_pool_forward(const PoolGeometry&, const TensorView<const double>&, double*, index_t*);
template index_t max_pool_backward(const PoolGeometry&, const float*, const index_t*, float*);
template index_t max_pool_backward(const PoolGeometry&, const double*, const index_t*, double*);

}  // namespace fastconv

#include <optional>

#include "pool/planes.h"
#include "pool/pool.h"

namespace fastconv {
namespace {

// The positions of a window along one axis that count for its average.
index_t counted(const Divisor& divisor, const Axis& axis, index_t output) {
    if (divisor.override_with != 0) return 1;
    if (!divisor.count_include_pad) return input_span(axis, output).count;
    return span_between(axis, output, -axis.pad_before, axis.input + axis.pad_after).count;
}

// 0 for a window without any position.
template <class T>
T inverse(const Divisor& divisor, index_t count) {
    if (divisor.override_with != 0) return T(1) / static_cast<T>(divisor.override_with);
    return count == 0 ? T(0) : T(1) / static_cast<T>(count);
}

constexpr std::size_t kRoomForScales = kMostTargets + 2 * LanePattern::kMostLanes;

// The scales of a piece of a line. They rarely change from line to line, and divisions are slow.
template <class T>
class LineScales {
  public:
    const T* of(const PoolGeometry& g, const Divisor& divisor, const WindowLine& at) {
        const index_t lines = counted(divisor, g.axes[0], at.depth) * counted(divisor, g.axes[1], at.height);
        if (lines == lines_ && at.first == first_ && at.targets == targets_) return scales_.data();
        lines_ = lines, first_ = at.first, targets_ = at.targets;
        for (index_t q = 0; q < at.targets; ++q)
            scales_[static_cast<std::size_t>(q)] =
                inverse<T>(divisor, lines * counted(divisor, g.axes[2], at.first + q));
        return scales_.data();
    }

  private:
    index_t lines_ = -1, first_ = -1, targets_ = -1;
    std::array<T, kRoomForScales> scales_{};
};

// Factors of the outputs of an axis, so that those that a position of the input meets, `step` apart, are neighbours.
template <class T>
class AxisFactors {
  public:
    AxisFactors(const Divisor& divisor, const Axis& axis, index_t step) : step_(step) {
        first_.push_back(0);
        for (index_t residue = 0; residue < std::min(step, axis.output); ++residue) {
            for (index_t q = residue; q < axis.output; q += step)
                factors_.push_back(inverse<T>(divisor, counted(divisor, axis, q)));
            first_.push_back(static_cast<index_t>(factors_.size()));
        }
    }

    const T* from(index_t output) const {
        return factors_.data() + first_[static_cast<std::size_t>(output % step_)] + output / step_;
    }

  private:
    index_t step_;
    std::vector<index_t> first_;
    std::vector<T> factors_;
};

double average_work(const PoolGeometry& g) {
    double taps = 1;
    for (const Axis& axis : g.axes) taps *= static_cast<double>(std::min(axis.kernel, axis.input));
    const auto inputs = static_cast<double>(g.input_pixels()), outputs = static_cast<double>(g.output_pixels());
    return static_cast<double>(g.batch * g.channels) * (inputs + outputs * (1 + taps));
}

// If all windows have the same factor: that of any.
template <class T>
std::optional<T> common_scale(const PoolGeometry& g, const Divisor& divisor) {
    index_t count = 1;
    for (const Axis& axis : g.axes) {
        const index_t first = axis.output == 0 ? 0 : counted(divisor, axis, 0);
        for (index_t q = 1; q < axis.output; ++q)
            if (counted(divisor, axis, q) != first) return std::nullopt;
        count *= first;
    }
    return inverse<T>(divisor, count);
}

}  // namespace

template <class T>
void avg_pool_forward(const PoolGeometry& g, const Divisor& divisor, const TensorView<const T>& input, T* output) {
    const Axis &d = g.axes[0], &h = g.axes[1], &w = g.axes[2];
    const auto span_of = [&](std::size_t axis, index_t q) { return input_span(g.axes[axis], q); };
    const std::array<index_t, kAxes> dilation{d.dilation, h.dilation, w.dilation};
    std::vector<LineScales<T>> scales;  // by worker
    const auto average = [&](const TensorView<const T>& source, const WindowLine& at, int worker, T* target,
                             index_t target_step) {
        PoolLine<T> line = pool_line(at, source, dilation);
        line.target = target;
        line.target_step = target_step;
        kernels<T>().average_line(line, scales[static_cast<std::size_t>(worker)].of(g, divisor, at));
    };
    const std::array<index_t, kAxes> extents{d.output, h.output, w.output};
    if (input.channel_stride != 1) {
        const PlaneGrid grid(g.batch, g.axes, g.channels, sizeof(T), average_work(g));
        scales.resize(static_cast<std::size_t>(grid.threads));
        pool_planes(grid, g.axes, span_of, input, output, nullptr,
                    [&](const TensorView<const T>& source, const WindowLine& at, int worker, T* target, index_t*,
                        index_t target_step) { average(source, at, worker, target, target_step); });
        return;
    }
    const LineGrid grid(g.batch, extents, g.channels, sizeof(T), average_work(g));
    const Targets<T> targets(grid, output);
    scales.resize(static_cast<std::size_t>(grid.threads));
    for_each_line(grid, w.dilation, span_of, [&](const WindowLine& at, int worker) {
        average(input, at, worker, targets.begin(at, worker), g.channels);
        targets.finish(at, worker);
    });
}

template <class T>
void avg_pool_backward(const PoolGeometry& g, const Divisor& divisor, const T* grad_output, T* grad_input) {
    const Axis &d = g.axes[0], &h = g.axes[1], &w = g.axes[2];
    const LineGrid grid(g.batch, {d.input, h.input, w.input}, g.channels, sizeof(T), average_work(g));
    const Targets<T> targets(grid, grad_input);
    const TensorView<const T> source = contiguous_view(grad_output, {d.output, h.output, w.output}, g.channels);
    const auto span_of = [&](std::size_t axis, index_t p) { return output_span(g.axes[axis], p); };

    const std::optional<T> scale = common_scale<T>(g, divisor);
    std::vector<T> same(kRoomForScales, scale.value_or(T(0)));
    // Otherwise the factors of the windows, as products of one for each axis. A kernel counts lines, and pixels by
    // their place.
    const std::array<index_t, kAxes> steps{output_step(d), output_step(h), output_step(w)};
    const AxisFactors<T> depth(divisor, d, steps[0]), height(divisor, h, steps[1]), width(divisor, w, 1);
    for_each_line(grid, steps[2], span_of, [&](const WindowLine& at, int worker) {
        PoolLine<T> line = pool_line(at, source, steps);
        line.target = targets.begin(at, worker);
        line.target_step = g.channels;
        if (scale) {
            kernels<T>().average_line(line, same.data());
        } else {
            kernels<T>().weighted_line(line,
                                       {depth.from(at.lines[0].first), height.from(at.lines[1].first), width.from(0)});
        }
        targets.finish(at, worker);
    });
}

template <class T>
void average_rows(const T* matrix, index_t rows, index_t columns, T* averages) {
    const int threads = worthwhile_threads(4.0 * static_cast<double>(rows * columns), rows);
    const index_t rows_per_task = std::max<index_t>(rows / (8 * threads), 1);
    parallel_for(ceil_div(rows, rows_per_task), threads, [&](index_t task, int) {
        for (index_t row = task * rows_per_task; row < std::min((task + 1) * rows_per_task, rows); ++row)
            averages[row] = kernels<T>().sum_of(matrix + row * columns, columns) / static_cast<T>(columns);
    });
}

template void average_rows(const float*, index_t, index_t, float*);
template void average_rows(const double*, index_t, index_t, double*);
template void avg_pool_forward(const PoolGeometry&, const Divisor&, const TensorView<const float>&, float*);
template void avg_pool_forward(const PoolGeometry&, const Divisor&, const TensorView<const double>&, double*);
template void avg_pool_backward(const PoolGeometry&, const Divisor&, const float*, float*);
template void avg_pool_backward(const PoolGeometry&, const Divisor&, const double*, double*);

}  // namespace fastconv

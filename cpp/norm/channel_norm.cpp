// What a value is multiplied with and what is added to it is worked out by channel, in double precision; then one sweep
// applies it. Ioffe and Szegedy, "Batch normalization", ICML 2015; Wu and He, "Group normalization", ECCV 2018.
#include "norm/channel_norm.h"

#include <vector>

#include "core/isa.h"
#include "core/memory.h"
#include "core/threads.h"
#include "elementwise/activation.h"
#include "norm/moments.h"
#include "norm/rows.h"

namespace fastconv {
namespace {

// What a sweep needs of every sample and column.
template <class T, int count>
class Coefficients {
  public:
    Coefficients(const ChannelGeometry& geometry, const JoinedRows& rows)
        : geometry_(geometry), columns_(rows.columns) {
        size_ = geometry.samples * columns_;
        data_ = carve_buffer(buffer_, [&](Arena& arena) { return arena.take<T>(count * size_); });
    }

    // For a channel of a sample, in all pixels of a row.
    void set(index_t sample, index_t channel, const double (&values)[count]) {
        for (int i = 0; i < count; ++i)
            for (index_t c = channel; c < columns_; c += geometry_.channels)
                data_[i * size_ + sample * columns_ + c] = static_cast<T>(values[i]);
    }

    const T* of(int which, index_t sample) const { return data_ + which * size_ + sample * columns_; }

  private:
    const ChannelGeometry& geometry_;
    index_t columns_, size_;
    Buffer buffer_;
    T* data_;
};

// Calls visit(sample, first value, rows, columns) for all pieces of all samples, in parallel.
template <class Visit>
void for_each_piece(const ChannelGeometry& g, const JoinedRows& rows, const Visit& visit) {
    const double values = static_cast<double>(g.samples) * static_cast<double>(g.sample_size());
    const index_t tasks = g.samples * rows.tasks;
    parallel_for(tasks, worthwhile_threads(4.0 * values, tasks), [&](index_t task, int) {
        const index_t sample = task / rows.tasks;
        rows.visit(task % rows.tasks, [&](index_t first, index_t count, index_t columns) {
            visit(sample, sample * g.sample_size() + first, count, columns);
        });
    });
}

double value_or(const float* values, index_t i, double otherwise) { return values == nullptr ? otherwise : values[i]; }
double value_or(const double* values, index_t i, double otherwise) { return values == nullptr ? otherwise : values[i]; }

}  // namespace

template <class T>
void channel_norm_forward(const ChannelGeometry& g, const T* input, const Statistics& statistics,
                          const Affine<T>& affine, ActivationKind activation, T* output) {
    const JoinedRows rows(g.pixels, g.channels, 0);
    // A mean is subtracted as a T, which is exact for values near it; the rest of it goes to the offset.
    enum { kCenter, kFactor, kOffset, kCount };
    Coefficients<T, kCount> coefficients(g, rows);
    for (index_t sample = 0; sample < g.samples; ++sample)
        for (index_t c = 0; c < g.channels; ++c) {
            const index_t at = sample * g.groups + c / g.channels_per_group();
            const double mean = statistics.mean[at], center = static_cast<double>(static_cast<T>(mean));
            const double factor = statistics.inverse_std[at] * value_or(affine.scale, c, 1);
            coefficients.set(sample, c, {center, factor, (center - mean) * factor + value_or(affine.bias, c, 0)});
        }
    const bool relu = activation == ActivationKind::kRelu, other = !relu && activation != ActivationKind::kNone;
    for_each_piece(g, rows, [&](index_t sample, index_t first, index_t count, index_t columns) {
        const ElementKernels<T>& table = element_kernels<T>();
        table.scale_rows({{input + first, count, columns},
                          coefficients.of(kCenter, sample),
                          coefficients.of(kFactor, sample),
                          coefficients.of(kOffset, sample),
                          relu,
                          output + first});
        if (other) table.activate(activation, output + first, count * columns, T(kLeakySlope), output + first);
    });
}

// With h = g * scale and n = (input - mean) * inverse_std, the gradient of the input is inverse_std * (h - mean(h) -
// n * mean(h * n)), and that is linear in g and in the input. Sums over n come from sums over input - center.
template <class T>
void channel_norm_backward(const ChannelGeometry& g, const ChannelNormBackward<T>& pass) {
    std::vector<double> sums(static_cast<std::size_t>(g.samples * g.channels)), products(sums.size());
    gradient_sums(g, pass, sums.data(), products.data());
    const JoinedRows rows(g.pixels, g.channels, 0);
    enum { kCenter, kFactor, kSlope, kOffset, kCount };
    Coefficients<T, kCount> coefficients(g, rows);
    std::vector<double> grad_scale(static_cast<std::size_t>(g.channels)), grad_bias(grad_scale.size());
    const double count = static_cast<double>(g.values_per_statistic());

    for (index_t at = 0; at < g.statistics(); ++at) {
        const index_t sample = at / g.groups, group = at % g.groups;
        const double mean = pass.statistics.mean[at], inverse_std = pass.statistics.inverse_std[at];
        const double center = static_cast<double>(static_cast<T>(mean));
        const index_t first = group * g.channels_per_group(), last = first + g.channels_per_group();
        double sum = 0, product = 0;  // of h, and of h * n
        for (index_t c = first; c < last; ++c) {
            const auto channel = static_cast<std::size_t>(c), here = static_cast<std::size_t>(sample * g.channels + c);
            const double scale = value_or(pass.scale, c, 1);
            const double normalized = (products[here] + (center - mean) * sums[here]) * inverse_std;
            grad_scale[channel] += normalized;
            grad_bias[channel] += sums[here];
            sum += scale * sums[here];
            product += scale * normalized;
        }
        const double slope = -inverse_std * inverse_std * product / count;
        const double offset = -inverse_std * sum / count + slope * (center - mean);
        for (index_t c = first; c < last; ++c)
            coefficients.set(sample, c, {center, inverse_std * value_or(pass.scale, c, 1), slope, offset});
    }
    if (pass.grad_scale != nullptr)
        std::transform(grad_scale.begin(), grad_scale.end(), pass.grad_scale,
                       [](double v) { return static_cast<T>(v); });
    if (pass.grad_bias != nullptr)
        std::transform(grad_bias.begin(), grad_bias.end(), pass.grad_bias, [](double v) { return static_cast<T>(v); });
    if (pass.grad_input == nullptr) return;
    for_each_piece(g, rows, [&](index_t sample, index_t first, index_t row_count, index_t columns) {
        const T* output = pass.output == nullptr ? nullptr : pass.output + first;
        element_kernels<T>().combine_gradients({{pass.grad_output + first, row_count, columns},
                                                pass.constant_statistics ? nullptr : pass.input + first,
                                                output,
                                                coefficients.of(kCenter, sample)},
                                               coefficients.of(kFactor, sample), coefficients.of(kSlope, sample),
                                               coefficients.of(kOffset, sample), pass.grad_input + first);
    });
}

template void channel_norm_forward(const ChannelGeometry&, const float*, const Statistics&, const Affine<float>&,
                                   ActivationKind, float*);
template void channel_norm_forward(const ChannelGeometry&, const double*, const Statistics&, const Affine<double>&,
                                   ActivationKind, double*);
template void channel_norm_backward(const ChannelGeometry&, const ChannelNormBackward<float>&);
template void channel_norm_backward(const ChannelGeometry&, const ChannelNormBackward<double>&);

}  // namespace fastconv

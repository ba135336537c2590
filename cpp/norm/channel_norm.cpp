// What a value is multiplied with and what is added to it is worked out by channel, in double precision; then one sweep
// applies it. Ioffe and Szegedy, "Batch normalization", ICML 2015; Wu and He, "Group normalization", ECCV 2018.
#include "norm/channel_norm.h"

#include <optional>
#include <vector>

#include "core/isa.h"
#include "core/memory.h"
#include "core/threads.h"
#include "elementwise/activation.h"
#include "elementwise/streamed.h"
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

// Of the forward pass. A mean is subtracted as a T, which is exact for values near it; the rest of it goes to the
// offset.
template <class T>
class Scaling : public Coefficients<T, 3> {
  public:
    enum { kCenter, kFactor, kOffset };

    Scaling(const ChannelGeometry& g, const JoinedRows& rows, const Statistics& statistics, const Affine<T>& affine)
        : Coefficients<T, 3>(g, rows) {
        for (index_t sample = 0; sample < g.samples; ++sample)
            for (index_t c = 0; c < g.channels; ++c) {
                const index_t at = sample * g.groups + c / g.channels_per_group();
                const double mean = statistics.mean[at], center = static_cast<double>(static_cast<T>(mean));
                const double factor = statistics.inverse_std[at] * value_or(affine.scale, c, 1);
                this->set(sample, c, {center, factor, (center - mean) * factor + value_or(affine.bias, c, 0)});
            }
    }
};

// The gradient of scale or bias: sums over the samples, in order.
template <class T>
void add_samples(const ChannelGeometry& g, const std::vector<double>& values, T* gradient) {
    if (gradient == nullptr) return;
    std::vector<double> sums(static_cast<std::size_t>(g.channels));
    for (std::size_t i = 0; i < values.size(); ++i) sums[i % sums.size()] += values[i];
    for (std::size_t c = 0; c < sums.size(); ++c) gradient[c] = static_cast<T>(sums[c]);
}

}  // namespace

template <class T>
void channel_norm_forward(const ChannelGeometry& g, const T* input, const Statistics& statistics,
                          const Affine<T>& affine, const T* addend, ActivationKind activation, T* output) {
    const JoinedRows rows(g.pixels, g.channels, 0);
    const Scaling<T> coefficients(g, rows, statistics, affine);
    constexpr int kCenter = Scaling<T>::kCenter, kFactor = Scaling<T>::kFactor, kOffset = Scaling<T>::kOffset;
    const bool relu = activation == ActivationKind::kRelu, other = !relu && activation != ActivationKind::kNone;
    const bool stream = output != input && worth_streaming<T>(g.samples * g.sample_size());
    for_each_piece(g, rows, [&](index_t sample, index_t first, index_t count, index_t columns) {
        const ElementKernels<T>& table = element_kernels<T>();
        write_values(stream, count * columns, columns, output + first, [&](index_t at, index_t values, T* target) {
            table.scale_rows({{input + first + at, values / columns, columns},
                              coefficients.of(kCenter, sample),
                              coefficients.of(kFactor, sample),
                              coefficients.of(kOffset, sample),
                              addend == nullptr ? nullptr : addend + first + at,
                              relu,
                              target});
            if (other) table.activate(activation, target, values, T(kLeakySlope), target);
        });
    });
}

// With h = g * scale and n = (input - mean) * inverse_std, the gradient of the input is inverse_std * (h - mean(h) -
// n * mean(h * n)), and that is linear in g and in the input. Sums over n come from sums over input - center.
template <class T>
void channel_norm_backward(const ChannelGeometry& g, const ChannelNormBackward<T>& pass) {
    std::vector<double> sums(static_cast<std::size_t>(g.samples * g.channels)), products(sums.size());
    const JoinedRows rows(g.pixels, g.channels, 0);
    const bool again = pass.relu && pass.output == nullptr;
    std::optional<Scaling<T>> forward;
    if (again) forward.emplace(g, rows, pass.statistics, pass.affine);
    const auto relu = [&](int which, index_t sample) { return again ? forward->of(which, sample) : nullptr; };
    gradient_sums(g, pass, relu(Scaling<T>::kFactor, 0), relu(Scaling<T>::kOffset, 0), sums.data(), products.data());
    enum { kCenter, kFactor, kSlope, kOffset, kCount };
    Coefficients<T, kCount> coefficients(g, rows);
    const double count = static_cast<double>(g.values_per_statistic());
    const double work = 64.0 * static_cast<double>(g.samples * rows.columns);
    parallel_for(g.statistics(), worthwhile_threads(work, g.statistics()), [&](index_t at, int) {
        const index_t sample = at / g.groups, group = at % g.groups;
        const double mean = pass.statistics.mean[at], inverse_std = pass.statistics.inverse_std[at];
        const double center = static_cast<double>(static_cast<T>(mean));
        const index_t first = group * g.channels_per_group(), last = first + g.channels_per_group();
        double sum = 0, product = 0;  // of h, and of h * n
        for (index_t c = first; c < last; ++c) {
            const auto here = static_cast<std::size_t>(sample * g.channels + c);
            const double scale = value_or(pass.affine.scale, c, 1);
            products[here] = (products[here] + (center - mean) * sums[here]) * inverse_std;  // of n from here on
            sum += scale * sums[here];
            product += scale * products[here];
        }
        const double slope = -inverse_std * inverse_std * product / count;
        const double offset = -inverse_std * sum / count + slope * (center - mean);
        for (index_t c = first; c < last; ++c)
            coefficients.set(sample, c, {center, inverse_std * value_or(pass.affine.scale, c, 1), slope, offset});
    });
    add_samples(g, products, pass.grad_scale);
    add_samples(g, sums, pass.grad_bias);
    if (pass.grad_input == nullptr) return;
    const bool stream = worth_streaming<T>(g.samples * g.sample_size());
    for_each_piece(g, rows, [&](index_t sample, index_t first, index_t row_count, index_t columns) {
        write_values(stream, row_count * columns, columns, pass.grad_input + first,
                     [&](index_t at, index_t values, T* target) {
            const index_t here = first + at;
            element_kernels<T>().combine_gradients({{pass.grad_output + here, values / columns, columns},
                                                    pass.input + here,
                                                    pass.output == nullptr ? nullptr : pass.output + here,
                                                    coefficients.of(kCenter, sample),
                                                    relu(Scaling<T>::kFactor, sample),
                                                    relu(Scaling<T>::kOffset, sample)},
                                                   coefficients.of(kFactor, sample),
                                                   pass.constant_statistics ? nullptr : coefficients.of(kSlope, sample),
                                                   coefficients.of(kOffset, sample), target);
        });
    });
}

template void channel_norm_forward(const ChannelGeometry&, const float*, const Statistics&, const Affine<float>&,
                                   const float*, ActivationKind, float*);
template void channel_norm_forward(const ChannelGeometry&, const double*, const Statistics&, const Affine<double>&,
                                   const double*, ActivationKind, double*);
template void channel_norm_backward(const ChannelGeometry&, const ChannelNormBackward<float>&);
template void channel_norm_backward(const ChannelGeometry&, const ChannelNormBackward<double>&);

}  // namespace fastconv

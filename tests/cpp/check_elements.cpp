// Activations and normalizations without Python: every instruction set against plain loops in double precision, for
// sizes that do and don't fill vectors. Like check_core.cpp, for machines that have no Python to test with.
#include <cmath>
#include <cstdio>
#include <functional>
#include <limits>
#include <random>
#include <vector>

#include "core/isa.h"
#include "elementwise/activation.h"
#include "norm/channel_norm.h"
#include "norm/layer_norm.h"
#include "norm/local_response.h"

namespace fastconv {
namespace {

int checks = 0, failures = 0;

// Within `tolerance` eps of the expected numbers, relative to them or to 1, NaN where NaN is expected.
template <class T>
void check(const char* name, index_t size, const std::vector<T>& found, const std::vector<double>& expected,
           double tolerance) {
    ++checks;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        const double value = static_cast<double>(found[i]), size_of_error = std::max(std::abs(expected[i]), 1.0);
        const bool same = value == expected[i] || (std::isnan(value) && std::isnan(expected[i]));
        const double allowed = tolerance * static_cast<double>(std::numeric_limits<T>::epsilon()) * size_of_error;
        if (same || std::abs(value - expected[i]) <= allowed) continue;
        ++failures;
        std::printf("FAILED: %s, %s, %zu bytes a value, size %d, at %zu: %.17g, expected %.17g\n", name,
                    current_kernels().name, sizeof(T), static_cast<int>(size), i, value, expected[i]);
        return;
    }
}

template <class T>
std::vector<T> numbers(index_t size, unsigned seed, double scale) {
    std::mt19937 generator(seed);
    std::vector<T> values(static_cast<std::size_t>(size));
    for (T& value : values) value = static_cast<T>((static_cast<double>(generator() % 20001) / 10000 - 1) * scale);
    return values;
}

struct Function {
    const char* name;
    ActivationKind kind;
    std::function<double(double)> value, slope;
};

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double normal(double x) { return std::erfc(-x / std::sqrt(2.0)) / 2; }
double density(double x) { return std::exp(-x * x / 2) / std::sqrt(2 * 3.141592653589793); }
double clip(double x) { return std::isnan(x) ? x : std::min(std::max(x, 0.0), 6.0); }

const Function kFunctions[] = {
    {"relu", ActivationKind::kRelu, [](double x) { return x <= 0 ? 0 : x; },
     [](double x) { return x > 0 ? 1.0 : 0.0; }},
    {"relu6", ActivationKind::kRelu6, clip, [](double x) { return x > 0 && x < 6 ? 1.0 : 0.0; }},
    {"leaky_relu", ActivationKind::kLeakyRelu, [](double x) { return x > 0 ? x : x / 4; },
     [](double x) { return x > 0 ? 1.0 : 0.25; }},
    {"sigmoid", ActivationKind::kSigmoid, sigmoid, [](double x) { return sigmoid(x) * sigmoid(-x); }},
    {"tanh", ActivationKind::kTanh, [](double x) { return std::tanh(x); },
     [](double x) { return 1 / std::cosh(x) / std::cosh(x); }},
    {"silu", ActivationKind::kSilu, [](double x) { return x == -INFINITY ? 0 : x * sigmoid(x); },
     [](double x) { return sigmoid(x) * (1 + x * sigmoid(-x)); }},
    {"hardswish", ActivationKind::kHardswish, [](double x) { return x < -3 ? 0 : x * (clip(x + 3) / 6); },
     [](double x) { return x <= -3  ? 0.0
                           : x >= 3 ? 1.0
                                    : (2 * x + 3) / 6; }},
    {"gelu", ActivationKind::kGelu, [](double x) { return x == -INFINITY ? 0 : x * normal(x); },
     [](double x) { return normal(x) + x * density(x); }},
};

template <class T>
void check_activations() {
    for (const Function& function : kFunctions)
        for (const index_t size : {1, 3, 8, 17, 64, 203}) {
            auto x = numbers<T>(size, static_cast<unsigned>(size), 12);
            const auto g = numbers<T>(size, 7, 1);
            std::vector<double> values, slopes;
            for (std::size_t i = 0; i < x.size(); ++i) {
                values.push_back(function.value(static_cast<double>(x[i])));
                slopes.push_back(static_cast<double>(g[i]) * function.slope(static_cast<double>(x[i])));
            }
            std::vector<T> y(x.size()), dx(x.size());
            activate<T>(function.kind, x.data(), size, y.data(), T(0.25));
            check(function.name, size, y, values, 8);
            const T* saved = gradient_needs_input(function.kind) ? x.data() : y.data();
            activation_backward<T>(function.kind, g.data(), saved, size, dx.data(), T(0.25));
            check(function.name, size, dx, slopes, 8);
            const T infinity = std::numeric_limits<T>::infinity();
            const std::vector<T> special{T(0), infinity, -infinity, std::numeric_limits<T>::quiet_NaN()};
            values.clear();
            for (const T value : special) values.push_back(function.value(static_cast<double>(value)));
            std::vector<T> limits(special.size());
            activate<T>(function.kind, special.data(), 4, limits.data(), T(0.25));
            check(function.name, 4, limits, values, 0);
        }
}

// What normalizations compute, for rows of pixels and groups of neighbouring channels, and with it their gradients.
struct Plain {
    ChannelGeometry g;
    std::vector<double> x, dy, scale, bias;
    std::vector<double> mean, inverse_std, y, dx, dscale, dbias;

    template <class T>
    Plain(const ChannelGeometry& geometry, const std::vector<T>& input, const std::vector<T>& gradient,
          const std::vector<T>& factor, const std::vector<T>& offset)
        : g(geometry),
          x(input.begin(), input.end()),
          dy(gradient.begin(), gradient.end()),
          scale(factor.begin(), factor.end()),
          bias(offset.begin(), offset.end()),
          y(x.size()),
          dx(x.size()),
          dscale(scale.size()),
          dbias(scale.size()) {
        for (index_t sample = 0; sample < g.samples; ++sample)
            for (index_t group = 0; group < g.groups; ++group) normalize(sample, group);
    }

    template <class Visit>
    void for_each(index_t sample, index_t group, const Visit& visit) const {
        const index_t first = group * g.channels_per_group();
        for (index_t pixel = 0; pixel < g.pixels; ++pixel)
            for (index_t c = first; c < first + g.channels_per_group(); ++c)
                visit(static_cast<std::size_t>(sample * g.sample_size() + pixel * g.channels + c),
                      static_cast<std::size_t>(c));
    }

    void normalize(index_t sample, index_t group) {
        const double count = static_cast<double>(g.values_per_statistic());
        double sum = 0, squares = 0, of_h = 0, of_hn = 0;
        for_each(sample, group, [&](std::size_t i, std::size_t) { sum += x[i]; });
        mean.push_back(sum / count);
        for_each(sample, group, [&](std::size_t i, std::size_t) { squares += std::pow(x[i] - mean.back(), 2); });
        inverse_std.push_back(1 / std::sqrt(squares / count + 1e-3));
        const auto normalized = [&](std::size_t i) { return (x[i] - mean.back()) * inverse_std.back(); };
        for_each(sample, group, [&](std::size_t i, std::size_t c) {
            y[i] = normalized(i) * scale[c] + bias[c];
            dscale[c] += dy[i] * normalized(i);
            dbias[c] += dy[i];
            of_h += dy[i] * scale[c] / count;
            of_hn += dy[i] * scale[c] * normalized(i) / count;
        });
        for_each(sample, group, [&](std::size_t i, std::size_t c) {
            dx[i] = inverse_std.back() * (dy[i] * scale[c] - of_h - normalized(i) * of_hn);
        });
    }
};

template <class T>
void check_normalizations() {
    const ChannelGeometry geometries[] = {{1, 143, 3, 3}, {1, 70, 17, 17}, {3, 25, 6, 2},   {2, 1, 40, 4},
                                          {2, 200, 1, 1}, {1, 5, 300, 1},  {4, 30, 64, 64}, {1, 9, 261, 261}};
    for (const ChannelGeometry& g : geometries) {
        const index_t size = g.samples * g.sample_size();
        auto x = numbers<T>(size, 1, 2);
        const auto dy = numbers<T>(size, 2, 1), scale = numbers<T>(g.channels, 3, 1),
                   bias = numbers<T>(g.channels, 4, 1);
        for (T& value : x) value += 3;
        const Plain plain(g, x, dy, scale, bias);
        const Statistics statistics{plain.mean.data(), plain.inverse_std.data()};
        std::vector<double> mean(plain.mean.size()), variance(mean.size());
        channel_moments<T>(g, x.data(), mean.data(), variance.data());
        for (double& value : variance) value = 1 / std::sqrt(value + 1e-3);
        std::vector<T> y(x.size()), dx(x.size()), dscale(scale.size()), dbias(scale.size());
        check("mean", g.channels, std::vector<T>(mean.begin(), mean.end()), plain.mean, 32);
        check("deviation", g.channels, std::vector<T>(variance.begin(), variance.end()), plain.inverse_std, 8);
        channel_norm_forward<T>(g, x.data(), statistics, {scale.data(), bias.data()}, nullptr, ActivationKind::kNone,
                                y.data());
        check("channel_norm", g.channels, y, plain.y, 8);
        channel_norm_backward<T>(g, {dy.data(),
                                     x.data(),
                                     nullptr,
                                     statistics,
                                     {scale.data(), bias.data()},
                                     false,
                                     false,
                                     dx.data(),
                                     dscale.data(),
                                     dbias.data()});
        check("channel_norm, gradient of the input", g.channels, dx, plain.dx, 200);
        check("channel_norm, gradient of the scale", g.channels, dscale, plain.dscale, 100);
        check("channel_norm, gradient of the bias", g.channels, dbias, plain.dbias, 100);

        const index_t rows = size / g.channels;
        const Plain by_row({rows, 1, g.channels, 1}, x, dy, scale, bias);
        const NormalizedRows<T> block{{x.data(), rows, g.channels}, scale.data(), bias.data(), 1e-3};
        layer_norm_forward<T>(block, y.data());
        check("layer_norm", g.channels, y, by_row.y, 16);
        layer_norm_backward<T>(block, dy.data(), dx.data(), dscale.data(), dbias.data());
        check("layer_norm, gradient of the input", g.channels, dx, by_row.dx, 400);
        check("layer_norm, gradient of the scale", g.channels, dscale, by_row.dscale, 100);
        check("layer_norm, gradient of the bias", g.channels, dbias, by_row.dbias, 100);
    }
}

template <class T>
void check_local_response() {
    for (const index_t channels : {1, 4, 17, 64, 100})
        for (const double exponent : {0.75, 0.5, 1.0, 0.6}) {
            const index_t rows = 5, before = 2, after = 3;
            const auto x = numbers<T>(rows * channels, 1, 2), dy = numbers<T>(rows * channels, 2, 1);
            std::vector<double> y, base, dx(x.size());
            for (index_t i = 0; i < rows * channels; ++i) {
                double sum = 2;
                for (index_t d = -before; d <= after; ++d)
                    if (i % channels + d >= 0 && i % channels + d < channels)
                        sum += 0.5 * std::pow(static_cast<double>(x[static_cast<std::size_t>(i + d)]), 2);
                base.push_back(sum);
                y.push_back(static_cast<double>(x[static_cast<std::size_t>(i)]) * std::pow(sum, -exponent));
            }
            for (index_t i = 0; i < rows * channels; ++i) {
                const auto at = static_cast<std::size_t>(i);
                dx[at] += static_cast<double>(dy[at]) * std::pow(base[at], -exponent);
                for (index_t d = -before; d <= after; ++d)
                    if (i % channels + d >= 0 && i % channels + d < channels)
                        dx[static_cast<std::size_t>(i + d)] -= static_cast<double>(x[static_cast<std::size_t>(i + d)]) *
                                                               static_cast<double>(dy[at]) * exponent * y[at] /
                                                               base[at];
            }
            const LocalResponse<T> block{{x.data(), rows, channels}, before, after, T(2), T(0.5),
                                         static_cast<T>(exponent),   nullptr};
            std::vector<T> found(x.size());
            local_response_forward<T>(block, found.data());
            check("local_response", channels, found, y, 16);
            local_response_backward<T>(block, dy.data(), found.data());
            check("local_response, gradient", channels, found, dx, 32);
        }
}

template <class T>
void check_all() {
    check_activations<T>();
    check_normalizations<T>();
    check_local_response<T>();
}

}  // namespace
}  // namespace fastconv

int main() {
    for (const std::string& isa : fastconv::available_isas()) {
        fastconv::set_isa(isa);
        fastconv::check_all<float>();
        fastconv::check_all<double>();
        std::printf("%s: checked\n", isa.c_str());
    }
    std::printf("%d passed, %d failed\n", fastconv::checks - fastconv::failures, fastconv::failures);
    return fastconv::failures == 0 ? 0 : 1;
}

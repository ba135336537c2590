// Pooling and resampling without Python: every instruction set against plain loops, on integers, whose sums are exact.
// Like check_core.cpp, for machines that have no Python to test with.
#include <cmath>
#include <cstdio>
#include <limits>
#include <random>
#include <vector>

#include "core/isa.h"
#include "pool/pool.h"
#include "pool/windows.h"
#include "resample/resample.h"

namespace fastconv {
namespace {

struct Case {
    const char* name;
    Shape input, kernel, stride, dilation, before, after;
    bool ceil_mode;
};

const Case kCases[] = {
    {"plain", {2, 8, 6, 16}, {2, 2}, {}, {1, 1}, {0, 0}, {0, 0}, false},
    {"overlapping", {1, 15, 14, 17}, {3, 3}, {2, 2}, {1, 1}, {1, 1}, {1, 1}, false},
    {"one channel", {2, 9, 11, 1}, {3, 2}, {1, 2}, {1, 1}, {1, 0}, {0, 1}, false},
    {"many channels", {1, 5, 6, 300}, {2, 3}, {1, 1}, {1, 1}, {0, 0}, {0, 0}, false},
    {"dilated", {1, 13, 15, 33}, {3, 4}, {2, 2}, {4, 2}, {3, 3}, {3, 3}, false},
    {"stride and dilation share a factor", {2, 23, 21, 8}, {3, 3}, {6, 4}, {4, 6}, {5, 5}, {5, 5}, false},
    {"padding beyond the kernel", {1, 3, 4, 9}, {2, 2}, {1, 1}, {1, 1}, {4, 0}, {1, 5}, false},
    {"rounded up", {1, 8, 11, 20}, {3, 3}, {2, 2}, {1, 1}, {0, 1}, {0, 1}, true},
};

int checks = 0, failures = 0;

// Equal, or off by a few roundings where averages are divided.
template <class T>
void check(const char* name, const char* what, const std::vector<T>& found, const std::vector<T>& expected,
           double allowed = 0) {
    ++checks;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        if (found[i] == expected[i]) continue;
        const double error = std::abs(static_cast<double>(found[i]) - static_cast<double>(expected[i]));
        if (error <= allowed * static_cast<double>(std::numeric_limits<T>::epsilon())) continue;
        ++failures;
        std::printf("FAILED: %s, %s, %s, %zu bytes a value, at %zu: %.17g, expected %.17g\n", name, what,
                    current_kernels().name, sizeof(T), i, static_cast<double>(found[i]),
                    static_cast<double>(expected[i]));
        return;
    }
}

template <class T>
std::vector<T> integers(index_t size, unsigned seed) {
    std::mt19937 generator(seed);
    std::vector<T> values(static_cast<std::size_t>(size));
    for (T& value : values) value = static_cast<T>(static_cast<int>(generator() % 7) - 3);
    return values;
}

// Calls visit(output, first pixel of the image, pixel in it, pixels of the window) wherever a window meets the input.
template <class SpanOf, class Visit>
void for_each_meeting(const PooledShape& g, const SpanOf& span_of, const Visit& visit) {
    const Axis &h = g.axes[1], &w = g.axes[2];
    for (index_t n = 0; n < g.batch; ++n)
        for (index_t p = 0; p < h.output * w.output; ++p) {
            const Span rows = span_of(h, p / w.output), columns = span_of(w, p % w.output);
            for (index_t i = 0; i < rows.count; ++i)
                for (index_t j = 0; j < columns.count; ++j) {
                    const index_t y = rows.first + i * h.dilation, x = columns.first + j * w.dilation;
                    visit(n * h.output * w.output + p, n * h.input * w.input, y * w.input + x,
                          rows.count * columns.count);
                }
        }
}

std::size_t at(index_t pixel, index_t channels, index_t c) { return static_cast<std::size_t>(pixel * channels + c); }

template <class T, class Geometry, class SpanOf, class Forward, class Backward>
void check_maxima(const char* name, const Geometry& g, const SpanOf& span_of, const Forward& forward,
                  const Backward& backward) {
    const auto x = integers<T>(g.batch * g.input_pixels() * g.channels, 1);
    const auto dy = integers<T>(g.batch * g.output_pixels() * g.channels, 2);
    std::vector<T> y(dy.size(), -std::numeric_limits<T>::infinity()), dx(x.size()), y_got(y.size()), dx_got(x.size());
    std::vector<index_t> places(y.size(), -1), places_got(y.size());
    for_each_meeting(g, span_of, [&](index_t output, index_t image, index_t pixel, index_t) {
        for (index_t c = 0; c < g.channels; ++c) {
            const std::size_t o = at(output, g.channels, c), i = at(image + pixel, g.channels, c);
            if (places[o] == -1 || x[i] > y[o]) y[o] = x[i], places[o] = pixel;
        }
    });
    for (index_t output = 0; output < g.batch * g.output_pixels(); ++output)
        for (index_t c = 0; c < g.channels; ++c) {
            const std::size_t o = at(output, g.channels, c);
            const index_t image = output / g.output_pixels() * g.input_pixels();
            if (places[o] != -1) dx[at(image + places[o], g.channels, c)] += dy[o];
        }
    forward(contiguous_view<const T>(x.data(), g.input_extents(), g.channels), y_got.data(), places_got.data());
    backward(dy.data(), places_got.data(), dx_got.data());
    check(name, "maxima", y_got, y);
    check(name, "indices", places_got, places);
    check(name, "gradient of maxima", dx_got, dx);
}

template <class T>
void check_averages(const char* name, const PoolGeometry& g, const Divisor& divisor, double allowed) {
    const auto x = integers<T>(g.batch * g.input_pixels() * g.channels, 3);
    const auto dy = integers<T>(g.batch * g.output_pixels() * g.channels, 4);
    std::vector<T> y(dy.size()), dx(x.size()), y_got(y.size()), dx_got(x.size());
    for_each_meeting(g, input_span, [&](index_t output, index_t image, index_t pixel, index_t count) {
        const T share = T(1) / static_cast<T>(divisor.override_with != 0 ? divisor.override_with : count);
        for (index_t c = 0; c < g.channels; ++c) {
            const std::size_t o = at(output, g.channels, c), i = at(image + pixel, g.channels, c);
            y[o] += x[i] * share;
            dx[i] += dy[o] * share;
        }
    });
    avg_pool_forward<T>(g, divisor, contiguous_view<const T>(x.data(), g.input_extents(), g.channels), y_got.data());
    avg_pool_backward<T>(g, divisor, dy.data(), dx_got.data());
    check(name, "averages", y_got, y, allowed);
    check(name, "gradient of averages", dx_got, dx, allowed);
}

template <class T>
void check_pooling(const Case& test) {
    const Sliding sliding(test.name, 2, test.stride, test.dilation, "", test.before, test.after, test.ceil_mode);
    const PoolGeometry g(PoolWindow(sliding, test.kernel), test.input);
    check_maxima<T>(test.name, g, input_span, [&](const TensorView<const T>& x, T* y, index_t* places) {
        max_pool_forward<T>(g, x, y, places);
    }, [&](const T* dy, const index_t* places, T* dx) { max_pool_backward<T>(g, dy, places, dx); });
    check_averages<T>(test.name, g, Divisor{true, 1}, 0);
    check_averages<T>(test.name, g, Divisor{false, 0}, 64);

    const AdaptiveGeometry a(test.name, {3, 4}, test.input);
    check_maxima<T>("adaptive", a, adaptive_span, [&](const TensorView<const T>& x, T* y, index_t* places) {
        adaptive_max_forward<T>(a, x, y, places);
    }, [&](const T* dy, const index_t* places, T* dx) { adaptive_max_backward<T>(a, dy, places, dx); });
}

// Rows of no, one, two and more entries, of any number of values.
template <class T>
void check_resampling(index_t inner) {
    const std::vector<index_t> start{0, 0, 1, 2, 4, 7}, index{2, 0, 1, 4, 3, 3, 0};
    const std::vector<T> weight{1, 2, -1, 3, 1, 2, -2};
    const index_t outer = 3, extent = 5, targets = 5;
    const auto source = integers<T>(outer * extent * inner, 5);
    std::vector<T> expected(static_cast<std::size_t>(outer * targets * inner)), found(expected.size());
    for (index_t o = 0; o < outer; ++o)
        for (index_t q = 0; q < targets; ++q)
            for (index_t j = start[static_cast<std::size_t>(q)]; j < start[static_cast<std::size_t>(q) + 1]; ++j)
                for (index_t c = 0; c < inner; ++c)
                    expected[at(o * targets + q, inner, c)] +=
                        weight[static_cast<std::size_t>(j)] *
                        source[at(o * extent + index[static_cast<std::size_t>(j)], inner, c)];
    apply_along_axis<T>({extent, targets, start.data(), index.data(), weight.data()}, outer, inner, source.data(),
                        found.data());
    check("resampling", "sums", found, expected);
}

template <class T>
void check_all() {
    for (const Case& test : kCases) check_pooling<T>(test);
    for (const index_t inner : {1, 2, 3, 4, 5, 33}) check_resampling<T>(inner);
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

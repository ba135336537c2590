// The core without Python: every algorithm, pass and instruction set against plain loops, on integers, where nothing
// may differ by a bit (or, where an algorithm rounds, by as much as could be another integer). It is what runs on
// machines that have no Python to test with, such as another architecture under an emulator.
#include <cmath>
#include <cstdio>
#include <random>

#include "conv/conv.h"
#include "core/isa.h"
#include "kernels/toom_cook.h"

namespace fastconv {
namespace {

struct Case {
    const char* name;
    Shape input, weight;
    index_t stride, dilation, pad_before, pad_after, groups;
};

constexpr Rational operator+(Rational a, Rational b) { return a - Rational{-b.numerator, b.denominator}; }

// Winograd's identity, in exact numbers and at compile time: the coefficient of d[l] g[k] in y[i], the sum over points
// j of R[i][j] K[j][k] D[j][l], is one where l = i + k, and zero elsewhere. It holds for each pair of numbers and taps.
constexpr bool is_correlation(int results, int taps) {
    const int points = results + taps - 1;
    const Matrix data = data_matrix(points), kernel = kernel_matrix(points, taps);
    const Matrix result = result_matrix(points, results);
    for (int i = 0; i < results; ++i) {
        for (int k = 0; k < taps; ++k) {
            for (int l = 0; l < points; ++l) {
                Rational sum;
                for (int j = 0; j < points; ++j) sum = sum + result.at[i][j] * kernel.at[j][k] * data.at[j][l];
                if (!(sum == Rational{l == i + k ? 1 : 0, 1})) return false;
            }
        }
    }
    return true;
}

static_assert(is_correlation(2, 3) && is_correlation(4, 3) && is_correlation(6, 3) && is_correlation(2, 5));
static_assert(is_correlation(4, 2));
static_assert(is_correlation(3, 2) && is_correlation(3, 4) && is_correlation(5, 2));  // gradients of the weight
static_assert(is_correlation(2, 4));

const Case kCases[] = {
    {"3x3", {2, 9, 11, 5}, {3, 3, 5, 7}, 1, 1, 1, 1, 1},
    {"whole and cut tiles", {1, 18, 13, 20}, {3, 3, 10, 18}, 1, 1, 1, 2, 2},
    {"tiles of pixels apart", {2, 19, 22, 17}, {3, 3, 17, 18}, 1, 2, 1, 3, 1},
    {"phases of a stride", {2, 19, 22, 17}, {4, 5, 17, 18}, 2, 1, 1, 2, 1},
    {"strided", {1, 13, 12, 17}, {3, 4, 17, 33}, 2, 1, 1, 2, 1},
    {"stride and dilation share a factor", {2, 15, 9, 3}, {3, 2, 3, 4}, 2, 2, 3, 0, 1},
    {"stride larger than kernel", {1, 11, 11, 2}, {2, 1, 2, 3}, 3, 1, 0, 0, 1},
    {"several reduction blocks", {1, 5, 6, 300}, {1, 2, 300, 50}, 1, 1, 0, 1, 1},
    {"depthwise", {1, 8, 7, 6}, {3, 3, 1, 12}, 1, 1, 1, 1, 6},
    {"first layer", {2, 20, 20, 1}, {5, 5, 1, 6}, 1, 1, 0, 0, 1},
    {"signal", {2, 3, 190, 3}, {1, 47, 3, 9}, 1, 1, 0, 0, 1},
    {"signal, dilated, grouped", {1, 2, 300, 6}, {1, 33, 3, 4}, 1, 2, 0, 0, 2},
};

template <class T>
std::vector<T> integers(index_t size, unsigned seed) {
    std::mt19937 generator(seed);
    std::vector<T> values(static_cast<std::size_t>(size));
    for (T& value : values) value = static_cast<T>(static_cast<int>(generator() % 7) - 3);
    return values;
}

// Calls visit(output, input, weight): the flat positions of every product of the convolution.
template <class Visit>
void for_each_product(const ConvGeometry& g, const Visit& visit) {
    const Axis &h = g.axes[1], &w = g.axes[2];
    for (index_t n = 0; n < g.batch; ++n)
        for (index_t p = 0; p < h.output * w.output; ++p)
            for (index_t t = 0; t < g.taps(); ++t) {
                const index_t y = p / w.output * h.stride - h.pad_before + t / w.kernel * h.dilation;
                const index_t x = p % w.output * w.stride - w.pad_before + t % w.kernel * w.dilation;
                if (y < 0 || y >= h.input || x < 0 || x >= w.input) continue;
                for (index_t k = 0; k < g.out_channels; ++k)
                    for (index_t c = 0; c < g.group_inputs(); ++c)
                        visit((n * g.output_pixels() + p) * g.out_channels + k,
                              ((n * h.input + y) * w.input + x) * g.in_channels +
                                  k / g.group_outputs() * g.group_inputs() + c,
                              (t * g.group_inputs() + c) * g.out_channels + k);
            }
}

// Equal, or, from an algorithm that rounds, off by no more than it may: so little that integers can't be mistaken.
template <class T>
bool agree(const std::vector<T>& found, const std::vector<T>& expected, bool exact) {
    if (exact) return found == expected;
    const double allowed = sizeof(T) == sizeof(float) ? 1e-2 : 1e-10;
    for (std::size_t i = 0; i < expected.size(); ++i)
        if (!(std::abs(static_cast<double>(found[i]) - static_cast<double>(expected[i])) <= allowed)) return false;
    return found.size() == expected.size();
}

template <class T>
int count_failures(const Case& test, const std::string& algorithm, int& checks) {
    const std::string operation = test.name;
    const Sliding sliding(operation, 2, {test.stride, test.stride}, {test.dilation, test.dilation}, "",
                          {test.pad_before, test.pad_before}, {test.pad_after, test.pad_after});
    const ConvGeometry g(sliding, test.input, test.weight, test.groups);
    const auto x = integers<T>(g.input_rows() * g.in_channels, 1), w = integers<T>(g.weight_size(), 2);
    const auto dy = integers<T>(g.output_rows() * g.out_channels, 3);
    if (!algorithm_supports(algorithm, g, Pass::kForward)) return 0;
    std::vector<T> y(dy.size()), dx(x.size()), dw(w.size()), y_got(dy.size()), dx_got(x.size()), dw_got(w.size());
    for_each_product(g, [&](index_t output, index_t input, index_t weight) {
        const auto o = static_cast<std::size_t>(output), i = static_cast<std::size_t>(input);
        const auto t = static_cast<std::size_t>(weight);
        y[o] += x[i] * w[t];
        dx[i] += dy[o] * w[t];
        dw[t] += dy[o] * x[i];
    });
    const Request request{operation, algorithm};
    const auto view = contiguous_view<const T>(x.data(), {1, g.axes[1].input, g.axes[2].input}, g.in_channels);
    conv_forward<T>(request, g, {view, w.data(), nullptr, false, y_got.data()});
    conv_backward_input<T>(request, g, {output_view<T>(g, dy.data()), w.data(), dx_got.data()});
    conv_backward_weight<T>(request, g, {output_view<T>(g, dy.data()), view, dw_got.data()});
    int failures = 0;
    const auto check = [&](const char* pass, bool equal) {
        ++checks;
        if (equal) return;
        ++failures;
        std::printf("FAILED: %s, %s, %s, %s, %zu bytes a value\n", test.name, algorithm.c_str(), pass,
                    current_kernels().name, sizeof(T));
    };
    const bool exact = algorithm_is_exact(algorithm);
    check("forward", agree(y_got, y, exact));
    check("backward_input", agree(dx_got, dx, exact));
    check("backward_weight", agree(dw_got, dw, exact));
    return failures;
}

}  // namespace
}  // namespace fastconv

int main() {
    int failures = 0, checks = 0;
    for (const std::string& isa : fastconv::available_isas()) {
        fastconv::set_isa(isa);
        for (const std::string& algorithm : fastconv::algorithm_names())
            for (const fastconv::Case& test : fastconv::kCases) {
                failures += fastconv::count_failures<float>(test, algorithm, checks);
                failures += fastconv::count_failures<double>(test, algorithm, checks);
            }
        std::printf("%s: checked\n", isa.c_str());
    }
    std::printf("%d passed, %d failed\n", checks - failures, failures);
    return failures == 0 ? 0 : 1;
}

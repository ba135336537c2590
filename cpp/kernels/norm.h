// Normalization by channel and by row: moments, and the sweeps that apply them. Values pass twice through a block that
// stays in the caches rather than once through sums of squares: that costs no memory traffic, and neither a large mean
// nor an outlier costs digits.
#pragma once

#include "kernels/element_table.h"
#include "kernels/parts.h"
#include "kernels/roots.h"

namespace fastconv {
namespace {

constexpr index_t kColumns = 256;   // of which sums are kept, in the first-level cache
constexpr index_t kBlockRows = 64;  // summed in T, before double takes over

// Sums by column, a vector's whole width even where the last columns are fewer.
template <class T>
struct alignas(64) ColumnSums {
    T values[kColumns];

    FASTCONV_INLINE void clear(index_t columns) {
        for_each_vector<T>(columns, [&](index_t c, index_t) { store(values + c, Vec<T>{}); });
    }
    FASTCONV_INLINE void add(index_t c, Vec<T> value) { store(values + c, load(values + c) + value); }
};

// What rounding alone makes negative is zero; NaN stays.
FASTCONV_INLINE double not_negative(double value) { return value < 0 ? 0 : value; }

// The mean of every column of a block, and its squared distances, joined with those of `before` rows above (Chan, Golub
// and LeVeque, "Algorithms for computing the sample variance", 1983, equations 2.1).
template <class T>
void join_block_moments(const T* block, index_t pitch, index_t rows, index_t columns, index_t before, double* means,
                        double* squares) noexcept {
    ColumnSums<T> centers, sums, distances;
    centers.clear(columns), sums.clear(columns), distances.clear(columns);
    for (index_t row = 0; row < rows; ++row)
        for_each_vector<T>(columns, [&](index_t c, index_t lanes) __attribute__((always_inline)) {
            centers.add(c, load_part(block + row * pitch + c, lanes));
        });
    const T share = T(1) / static_cast<T>(rows);
    for_each_vector<T>(columns,
                       [&](index_t c, index_t) { store(centers.values + c, load(centers.values + c) * share); });
    for (index_t row = 0; row < rows; ++row)
        for_each_vector<T>(columns, [&](index_t c, index_t lanes) __attribute__((always_inline)) {
            const Vec<T> distance = load_part(block + row * pitch + c, lanes) - load(centers.values + c);
            sums.add(c, distance);
            distances.add(c, distance * distance);
        });

    const double count = static_cast<double>(rows), all = static_cast<double>(before + rows);
    const double weight = count / all, cross = static_cast<double>(before) * count / all;
    for (index_t c = 0; c < columns; ++c) {
        const double off = static_cast<double>(sums.values[c]) / count;  // of the rounded center from the mean
        const double mean = static_cast<double>(centers.values[c]) + off;
        const double square = not_negative(static_cast<double>(distances.values[c]) - off * off * count);
        const double delta = mean - means[c];
        means[c] += delta * weight;
        squares[c] += square + delta * delta * cross;
    }
}

template <class T>
void moments(const Rows<T>& rows, double* means, double* squares) noexcept {
    for (index_t c = 0; c < rows.channels; ++c) means[c] = squares[c] = 0;
    for (index_t row = 0; row < rows.count; row += kBlockRows) {
        const index_t count = smaller(kBlockRows, rows.count - row);
        for (index_t c = 0; c < rows.channels; c += kColumns)
            join_block_moments(rows.data + row * rows.channels + c, rows.channels, count,
                               smaller(kColumns, rows.channels - c), row, means + c, squares + c);
    }
}

template <class T>
FASTCONV_INLINE Vec<T> scaled(Vec<T> value, const T* centers, const T* factors, const T* offsets, index_t lanes) {
    return (value - load_part(centers, lanes)) * load_part(factors, lanes) + load_part(offsets, lanes);
}

template <class T>
void scale_rows(const ScaledRows<T>& block) noexcept {
    const index_t channels = block.source.channels;
    for (index_t row = 0; row < block.source.count; ++row) {
        const T* source = block.source.data + row * channels;
        T* target = block.target + row * channels;
        const T* addend = block.addend + (block.addend == nullptr ? 0 : row * channels);
        for_each_vector<T>(channels, [&](index_t c, index_t lanes) __attribute__((always_inline)) {
            Vec<T> value =
                scaled(load_part(source + c, lanes), block.centers + c, block.factors + c, block.offsets + c, lanes);
            if (addend != nullptr) value += load_part(addend + c, lanes);
            store_part<T>(target + c, lanes, block.relu ? relu<T>(value) : value);
        });
    }
}

// `at` counts in the rows, `c` in a row.
template <class T>
FASTCONV_INLINE Vec<T> arriving(const GradientRows<T>& rows, index_t at, index_t c, index_t lanes) {
    const Vec<T> gradient = load_part(rows.gradient.data + at, lanes);
    if (rows.factors != nullptr) {
        const Vec<T> source = load_part(rows.source + at, lanes);
        return scaled(source, rows.centers + c, rows.factors + c, rows.offsets + c, lanes) > 0 ? gradient : Vec<T>{};
    }
    if (rows.output == nullptr) return gradient;
    return load_part(rows.output + at, lanes) > 0 ? gradient : Vec<T>{};
}

template <class T>
void add_gradients(const GradientRows<T>& rows, double* sums, double* products) noexcept {
    const index_t channels = rows.gradient.channels;
    ColumnSums<T> block_sums, block_products;
    for (index_t first = 0; first < rows.gradient.count; first += kBlockRows) {
        const index_t last = smaller(first + kBlockRows, rows.gradient.count);
        for (index_t column = 0; column < channels; column += kColumns) {
            const index_t columns = smaller(kColumns, channels - column);
            block_sums.clear(columns), block_products.clear(columns);
            for (index_t row = first; row < last; ++row)
                for_each_vector<T>(columns, [&](index_t c, index_t lanes) __attribute__((always_inline)) {
                    const index_t at = row * channels + column + c;
                    const Vec<T> gradient = arriving(rows, at, column + c, lanes);
                    const Vec<T> distance =
                        load_part(rows.source + at, lanes) - load_part(rows.centers + column + c, lanes);
                    block_sums.add(c, gradient);
                    block_products.add(c, gradient * distance);
                });
            for (index_t c = 0; c < columns; ++c) {
                sums[column + c] += static_cast<double>(block_sums.values[c]);
                products[column + c] += static_cast<double>(block_products.values[c]);
            }
        }
    }
}

template <class T>
void combine_gradients(const GradientRows<T>& rows, const T* factors, const T* slopes, const T* offsets,
                       T* target) noexcept {
    const index_t channels = rows.gradient.channels;
    for (index_t row = 0; row < rows.gradient.count; ++row)
        for_each_vector<T>(channels, [&](index_t c, index_t lanes) __attribute__((always_inline)) {
            const index_t at = row * channels + c;
            Vec<T> value = arriving(rows, at, c, lanes) * load_part(factors + c, lanes);
            if (slopes != nullptr) {
                const Vec<T> distance = load_part(rows.source + at, lanes) - load_part(rows.centers + c, lanes);
                value = distance * load_part(slopes + c, lanes) + (value + load_part(offsets + c, lanes));
            }
            store_part<T>(target + at, lanes, value);
        });
}

// Sums over a row of vectors that function(c, lanes) gives, in four chains.
template <class T, class Function>
FASTCONV_INLINE T sum_over(index_t columns, const Function& function) {
    Vec<T> sums[4] = {};
    index_t c = 0;
    for (; c + 4 * kLanes<T> <= columns; c += 4 * kLanes<T>)
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) sums[i] += function(c + i * kLanes<T>, kLanes<T>);
    for (; c < columns; c += kLanes<T>) sums[0] += function(c, smaller(kLanes<T>, columns - c));
    return sum_of_lanes<T>((sums[0] + sums[1]) + (sums[2] + sums[3]));
}

// Two sums at once, of what function(c, lanes, first, second) adds to either, in two chains each.
template <class T>
struct Pair {
    T first, second;
};

template <class T, class Function>
FASTCONV_INLINE Pair<T> sums_over(index_t columns, const Function& function) {
    Vec<T> first[2] = {}, second[2] = {};
    index_t c = 0;
    for (; c + 2 * kLanes<T> <= columns; c += 2 * kLanes<T>) {
        function(c, kLanes<T>, first[0], second[0]);
        function(c + kLanes<T>, kLanes<T>, first[1], second[1]);
    }
    for (; c < columns; c += kLanes<T>) function(c, smaller(kLanes<T>, columns - c), first[0], second[0]);
    return {sum_of_lanes<T>(first[0] + first[1]), sum_of_lanes<T>(second[0] + second[1])};
}

// (x - center) * inverse_std + offset is a row's normalized value: the mean in two parts, as it seldom is a T.
template <class T>
struct RowScale {
    Vec<T> center, inverse_std, offset;

    FASTCONV_INLINE Vec<T> operator()(Vec<T> value) const { return (value - center) * inverse_std + offset; }
};

// Ones in the first lanes, zeros in the others.
template <class T>
FASTCONV_INLINE Vec<T> first_lanes(index_t lanes) {
    static constexpr T kOnes[2 * 16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    return load(kOnes + 16 - lanes);
}

template <class T>
RowScale<T> row_scale(const T* row, index_t columns, double epsilon) noexcept {
    const double count = static_cast<double>(columns);
    const T sum = sum_over<T>(columns, [&](index_t c, index_t lanes) { return load_part(row + c, lanes); });
    const Vec<T> center = splat(sum / static_cast<T>(columns));
    const auto add_distances = [&](index_t c, index_t lanes, Vec<T>& distances, Vec<T>& squared) {
        Vec<T> value = load_part(row + c, lanes) - center;
        if (lanes < kLanes<T>) value *= first_lanes<T>(lanes);
        distances += value;
        squared += value * value;
    };
    const Pair<T> sums = sums_over<T>(columns, add_distances);
    const double off = static_cast<double>(sums.first) / count, squares = static_cast<double>(sums.second);
    const double inverse_std = 1 / square_root<double>(splat(not_negative(squares / count - off * off) + epsilon))[0];
    return {center, splat(static_cast<T>(inverse_std)), splat(static_cast<T>(-off * inverse_std))};
}

template <class T>
void normalize_rows(const NormalizedRows<T>& rows, T* target) noexcept {
    const index_t channels = rows.source.channels;
    for (index_t row = 0; row < rows.source.count; ++row) {
        const T* source = rows.source.data + row * channels;
        const RowScale<T> normalized = row_scale(source, channels, rows.epsilon);
        for_each_vector<T>(channels, [&](index_t c, index_t lanes) __attribute__((always_inline)) {
            Vec<T> value = normalized(load_part(source + c, lanes));
            if (rows.scale != nullptr) value *= load_part(rows.scale + c, lanes);
            if (rows.bias != nullptr) value += load_part(rows.bias + c, lanes);
            store_part<T>(target + row * channels + c, lanes, value);
        });
    }
}

// With h = g * scale and n the normalized values: grad = inverse_std * (h - mean(h) - n * mean(h * n)).
template <class T>
void normalize_rows_backward(const NormalizedRows<T>& rows, const T* gradient, T* target, T* grad_scale,
                             T* grad_bias) noexcept {
    const index_t channels = rows.source.channels;
    const T share = T(1) / static_cast<T>(channels);
    for (index_t row = 0; row < rows.source.count; ++row) {
        const T *source = rows.source.data + row * channels, *arriving = gradient + row * channels;
        const RowScale<T> normalized = row_scale(source, channels, rows.epsilon);
        const auto scaled = [&](index_t c, index_t lanes) {
            const Vec<T> value = load_part(arriving + c, lanes);
            return rows.scale == nullptr ? value : value * load_part(rows.scale + c, lanes);
        };
        const auto add_products = [&](index_t c, index_t lanes, Vec<T>& values, Vec<T>& products) {
            const Vec<T> value = scaled(c, lanes);
            values += value;
            products += value * normalized(load_part(source + c, lanes));
        };
        const Pair<T> sums = sums_over<T>(channels, add_products);
        const Vec<T> mean = splat(sums.first * share), product = splat(sums.second * share);
        for_each_vector<T>(channels, [&](index_t c, index_t lanes) __attribute__((always_inline)) {
            const Vec<T> value = normalized(load_part(source + c, lanes)), here = load_part(arriving + c, lanes);
            store_part<T>(grad_scale + c, lanes, load_part(grad_scale + c, lanes) + here * value);
            store_part<T>(grad_bias + c, lanes, load_part(grad_bias + c, lanes) + here);
            store_part<T>(target + row * channels + c, lanes,
                          (scaled(c, lanes) - mean - value * product) * normalized.inverse_std);
        });
    }
}

}  // namespace
}  // namespace fastconv

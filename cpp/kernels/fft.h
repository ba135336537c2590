// The discrete Fourier transform of one vector of lanes, and what convolution does with spectra.
//
// Cooley and Tukey's algorithm (1965) in Stockham's order: each pass combines four (at last perhaps two) parts and
// writes them where the next pass finds them in order, so that no bits are reversed. Lanes are independent, every
// operand is a whole vector, and nothing is ever shuffled. Going backwards is going forwards with the real and the
// imaginary parts exchanged; the factor 1 / length is the caller's.
#pragma once

#include "kernels/table.h"
#include "kernels/vec.h"

namespace fastconv {
namespace {

template <class T>
struct ComplexVec {
    Vec<T> re, im;
};

template <class T, class Data>
FASTCONV_INLINE ComplexVec<T> load_row(const ComplexRows<Data>& rows, index_t row) {
    const T* data = rows.data + row * rows.pitch;
    return {load(data), load(data + rows.imaginary)};
}

template <class T>
FASTCONV_INLINE void store_row(const ComplexRows<T>& rows, index_t row, ComplexVec<T> value) {
    T* data = rows.data + row * rows.pitch;
    store(data, value.re);
    store(data + rows.imaginary, value.im);
}

template <class T>
FASTCONV_INLINE ComplexVec<T> operator+(ComplexVec<T> a, ComplexVec<T> b) {
    return {a.re + b.re, a.im + b.im};
}

template <class T>
FASTCONV_INLINE ComplexVec<T> operator-(ComplexVec<T> a, ComplexVec<T> b) {
    return {a.re - b.re, a.im - b.im};
}

template <class T>
FASTCONV_INLINE ComplexVec<T> operator*(ComplexVec<T> a, ComplexVec<T> b) {
    return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}

template <class T>
FASTCONV_INLINE ComplexVec<T> splat_root(const T* root) {
    return {splat(root[0]), splat(root[1])};
}

// One of the `parts` butterflies of a pass, for `stride` numbers; those of the 0-th are not turned.
template <class T, bool turned>
FASTCONV_INLINE void combine_four(const ComplexRows<const T>& source, const ComplexRows<T>& target, index_t stride,
                                  index_t parts, index_t part, const T* roots) {
    ComplexVec<T> w1{}, w2{}, w3{};
    if constexpr (turned) {
        w1 = splat_root(roots + 2 * part * stride);
        w2 = splat_root(roots + 4 * part * stride);
        w3 = splat_root(roots + 6 * part * stride);
    }
    for (index_t q = 0; q < stride; ++q) {
        const index_t from = q + stride * part, to = q + stride * 4 * part, step = stride * parts;
        const auto a = load_row<T>(source, from), b = load_row<T>(source, from + step);
        const auto c = load_row<T>(source, from + 2 * step), d = load_row<T>(source, from + 3 * step);
        const auto even = a + c, odd = a - c, sum = b + d, difference = b - d;
        const ComplexVec<T> one{odd.re + difference.im, odd.im - difference.re};    // odd - i difference
        const ComplexVec<T> three{odd.re - difference.im, odd.im + difference.re};  // odd + i difference
        store_row(target, to, even + sum);
        if constexpr (turned) {
            store_row(target, to + stride, one * w1);
            store_row(target, to + 2 * stride, (even - sum) * w2);
            store_row(target, to + 3 * stride, three * w3);
        } else {
            store_row(target, to + stride, one);
            store_row(target, to + 2 * stride, even - sum);
            store_row(target, to + 3 * stride, three);
        }
    }
}

template <class T>
void transform_lanes(const FourierBlock<T>& block) noexcept {
    int passes = 0;
    for (index_t n = block.length; n > 1; n /= 4) ++passes;
    ComplexRows<const T> source = block.source;
    index_t stride = 1;
    for (index_t n = block.length; passes > 0; n /= 4, stride *= 4, --passes) {
        const ComplexRows<T> between{block.work[passes % 2], 2 * kLanes<T>, kLanes<T>};
        const ComplexRows<T> target = passes == 1 ? block.target : between;
        if (n == 2) {
            for (index_t q = 0; q < stride; ++q) {
                const auto a = load_row<T>(source, q), b = load_row<T>(source, q + stride);
                store_row(target, q, a + b);
                store_row(target, q + stride, a - b);
            }
        } else {
            combine_four<T, false>(source, target, stride, n / 4, 0, block.roots);
            for (index_t part = 1; part < n / 4; ++part)
                combine_four<T, true>(source, target, stride, n / 4, part, block.roots);
        }
        source = {target.data, target.pitch, target.imaginary};
    }
}

// A real signal's spectrum at -f is the conjugate of that at f. So two signals a and b travel as a + i b, and the
// spectra, of which half is enough, are found as (z(f) + conj z(-f)) / 2 and (z(f) - conj z(-f)) / 2i. Here twice
// their conjugates leave, those of b a vector behind those of a.
template <class T>
void split_spectra(index_t length, const ComplexRows<const T>& both, const ComplexRows<T>& halves) noexcept {
    for (index_t f = 0; f <= length / 2; ++f) {
        const auto z = load_row<T>(both, f), mirrored = load_row<T>(both, f == 0 ? 0 : length - f);
        T* target = halves.data + f * halves.pitch;
        store(target, z.re + mirrored.re);
        store(target + halves.imaginary, mirrored.im - z.im);
        store(target + kLanes<T>, z.im + mirrored.im);
        store(target + kLanes<T> + halves.imaginary, z.re - mirrored.re);
    }
}

// The way back: the spectrum a + i b from the halves of those of a and b. Where f is -f, they are real, but for
// rounding.
template <class T>
void join_spectra(index_t length, const ComplexRows<const T>& halves, const ComplexRows<T>& both) noexcept {
    for (index_t f = 0; f <= length / 2; ++f) {
        const T* source = halves.data + f * halves.pitch;
        const ComplexVec<T> a{load(source), load(source + halves.imaginary)};
        const ComplexVec<T> b{load(source + kLanes<T>), load(source + kLanes<T> + halves.imaginary)};
        if (f == 0 || f == length / 2) {
            store_row(both, f, {a.re, b.re});
        } else {
            store_row(both, f, {a.re - b.im, a.im + b.re});
            store_row(both, length - f, {a.re + b.im, b.re - a.im});
        }
    }
}

template <class T, int Rows, bool conjugate>
FASTCONV_INLINE void multiply_spectra_tile(const SpectrumProduct<T>& product, const T* left, const T* right, T* target,
                                           index_t columns) {
    ComplexVec<T> sums[Rows] = {};
    if (product.accumulate) {
#pragma GCC unroll 4
        for (int r = 0; r < Rows; ++r) {
            const T* re = target + r * product.target_pitch;
            sums[r] = {load_first(re, columns), load_first(re + product.target_imaginary, columns)};
            if (product.conjugate_target) sums[r].im = -sums[r].im;
        }
    }
    for (index_t l = 0; l < product.depth; ++l, left += product.left_step, right += product.right_pitch) {
        const ComplexVec<T> b{load(right), load(right + product.right_imaginary)};
#pragma GCC unroll 4
        for (int r = 0; r < Rows; ++r) {
            const T* a = left + r * product.left_pitch;
            const ComplexVec<T> factor = {splat(a[0]), splat(a[product.left_imaginary])};
            sums[r].re += factor.re * b.re;
            sums[r].im += factor.re * b.im;
            if constexpr (conjugate) {
                sums[r].re += factor.im * b.im;
                sums[r].im -= factor.im * b.re;
            } else {
                sums[r].re -= factor.im * b.im;
                sums[r].im += factor.im * b.re;
            }
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < Rows; ++r) {
        T *re = target + r * product.target_pitch, *im = re + product.target_imaginary;
        if (product.conjugate_target) sums[r].im = -sums[r].im;
        store_first(re, columns, sums[r].re);
        store_first(im, columns, sums[r].im);
    }
}

template <class T, bool conjugate>
FASTCONV_INLINE void multiply_spectra_of(const SpectrumProduct<T>& product) {
    for (index_t group = 0; group < product.groups; ++group)
        for (index_t k = 0; k < product.columns; k += kLanes<T>) {
            const index_t columns = smaller(product.columns - k, kLanes<T>);
            const T* left = product.left + group * product.left_group_step;
            const T* right = product.right + group * product.right_group_step + k;
            T* target = product.target + group * product.target_group_step + k;
            index_t rows = product.rows;
            for (; rows >= 4; rows -= 4, left += 4 * product.left_pitch, target += 4 * product.target_pitch)
                multiply_spectra_tile<T, 4, conjugate>(product, left, right, target, columns);
            if (rows == 3) multiply_spectra_tile<T, 3, conjugate>(product, left, right, target, columns);
            if (rows == 2) multiply_spectra_tile<T, 2, conjugate>(product, left, right, target, columns);
            if (rows == 1) multiply_spectra_tile<T, 1, conjugate>(product, left, right, target, columns);
        }
}

template <class T>
void multiply_spectra(const SpectrumProduct<T>& product) noexcept {
    if (product.conjugate_left) return multiply_spectra_of<T, true>(product);
    multiply_spectra_of<T, false>(product);
}

template <class T>
void copy_lanes(const LaneCopy<T>& copy) noexcept {
    const T* source = copy.source;
    T* target = copy.target;
    if (copy.lanes == kLanes<T>) {
        const Vec<T> bias = copy.bias == nullptr ? Vec<T>{} : load(copy.bias);
        for (index_t t = 0; t < copy.times; ++t, source += copy.source_step, target += copy.target_step) {
            const Vec<T> value = load(source) + bias;
            store(target, copy.relu ? relu<T>(value) : value);
        }
        return;
    }
    for (index_t l = 0; l < copy.lanes; ++l) {
        const T bias = copy.bias == nullptr ? 0 : copy.bias[l];
        for (index_t t = 0; t < copy.times; ++t) {
            const T value = source[t * copy.source_step + l] + bias;
            target[t * copy.target_step + l] = copy.relu && value <= 0 ? 0 : value;
        }
    }
}

}  // namespace
}  // namespace fastconv

// The constant matrices of Winograd's transforms (toom_cook.h), multiplied with vectors of channels.
//
// Coefficients are compile-time constants: those that are zero cost nothing, those that are one no multiplication, and
// rows of points +-a share their even and their odd part.
#pragma once

#include "kernels/table.h"
#include "kernels/toom_cook.h"
#include "kernels/vec.h"

namespace fastconv {
namespace {

// The matrix of a transform that is made one of sums and differences: `value` is applied to inputs in which the pairs
// (j, j + 1) marked by pairs_columns have been replaced by their sum and their difference.
template <TransformKind kind, int from, int to>
struct Constants {
    static constexpr int rows = to, columns = from;

    static constexpr Matrix make() {
        if (kind == TransformKind::kData) return data_matrix(from);
        if (kind == TransformKind::kKernel) return kernel_matrix(to, from);
        if (kind == TransformKind::kResult) return result_matrix(from, to);
        Matrix one{1, 1};
        one.at[0][0] = {1, 1};
        return one;
    }
    static constexpr Matrix matrix = make();

    // 1 where row i + 1 is row i with its odd coefficients negated, -1 where it is that with the even ones, else 0.
    static constexpr int pairs_rows(int i) {
        if (kind == TransformKind::kResult || i + 1 >= to || to == 1) return 0;
        for (int sign = 1; sign >= -1; sign -= 2) {
            bool pairs = true;
            for (int j = 0; j < from; ++j)
                pairs &= matrix.at[i + 1][j] == matrix.at[i][j] * Rational{j % 2 == 0 ? sign : -sign, 1};
            if (pairs) return sign;
        }
        return 0;
    }

    // Column j + 1 is column j with every second coefficient negated.
    static constexpr bool pairs_columns(int j) {
        if (kind != TransformKind::kResult || j + 1 >= from) return false;
        for (int i = 0; i < to; ++i)
            if (!(matrix.at[i][j + 1] == matrix.at[i][j] * Rational{i % 2 == 0 ? 1 : -1, 1})) return false;
        return true;
    }

    static constexpr double coefficient(int i, int j) {
        Rational value = matrix.at[i][j];
        if (pairs_columns(j) && i % 2 == 1) value = {};
        if (j > 0 && pairs_columns(j - 1)) value = i % 2 == 1 ? matrix.at[i][j - 1] : Rational{};
        return static_cast<double>(value.numerator) / static_cast<double>(value.denominator);
    }

    // The first coefficient of row i that is one, or else the first that isn't zero, among columns start, start +
    // step...
    static constexpr int first_term(int i, int start, int step) {
        for (int j = start; j < from; j += step)
            if (coefficient(i, j) == 1) return j;
        for (int j = start; j < from; j += step)
            if (coefficient(i, j) != 0) return j;
        return -1;
    }
};

template <class M, int i, int j, int step, int without, class T>
FASTCONV_INLINE Vec<T> add_terms(Vec<T> sum, const Vec<T>* x) {
    if constexpr (j >= M::columns) {
        return sum;
    } else {
        constexpr double c = M::coefficient(i, j);
        if constexpr (j == without || c == 0)
            return add_terms<M, i, j + step, step, without, T>(sum, x);
        else if constexpr (c == 1)
            return add_terms<M, i, j + step, step, without, T>(sum + x[j], x);
        else if constexpr (c == -1)
            return add_terms<M, i, j + step, step, without, T>(sum - x[j], x);
        else
            return add_terms<M, i, j + step, step, without, T>(sum + static_cast<T>(c) * x[j], x);
    }
}

// Row i of the matrix times x, of which columns start, start + step, ... take part.
template <class M, int i, int start, int step, class T>
FASTCONV_INLINE Vec<T> row_times(const Vec<T>* x) {
    constexpr int first = M::first_term(i, start, step);
    if constexpr (first < 0) {
        return Vec<T>{};
    } else {
        constexpr double c = M::coefficient(i, first);
        return add_terms<M, i, start, step, first, T>(c == 1 ? x[first] : static_cast<T>(c) * x[first], x);
    }
}

template <class M, int i, class T>
FASTCONV_INLINE void multiply_from_row(const Vec<T>* x, Vec<T>* y) {
    if constexpr (i < M::rows) {
        if constexpr (M::pairs_rows(i) != 0) {
            const Vec<T> even = row_times<M, i, 0, 2, T>(x), odd = row_times<M, i, 1, 2, T>(x);
            y[i] = even + odd;
            y[i + 1] = M::pairs_rows(i) > 0 ? even - odd : odd - even;
            multiply_from_row<M, i + 2, T>(x, y);
        } else {
            y[i] = row_times<M, i, 0, 1, T>(x);
            multiply_from_row<M, i + 1, T>(x, y);
        }
    }
}

template <class M, int j, class T>
FASTCONV_INLINE void add_and_subtract(Vec<T>* x) {
    if constexpr (j < M::columns) {
        if constexpr (M::pairs_columns(j)) {
            const Vec<T> sum = x[j] + x[j + 1];
            x[j + 1] = x[j] - x[j + 1];
            x[j] = sum;
            add_and_subtract<M, j + 2, T>(x);
        } else {
            add_and_subtract<M, j + 1, T>(x);
        }
    }
}

// y = matrix times x, which is overwritten.
template <class M, class T>
FASTCONV_INLINE void multiply_constants(Vec<T>* x, Vec<T>* y) {
    add_and_subtract<M, 0, T>(x);
    multiply_from_row<M, 0, T>(x, y);
}

// Calls visit.operator()<Constants<...>>() with the matrix of a transform.
template <class Visit>
FASTCONV_INLINE void with_constants(const AxisTransform& transform, const Visit& visit) {
    using Kind = TransformKind;
    const auto key = [](Kind kind, int from, int to) { return (static_cast<int>(kind) * 16 + from) * 16 + to; };
    const int wanted = key(transform.kind, transform.from, transform.to);
    if (wanted == key(Kind::kData, 6, 6)) return visit.template operator()<Constants<Kind::kData, 6, 6>>();
    if (wanted == key(Kind::kResult, 6, 4)) return visit.template operator()<Constants<Kind::kResult, 6, 4>>();
    if (wanted == key(Kind::kKernel, 3, 6)) return visit.template operator()<Constants<Kind::kKernel, 3, 6>>();
    if (wanted == key(Kind::kKernel, 4, 6)) return visit.template operator()<Constants<Kind::kKernel, 4, 6>>();
    if (wanted == key(Kind::kNone, 1, 1)) return visit.template operator()<Constants<Kind::kNone, 1, 1>>();
    if (wanted == key(Kind::kData, 4, 4)) return visit.template operator()<Constants<Kind::kData, 4, 4>>();
    if (wanted == key(Kind::kKernel, 3, 4)) return visit.template operator()<Constants<Kind::kKernel, 3, 4>>();
    if (wanted == key(Kind::kKernel, 2, 4)) return visit.template operator()<Constants<Kind::kKernel, 2, 4>>();
    if (wanted == key(Kind::kResult, 4, 2)) return visit.template operator()<Constants<Kind::kResult, 4, 2>>();
    if (wanted == key(Kind::kResult, 4, 3)) return visit.template operator()<Constants<Kind::kResult, 4, 3>>();
    if (wanted == key(Kind::kResult, 6, 3)) return visit.template operator()<Constants<Kind::kResult, 6, 3>>();
    if (wanted == key(Kind::kKernel, 5, 6)) return visit.template operator()<Constants<Kind::kKernel, 5, 6>>();
    if (wanted == key(Kind::kKernel, 2, 6)) return visit.template operator()<Constants<Kind::kKernel, 2, 6>>();
    if (wanted == key(Kind::kResult, 6, 2)) return visit.template operator()<Constants<Kind::kResult, 6, 2>>();
    if (wanted == key(Kind::kResult, 6, 5)) return visit.template operator()<Constants<Kind::kResult, 6, 5>>();
    if (wanted == key(Kind::kData, 5, 5)) return visit.template operator()<Constants<Kind::kData, 5, 5>>();
    if (wanted == key(Kind::kKernel, 2, 5)) return visit.template operator()<Constants<Kind::kKernel, 2, 5>>();
    if (wanted == key(Kind::kResult, 5, 4)) return visit.template operator()<Constants<Kind::kResult, 5, 4>>();
    if (wanted == key(Kind::kKernel, 4, 5)) return visit.template operator()<Constants<Kind::kKernel, 4, 5>>();
    if (wanted == key(Kind::kResult, 5, 2)) return visit.template operator()<Constants<Kind::kResult, 5, 2>>();
    if (wanted == key(Kind::kData, 8, 8)) return visit.template operator()<Constants<Kind::kData, 8, 8>>();
    if (wanted == key(Kind::kKernel, 3, 8)) return visit.template operator()<Constants<Kind::kKernel, 3, 8>>();
    if (wanted == key(Kind::kResult, 8, 6)) return visit.template operator()<Constants<Kind::kResult, 8, 6>>();
    __builtin_trap();  // a tile that has no constants here
}

}  // namespace
}  // namespace fastconv

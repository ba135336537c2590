// The constants of Winograd's convolution, derived from points by the construction of Toom and Cook (Winograd,
// "Arithmetic complexity of computations", 1980; for networks: Lavin and Gray, "Fast algorithms for convolutional
// neural networks", 2016). For m results y[i] = sum over k of d[i + k] g[k] of a kernel of r taps, with n = m + r - 1
// points,
//
//   y = R ((K g) * (D d)),   R: m x n,  K: n x r,  D: n x n,
//
// where the last point is infinity. With p(x) the product of (x - a) over the other points a:
//   D[j] holds the coefficients of p(x) / (x - a[j]), the last row those of p(x);
//   K[j][i] = a[j]^i / p'(a[j]), and in the last row 1 for i = r - 1;
//   R[i][j] = a[j]^i, and in the last column 1 for i = m - 1.
// Points with opposite signs stand side by side: their rows of D and K are the sum and the difference of the same two
// halves (tile_transform.h).
#pragma once

#include "kernels/index.h"

namespace fastconv {
namespace {

struct Rational {
    index_t numerator = 0, denominator = 1;
};

constexpr index_t common_divisor(index_t a, index_t b) { return b == 0 ? (a < 0 ? -a : a) : common_divisor(b, a % b); }

constexpr Rational reduced(index_t numerator, index_t denominator) {
    const index_t divisor = common_divisor(numerator, denominator) * (denominator < 0 ? -1 : 1);
    return {numerator / divisor, denominator / divisor};
}

constexpr Rational operator*(Rational a, Rational b) {
    return reduced(a.numerator * b.numerator, a.denominator * b.denominator);
}
constexpr Rational operator/(Rational a, Rational b) {
    return reduced(a.numerator * b.denominator, a.denominator * b.numerator);
}
constexpr Rational operator-(Rational a, Rational b) {
    return reduced(a.numerator * b.denominator - b.numerator * a.denominator, a.denominator * b.denominator);
}
constexpr bool operator==(Rational a, Rational b) {
    return a.numerator == b.numerator && a.denominator == b.denominator;
}

constexpr int kMostPoints = 8;

struct Matrix {
    int rows = 0, columns = 0;
    Rational at[kMostPoints][kMostPoints]{};
};

// The finite points. Small numbers and their inverses keep powers, and with them rounding errors, small (Barabasz,
// Anderson, Soodhalter and Gregg, "Error analysis and improving the accuracy of Winograd convolution", 2020): of the
// points tried for n = 6, +-3/4 and +-3/2 leave half the error of +-1 and +-2; for n = 5, +-1/2 and +-3/2 half that of
// 0, +-1 and 2.
constexpr Rational point(int points, int index) {
    const Rational of_four[]{{0, 1}, {1, 1}, {-1, 1}};
    const Rational of_five[]{{1, 2}, {-1, 2}, {3, 2}, {-3, 2}};
    const Rational of_six[]{{0, 1}, {3, 4}, {-3, 4}, {3, 2}, {-3, 2}};
    const Rational of_eight[]{{0, 1}, {1, 2}, {-1, 2}, {1, 1}, {-1, 1}, {2, 1}, {-2, 1}};
    return points == 4 ? of_four[index] : points == 5 ? of_five[index] : points == 6 ? of_six[index] : of_eight[index];
}

constexpr Rational power(Rational base, int exponent) {
    return exponent == 0 ? Rational{1, 1} : base * power(base, exponent - 1);
}

// target = the coefficients of the product of (x - a) over all finite points but one; none is left out at `without` <
// 0.
constexpr void set_to_product(int points, int without, Rational (&target)[kMostPoints]) {
    target[0] = {1, 1};
    int degree = 0;
    for (int l = 0; l < points - 1; ++l) {
        if (l == without) continue;
        ++degree;
        for (int i = degree; i >= 0; --i) {
            const Rational lower = i > 0 ? target[i - 1] : Rational{};
            target[i] = lower - point(points, l) * (i < degree ? target[i] : Rational{});
        }
    }
}

constexpr Matrix data_matrix(int points) {
    Matrix matrix{points, points};
    for (int j = 0; j < points; ++j) set_to_product(points, j < points - 1 ? j : -1, matrix.at[j]);
    return matrix;
}

constexpr Matrix kernel_matrix(int points, int taps) {
    Matrix matrix{points, taps};
    for (int j = 0; j < points - 1; ++j) {
        Rational slope{1, 1};
        for (int l = 0; l < points - 1; ++l)
            if (l != j) slope = slope * (point(points, j) - point(points, l));
        for (int i = 0; i < taps; ++i) matrix.at[j][i] = power(point(points, j), i) / slope;
    }
    matrix.at[points - 1][taps - 1] = {1, 1};
    return matrix;
}

constexpr Matrix result_matrix(int points, int results) {
    Matrix matrix{results, points};
    for (int i = 0; i < results; ++i)
        for (int j = 0; j < points - 1; ++j) matrix.at[i][j] = power(point(points, j), i);
    matrix.at[results - 1][points - 1] = {1, 1};
    return matrix;
}

}  // namespace
}  // namespace fastconv

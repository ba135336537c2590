// Division and rounding upwards, for cutting things into blocks; and downwards, for positions below zero.
#pragma once

#include "kernels/index.h"

namespace fastconv {

constexpr index_t ceil_div(index_t a, index_t b) { return (a + b - 1) / b; }
constexpr index_t floor_div(index_t a, index_t b) { return a >= 0 ? a / b : -ceil_div(-a, b); }
constexpr index_t round_up(index_t a, index_t b) { return ceil_div(a, b) * b; }

}  // namespace fastconv

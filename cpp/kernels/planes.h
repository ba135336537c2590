// Products whose vectors run along a line of pixels: for a few channels on both sides, which would leave vectors of
// channels nearly empty, and whose sums over the taps of a window are too short for vectors as well.
//
// Bits: each sum adds its products term by term. The gradient of a weight adds vectors line by line, then its lanes in
// a fixed tree.
#pragma once

#include "kernels/narrow.h"
#include "kernels/table.h"
#include "kernels/transpose.h"
#include "kernels/vec.h"

namespace fastconv {
namespace {

// Sums that are in registers at once.
#if FASTCONV_VECTOR_BYTES == 64 || defined(__aarch64__)
constexpr int kPlaneSums = 24;
#else
constexpr int kPlaneSums = 12;
#endif

// Calls visit<columns>(first column) until all columns are covered.
template <class Visit>
FASTCONV_INLINE void for_each_plane_tile(index_t columns, const Visit& visit) {
    index_t k = 0;
    for (index_t rest; (rest = columns - k) > 0;) {
        if (rest == 6 || rest > 8) {
            visit.template operator()<6>(k);
            k += 6;
        } else if (rest == 4 || rest > 6) {
            visit.template operator()<4>(k);
            k += 4;
        } else if (rest >= 3) {
            visit.template operator()<3>(k);
            k += 3;
        } else if (rest == 2) {
            visit.template operator()<2>(k);
            k += 2;
        } else {
            visit.template operator()<1>(k);
            k += 1;
        }
    }
}

// Stores one value of each plane, pixel by pixel: as many at once as a square has that is transposed in registers.
template <class T, int Columns>
FASTCONV_INLINE void store_pixels(const Vec<T> (&planes)[Columns], T* target, index_t step, index_t count) {
    constexpr int chunk = kChunk<T>, chunks = kLanes<T> / chunk;
    if constexpr (Columns >= chunk) {
#pragma GCC unroll 4
        for (int first = 0; first < Columns; first += chunk) {
            const int k = first + chunk <= Columns ? first : Columns - chunk;  // some twice, with the same values
            Vec<T> square[chunk];
#pragma GCC unroll 4
            for (int i = 0; i < chunk; ++i) square[i] = planes[k + i];
            transpose_squares<chunks>(square);
#pragma GCC unroll 4
            for (int part = 0; part < chunks; ++part)
#pragma GCC unroll 4
                for (int i = 0; i < chunk; ++i) {
                    const int pixel = part * chunk + i;
                    if (pixel < count)
                        store_chunks<T, 1, false>(target + pixel * step + k, chunk_of<T>(square[i], part));
                }
        }
    } else {
        if (Columns == 1 && step == 1) return store_first(target, count, planes[0]);
        T lanes[Columns][kLanes<T>];
#pragma GCC unroll 4
        for (int k = 0; k < Columns; ++k) store(lanes[k], planes[k]);
        for (index_t pixel = 0; pixel < count; ++pixel)
#pragma GCC unroll 4
            for (int k = 0; k < Columns; ++k) target[pixel * step + k] = lanes[k][pixel];
    }
}

template <class T>
struct MultiplyPlanes {
    const PlaneBlock<T>& block;

    template <int Columns>
    FASTCONV_INLINE void operator()(index_t column) const {
        constexpr int most = kPlaneSums / Columns;
        constexpr index_t lanes = kLanes<T>;
        if (block.pixels <= lanes) {
            const index_t source_step = block.source_step, target_step = block.target_step;
            index_t line = 0;
            for (; line + 2 <= block.lines; line += 2)
                tile<Columns, 2>(column, line * source_step, line * target_step, {source_step, target_step, 0});
            if (line < block.lines) tile<Columns, 1>(column, line * source_step, line * target_step, {0, 0, 0});
            return;
        }
        const Step step{lanes, lanes * block.pixel_step, lanes};
        for (index_t line = 0; line < block.lines; ++line) {
            const index_t source = line * block.source_step, target = line * block.target_step;
            index_t pixel = 0;
            if constexpr (most >= 4)
                for (; pixel + 3 * lanes < block.pixels; pixel += 4 * lanes)
                    tile<Columns, 4>(column, source + pixel, target + pixel * block.pixel_step, step, pixel);
            if constexpr (most >= 2)
                for (; pixel + lanes < block.pixels; pixel += 2 * lanes)
                    tile<Columns, 2>(column, source + pixel, target + pixel * block.pixel_step, step, pixel);
            for (; pixel < block.pixels; pixel += lanes)
                tile<Columns, 1>(column, source + pixel, target + pixel * block.pixel_step, step, pixel);
        }
    }

    // From one vector of a tile to the next, which lies on the same line, or on the next one.
    struct Step {
        index_t source, target, pixels;
    };

    template <int Columns, int Vectors>
    __attribute__((noinline)) void tile(index_t column, index_t first_source, index_t first_target, const Step step,
                                        index_t pixel = 0) const {
        Vec<T> sums[Columns][Vectors];
#pragma GCC unroll 8
        for (int k = 0; k < Columns; ++k)
#pragma GCC unroll 4
            for (int v = 0; v < Vectors; ++v)
                sums[k][v] = block.bias == nullptr ? Vec<T>{} : splat(block.bias[column + k]);
        const T* weight = block.weight + column;
        const index_t offset = block.offset + first_source;
        for (index_t term = 0; term < block.terms; ++term, weight += block.weight_step) {
            const T* source = block.sources[term] + offset;
            Vec<T> values[Vectors];
#pragma GCC unroll 4
            for (int v = 0; v < Vectors; ++v) values[v] = in_register(load(source + v * step.source));
#pragma GCC unroll 8
            for (int k = 0; k < Columns; ++k) {
                const Vec<T> factor = in_register(splat(weight[k]));
#pragma GCC unroll 4
                for (int v = 0; v < Vectors; ++v) sums[k][v] += values[v] * factor;
            }
        }
#pragma GCC unroll 4
        for (int v = 0; v < Vectors; ++v) {
            Vec<T> planes[Columns];
#pragma GCC unroll 8
            for (int k = 0; k < Columns; ++k) planes[k] = block.relu ? relu<T>(sums[k][v]) : sums[k][v];
            store_pixels<T>(planes, block.target + first_target + v * step.target + column, block.pixel_step,
                            smaller(block.pixels - pixel - v * step.pixels, kLanes<T>));
        }
    }
};

template <class T>
void multiply_planes(const PlaneBlock<T>& block) noexcept {
    for_each_plane_tile(block.columns, MultiplyPlanes<T>{block});
}

template <class T>
struct AddPlaneProducts {
    const PlaneSums<T>& block;

    template <int Columns>
    FASTCONV_INLINE void operator()(index_t column) const {
        constexpr int together = smaller(kPlaneSums / Columns, 4);
        index_t term = 0;
        for (; term + together <= block.terms; term += together) tile<together, Columns>(term, column);
        if constexpr (together > 2)
            for (; term + 2 <= block.terms; term += 2) tile<2, Columns>(term, column);
        for (; term < block.terms; ++term) tile<1, Columns>(term, column);
    }

    template <int Terms, int Columns>
    __attribute__((noinline)) void tile(index_t term, index_t column) const {
        Vec<T> sums[Terms][Columns] = {};
        const T* sources[Terms];
#pragma GCC unroll 4
        for (int t = 0; t < Terms; ++t) sources[t] = block.sources[term + t];
        const T* right = block.right + column * block.pitch;
        const index_t whole = block.pixels / kLanes<T> * kLanes<T>, rest = block.pixels - whole;
        for (index_t line = 0; line < block.lines; ++line, right += block.right_step) {
            for (index_t p = 0; p < whole; p += kLanes<T>)
                add<Terms, Columns, true>(sums, sources, right + p, line * block.source_step + p, kLanes<T>);
            // The other lanes of the source may hold anything: zero times that need not be zero.
            if (rest > 0)
                add<Terms, Columns, false>(sums, sources, right + whole, line * block.source_step + whole, rest);
        }
        T totals[Terms * Columns];
        sum_lanes<T, Terms * Columns>(&sums[0][0], totals);
        for (int t = 0; t < Terms; ++t)
            for (int k = 0; k < Columns; ++k)
                block.sums[(term + t) * block.sums_step + column + k] += totals[t * Columns + k];
    }

    template <int Terms, int Columns, bool Whole>
    FASTCONV_INLINE void add(Vec<T> (&sums)[Terms][Columns], const T* const (&sources)[Terms], const T* right,
                             index_t at, index_t count) const {
        Vec<T> values[Terms];
#pragma GCC unroll 4
        for (int t = 0; t < Terms; ++t) values[t] = in_register(load_lanes<T, Whole>(sources[t] + at, count));
#pragma GCC unroll 8
        for (int k = 0; k < Columns; ++k) {
            const Vec<T> factor = in_register(load(right + k * block.pitch));
#pragma GCC unroll 4
            for (int t = 0; t < Terms; ++t) sums[t][k] += values[t] * factor;
        }
    }
};

template <class T>
void add_plane_products(const PlaneSums<T>& block) noexcept {
    for_each_plane_tile(block.columns, AddPlaneProducts<T>{block});
}

}  // namespace
}  // namespace fastconv

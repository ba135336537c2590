#include "resample/resample.h"

#include <algorithm>

#include "core/arithmetic.h"
#include "core/isa.h"
#include "core/memory.h"
#include "core/threads.h"
#include "elementwise/streamed.h"

namespace fastconv {
namespace {

// Rows of so few values would leave a vector nearly empty.
constexpr index_t kFewValues = 4;

template <index_t kInner, class T>
void weigh_short_rows(const WeightedRows<T>& rows) {
    for (index_t q = 0; q < rows.targets; ++q) {
        T sum[kInner] = {};
        for (index_t j = rows.start[q]; j < rows.start[q + 1]; ++j)
            for (index_t c = 0; c < kInner; ++c) sum[c] += rows.weight[j] * rows.source[rows.index[j] * kInner + c];
        std::copy_n(sum, kInner, rows.target + q * kInner);
    }
}

template <class T>
void weigh_rows(const WeightedRows<T>& rows) {
    static_assert(kFewValues == 4);
    switch (rows.inner) {
        case 1:
            return weigh_short_rows<1>(rows);
        case 2:
            return weigh_short_rows<2>(rows);
        case 3:
            return weigh_short_rows<3>(rows);
        case 4:
            return weigh_short_rows<4>(rows);
        default:
            return element_kernels<T>().weigh_rows(rows);
    }
}

// Targets [begin, end) of an axis, of one image.
template <class T>
void weigh(const AxisWeights<T>& weights, index_t begin, index_t end, index_t inner, const T* source, T* target) {
    weigh_rows<T>({source, inner, weights.start + begin, weights.index, weights.weight, end - begin, target});
}

template <class T>
double entries(const AxisWeights<T>& weights) {
    return static_cast<double>(weights.start[weights.targets]);
}

constexpr index_t kValues = 16384;  // of a task's targets, about

}  // namespace

template <class T>
void apply_along_axis(const AxisWeights<T>& weights, index_t outer, index_t inner, const T* source, T* target) {
    if (outer * inner * weights.targets == 0) return;
    const double work =
        static_cast<double>(outer * inner) * (2 * entries(weights) + static_cast<double>(weights.targets));
    // Tasks are runs of targets, so that one that is alone in its image can be shared out too.
    const index_t run = std::clamp<index_t>(kValues / inner, 1, weights.targets);
    const index_t runs = ceil_div(weights.targets, run);
    const bool stream = worth_streaming<T>(outer * weights.targets * inner);
    parallel_for(outer * runs, worthwhile_threads(work, outer * runs), [&](index_t task, int) {
        const index_t image = task / runs, begin = task % runs * run;
        const index_t count = std::min(run, weights.targets - begin);
        T* to = target + (image * weights.targets + begin) * inner;
        write_values(stream, count * inner, inner, to, [&](index_t at, index_t values, T* place) {
            const index_t first = begin + at / inner;
            weigh(weights, first, first + values / inner, inner, source + image * weights.extent * inner, place);
        });
    });
}

template <class T>
void apply_to_plane(const AxisWeights<T>& height, const AxisWeights<T>& width, index_t outer, index_t inner,
                    const T* source, T* target) {
    const index_t line = width.extent * inner, target_line = width.targets * inner;
    if (outer * height.targets * target_line == 0) return;
    const double work = static_cast<double>(outer) * (2 * entries(height) * static_cast<double>(line) +
                                                      2 * entries(width) * static_cast<double>(height.targets * inner));
    const index_t run = std::clamp<index_t>(kValues / target_line, 1, height.targets);
    const index_t runs = ceil_div(height.targets, run);
    const int threads = worthwhile_threads(work, outer * runs);
    const bool stream = worth_streaming<T>(outer * height.targets * target_line);
    Buffer buffer;
    T* lines = carve_buffer(buffer, [&](Arena& arena) { return arena.take<T>(threads * line); });
    parallel_for(outer * runs, threads, [&](index_t task, int worker) {
        const index_t image = task / runs, begin = task % runs * run;
        T* mixed = lines + worker * line;
        for (index_t q = begin; q < std::min(begin + run, height.targets); ++q) {
            weigh(height, q, q + 1, line, source + image * height.extent * line, mixed);
            T* to = target + (image * height.targets + q) * target_line;
            write_values(stream, target_line, inner, to, [&](index_t at, index_t values, T* place) {
                weigh<T>(width, at / inner, (at + values) / inner, inner, mixed, place);
            });
        }
    });
}

#define FASTCONV_INSTANTIATE(T)                                                            \
    template void apply_along_axis(const AxisWeights<T>&, index_t, index_t, const T*, T*); \
    template void apply_to_plane(const AxisWeights<T>&, const AxisWeights<T>&, index_t, index_t, const T*, T*);
FASTCONV_INSTANTIATE(float)
FASTCONV_INSTANTIATE(double)
#undef FASTCONV_INSTANTIATE

}  // namespace fastconv

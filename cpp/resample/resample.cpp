#include "resample/resample.h"

#include <algorithm>

#include "core/arithmetic.h"
#include "core/threads.h"

namespace fastconv {
namespace {

// target = the sum of `count` rows of the source, each times its weight. These are bound by memory, so that the
// compiler's vectors do; `kInner` is the length of the rows where it is known to be small, else zero.
template <index_t kInner, class T>
void sum_rows(const T* source, index_t length, const index_t* index, const T* weight, index_t count,
              T* __restrict target) {
    const index_t inner = kInner == 0 ? length : kInner;
    if (count == 0) {
        std::fill_n(target, inner, T(0));
        return;
    }
    const T* first = source + index[0] * inner;
    if (count == 1 && weight[0] == T(1)) {
        std::copy_n(first, inner, target);
        return;
    }
    if (count == 1) {
        for (index_t c = 0; c < inner; ++c) target[c] = weight[0] * first[c];
        return;
    }
    const T* second = source + index[1] * inner;
    for (index_t c = 0; c < inner; ++c) target[c] = weight[0] * first[c] + weight[1] * second[c];
    for (index_t j = 2; j < count; ++j) {
        const T* next = source + index[j] * inner;
        for (index_t c = 0; c < inner; ++c) target[c] += weight[j] * next[c];
    }
}

template <index_t kInner, class T>
void apply_weights(const AxisWeights<T>& weights, index_t outer, index_t inner, const T* source, T* target) {
    const double entries = static_cast<double>(weights.start[weights.targets]);
    const double work = static_cast<double>(outer * inner) * (2 * entries + static_cast<double>(weights.targets));
    // Tasks are runs of targets, so that one that is alone in its image can be shared out too.
    constexpr index_t kValues = 16384;
    const index_t run = std::clamp<index_t>(kValues / std::max<index_t>(inner, 1), 1, weights.targets);
    const index_t runs = ceil_div(weights.targets, run);
    parallel_for(outer * runs, worthwhile_threads(work, outer * runs), [&](index_t task, int) {
        const index_t image = task / runs, begin = task % runs * run;
        const T* from = source + image * weights.extent * inner;
        T* to = target + image * weights.targets * inner;
        for (index_t q = begin; q < std::min(begin + run, weights.targets); ++q) {
            const index_t start = weights.start[q];
            sum_rows<kInner>(from, inner, weights.index + start, weights.weight + start, weights.start[q + 1] - start,
                             to + q * inner);
        }
    });
}

}  // namespace

template <class T>
void apply_along_axis(const AxisWeights<T>& weights, index_t outer, index_t inner, const T* source, T* target) {
    if (outer * inner * weights.targets == 0) return;
    switch (inner) {
        case 1:
            return apply_weights<1>(weights, outer, inner, source, target);
        case 2:
            return apply_weights<2>(weights, outer, inner, source, target);
        case 3:
            return apply_weights<3>(weights, outer, inner, source, target);
        case 4:
            return apply_weights<4>(weights, outer, inner, source, target);
        default:
            return apply_weights<0>(weights, outer, inner, source, target);
    }
}

template void apply_along_axis(const AxisWeights<float>&, index_t, index_t, const float*, float*);
template void apply_along_axis(const AxisWeights<double>&, index_t, index_t, const double*, double*);

}  // namespace fastconv

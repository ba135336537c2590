// Steps of optimizers, value by value: everything that belongs to a parameter is read and written once.
#pragma once

#include "kernels/element_table.h"
#include "kernels/parts.h"
#include "kernels/roots.h"

namespace fastconv {
namespace {

// The gradient of the loss and of decay / 2 * |parameter|^2. Without a decay, what isn't finite stays out of the
// averages.
template <class T>
FASTCONV_INLINE Vec<T> with_decay(Vec<T> gradient, Vec<T> parameter, T decay) {
    return decay == 0 ? gradient : gradient + parameter * decay;
}

template <class T>
void sgd_step(const SgdStep<T>& s) noexcept {
    using V = Vec<T>;
    for_each_vector<T>(s.count, [&](index_t i, index_t lanes) __attribute__((always_inline)) {
        const V parameter = load_part(s.parameter + i, lanes);
        const V gradient = with_decay<T>(load_part(s.gradient + i, lanes), parameter, s.weight_decay);
        const V velocity = load_part(s.velocity + i, lanes) * s.momentum + gradient;
        const V direction = s.nesterov ? velocity * s.momentum + gradient : velocity;
        store_part<T>(s.velocity + i, lanes, velocity);
        store_part<T>(s.parameter + i, lanes, parameter - direction * s.learning_rate);
    });
}

template <class T>
void adam_step(const AdamStep<T>& s) noexcept {
    using V = Vec<T>;
    for_each_vector<T>(s.count, [&](index_t i, index_t lanes) __attribute__((always_inline)) {
        const V parameter = load_part(s.parameter + i, lanes);
        const V gradient = with_decay<T>(load_part(s.gradient + i, lanes), parameter, s.gradient_decay);
        const V first = load_part(s.first_moment + i, lanes) * s.beta1 + gradient * s.share1;
        const V second = load_part(s.second_moment + i, lanes) * s.beta2 + gradient * gradient * s.share2;
        const V scale = square_root<T>(second) * s.root_factor + s.epsilon;
        store_part<T>(s.first_moment + i, lanes, first);
        store_part<T>(s.second_moment + i, lanes, second);
        store_part<T>(s.parameter + i, lanes, parameter * s.kept - first / scale * s.step_size);
    });
}

}  // namespace
}  // namespace fastconv

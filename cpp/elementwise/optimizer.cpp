#include "elementwise/optimizer.h"

#include <cmath>

#include "core/isa.h"
#include "elementwise/chunks.h"

namespace fastconv {
namespace {

constexpr double kSgdWork = 8, kAdamWork = 32;  // operations that a value costs

}  // namespace

template <class T>
void take_step(const SgdStep<T>& step) {
    for_each_chunk(kSgdWork, step.count, [&](index_t first, index_t count) {
        SgdStep<T> chunk = step;
        chunk.parameter += first;
        chunk.gradient += first;
        chunk.velocity += first;
        chunk.count = count;
        element_kernels<T>().sgd_step(chunk);
    });
}

template <class T>
void take_step(AdamStep<T> step, const AdamRates& rates) {
    const auto number = static_cast<double>(rates.number);
    step.beta1 = static_cast<T>(rates.beta1);
    step.share1 = static_cast<T>(1 - rates.beta1);
    step.beta2 = static_cast<T>(rates.beta2);
    step.share2 = static_cast<T>(1 - rates.beta2);
    step.epsilon = static_cast<T>(rates.epsilon);
    step.gradient_decay = static_cast<T>(rates.decoupled ? 0 : rates.weight_decay);
    step.kept = static_cast<T>(rates.decoupled ? 1 - rates.learning_rate * rates.weight_decay : 1);
    step.step_size = static_cast<T>(rates.learning_rate / (1 - std::pow(rates.beta1, number)));
    step.root_factor = static_cast<T>(1 / std::sqrt(1 - std::pow(rates.beta2, number)));
    for_each_chunk(kAdamWork, step.count, [&](index_t first, index_t count) {
        AdamStep<T> chunk = step;
        chunk.parameter += first;
        chunk.gradient += first;
        chunk.first_moment += first;
        chunk.second_moment += first;
        chunk.count = count;
        element_kernels<T>().adam_step(chunk);
    });
}

template void take_step(const SgdStep<float>&);
template void take_step(const SgdStep<double>&);
template void take_step(AdamStep<float>, const AdamRates&);
template void take_step(AdamStep<double>, const AdamRates&);

}  // namespace fastconv

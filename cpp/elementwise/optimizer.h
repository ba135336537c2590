// Steps of optimizers: parameters move along their gradients, in place, and the averages that go with them.
#pragma once

#include "kernels/element_table.h"

namespace fastconv {

// Stochastic gradient descent (Sutskever et al., 2013, section 2).
template <class T>
void take_step(const SgdStep<T>& step);

struct AdamRates {
    double learning_rate, beta1, beta2, epsilon;
    double weight_decay;
    bool decoupled;  // the decay is none of the gradient: AdamW
    index_t number;  // of the step, from 1
};

// Fills in what follows from the rates (Kingma and Ba, 2015, algorithm 1; Loshchilov and Hutter, 2019, algorithm 2).
template <class T>
void take_step(AdamStep<T> step, const AdamRates& rates);

}  // namespace fastconv

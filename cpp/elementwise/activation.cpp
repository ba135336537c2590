#include "elementwise/activation.h"

#include "core/isa.h"
#include "elementwise/chunks.h"
#include "elementwise/streamed.h"

namespace fastconv {
namespace {

// Operations that a value costs, for the choice of threads.
double work_per_value(ActivationKind kind) {
    switch (kind) {
        case ActivationKind::kSigmoid:
        case ActivationKind::kTanh:
        case ActivationKind::kSilu:
        case ActivationKind::kGelu:
            return 32;
        default:
            return 4;
    }
}

}  // namespace

bool gradient_needs_input(ActivationKind kind) {
    return kind == ActivationKind::kSilu || kind == ActivationKind::kHardswish || kind == ActivationKind::kGelu;
}

template <class T>
void activate(ActivationKind kind, const T* input, index_t count, T* output, T slope) {
    const bool stream = output != input && worth_streaming<T>(count);
    for_each_chunk(work_per_value(kind), count, [&](index_t first, index_t size) {
        write_values(stream, size, 1, output + first, [&](index_t at, index_t values, T* target) {
            element_kernels<T>().activate(kind, input + first + at, values, slope, target);
        });
    });
}

template <class T>
void activation_backward(ActivationKind kind, const T* grad_output, const T* saved, index_t count, T* grad_input,
                         T slope) {
    const bool stream = worth_streaming<T>(count);
    for_each_chunk(work_per_value(kind), count, [&](index_t first, index_t size) {
        write_values(stream, size, 1, grad_input + first, [&](index_t at, index_t values, T* target) {
            const index_t here = first + at;
            element_kernels<T>().activation_backward(kind, grad_output + here, saved + here, values, slope, target);
        });
    });
}

template <class T>
void add_and_activate(ActivationKind kind, const T* one, const T* other, index_t count, T* output) {
    const bool stream = worth_streaming<T>(count), rectified = kind == ActivationKind::kRelu;
    for_each_chunk(work_per_value(kind), count, [&](index_t first, index_t size) {
        write_values(stream, size, 1, output + first, [&](index_t at, index_t values, T* target) {
            const index_t here = first + at;
            element_kernels<T>().add_arrays(one + here, other + here, values, rectified, target);
            if (!rectified && kind != ActivationKind::kNone)
                element_kernels<T>().activate(kind, target, values, T(kLeakySlope), target);
        });
    });
}

template void add_and_activate(ActivationKind, const float*, const float*, index_t, float*);
template void add_and_activate(ActivationKind, const double*, const double*, index_t, double*);
template void activate(ActivationKind, const float*, index_t, float*, float);
template void activate(ActivationKind, const double*, index_t, double*, double);
template void activation_backward(ActivationKind, const float*, const float*, index_t, float*, float);
template void activation_backward(ActivationKind, const double*, const double*, index_t, double*, double);

}  // namespace fastconv

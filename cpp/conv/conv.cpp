#include "conv/conv.h"

#include "gemm/slices.h"

namespace fastconv {

template <class T>
void conv_backward_bias(const ConvGeometry& g, const T* grad_output, T* grad_bias) {
    sum_rows(grad_output, g.output_rows(), g.out_channels, grad_bias);
}

template void conv_backward_bias(const ConvGeometry&, const float*, float*);
template void conv_backward_bias(const ConvGeometry&, const double*, double*);

}  // namespace fastconv

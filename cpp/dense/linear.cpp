#include "dense/linear.h"

#include "dense/few_rows.h"
#include "elementwise/activation.h"
#include "gemm/matrix.h"
#include "gemm/slices.h"

namespace fastconv {

template <class T>
void linear_forward(const LinearGeometry& g, const T* input, const T* weight, const T* bias, bool relu, T* output) {
    if (has_few_rows_forward<T>(g)) {
        few_rows_forward(g, input, weight, bias, output);
        if (relu) activate<T>(ActivationKind::kRelu, output, g.rows * g.out_features, output);
        return;
    }
    RowProduct<T> product = matrix_product<T>(g.rows, input, g.pitch, g.in_features, {weight, g.out_features, 1},
                                              g.out_features, output, g.out_features);
    product.bias = bias;
    product.relu = relu;
    multiply(product);
}

template <class T>
void linear_backward_input(const LinearGeometry& g, const T* grad_output, const T* weight, T* grad_input) {
    if (has_few_rows_backward_input<T>(g)) return few_rows_backward_input(g, grad_output, weight, grad_input);
    multiply(matrix_product<T>(g.rows, grad_output, g.out_features, g.out_features, {weight, 1, g.out_features},
                               g.in_features, grad_input, g.in_features));
}

template <class T>
void linear_backward_weight(const LinearGeometry& g, const T* grad_output, const T* input, T* grad_weight) {
    if (has_few_rows_backward_weight<T>(g)) return few_rows_backward_weight(g, grad_output, input, grad_weight);
    sum_products(transposed_product<T>(g.rows, input, g.pitch, g.in_features, grad_output, g.out_features,
                                       g.out_features, grad_weight, g.out_features));
}

template <class T>
void linear_backward_bias(const LinearGeometry& g, const T* grad_output, T* grad_bias) {
    sum_rows(grad_output, g.rows, g.out_features, grad_bias);
}

template void linear_forward(const LinearGeometry&, const float*, const float*, const float*, bool, float*);
template void linear_forward(const LinearGeometry&, const double*, const double*, const double*, bool, double*);
template void linear_backward_input(const LinearGeometry&, const float*, const float*, float*);
template void linear_backward_input(const LinearGeometry&, const double*, const double*, double*);
template void linear_backward_weight(const LinearGeometry&, const float*, const float*, float*);
template void linear_backward_weight(const LinearGeometry&, const double*, const double*, double*);
template void linear_backward_bias(const LinearGeometry&, const float*, float*);
template void linear_backward_bias(const LinearGeometry&, const double*, double*);

}  // namespace fastconv

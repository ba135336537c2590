// The second table of one instruction set, compiled like kernels.cpp; again the table is the only symbol that leaves
// the object file.
#include "kernels/activation.h"
#include "kernels/element_table.h"
#include "kernels/few_rows.h"
#include "kernels/local_response.h"
#include "kernels/norm.h"
#include "kernels/optimizer.h"
#include "kernels/weighted.h"

namespace fastconv {
namespace {

template <class T>
constexpr ElementKernels<T> make_table() {
    return {
        activate<T>,  // in the order of struct ElementKernels
        activation_backward<T>,
        add_arrays<T>,
        moments<T>,
        scale_rows<T>,
        add_gradients<T>,
        combine_gradients<T>,
        normalize_rows<T>,
        normalize_rows_backward<T>,
        local_response<T>,
        local_response_backward<T>,
        weigh_rows<T>,
        add_few_products<T>,
        multiply_few_transposed<T>,
        multiply_few_outer<T>,
        sgd_step<T>,
        adam_step<T>,
    };
}

}  // namespace

#define FASTCONV_JOIN_(a, b) a##b
#define FASTCONV_JOIN(a, b) FASTCONV_JOIN_(a, b)

constexpr ElementTable FASTCONV_JOIN(elements_, FASTCONV_TABLE){make_table<float>(), make_table<double>()};

}  // namespace fastconv

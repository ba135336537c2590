#include "bindings/register.h"

PYBIND11_MODULE(_core, module) {
    fastconv::register_runtime(module);
    fastconv::register_sliding(module);
    fastconv::register_conv(module);
    fastconv::register_conv_transpose(module);
    fastconv::register_pool(module);
    fastconv::register_dense(module);
    fastconv::register_resample(module);
    fastconv::register_elementwise(module);
    fastconv::register_norm(module);
    fastconv::register_optimizer(module);
}

// One function per family; module.cpp calls them all.
#pragma once

#include <pybind11/pybind11.h>

namespace fastconv {

void register_runtime(pybind11::module_& module);
void register_sliding(pybind11::module_& module);
void register_conv(pybind11::module_& module);
void register_conv_transpose(pybind11::module_& module);
void register_pool(pybind11::module_& module);
void register_dense(pybind11::module_& module);
void register_resample(pybind11::module_& module);
void register_elementwise(pybind11::module_& module);
void register_norm(pybind11::module_& module);
void register_optimizer(pybind11::module_& module);

}  // namespace fastconv

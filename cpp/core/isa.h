// Which instruction set the kernels use. Detected once; FASTCONV_ISA or set_isa() force another one.
#pragma once

#include <string>
#include <vector>

#include "kernels/element_table.h"
#include "kernels/table.h"

namespace fastconv {

// Names of the sets that were compiled in and that this machine can run, slowest first.
std::vector<std::string> available_isas();

const KernelTable& current_kernels();
const ElementTable& current_elements();

// Throws std::invalid_argument for a name that isn't available here.
void set_isa(const std::string& name);

template <class T>
const Kernels<T>& kernels();
template <>
inline const Kernels<float>& kernels<float>() {
    return current_kernels().float32;
}
template <>
inline const Kernels<double>& kernels<double>() {
    return current_kernels().float64;
}

// Those for rows of so few bytes: of vectors half as long, where one of them holds a row and multiplies as fast.
const KernelTable& kernels_of_rows(index_t bytes);

template <class T>
const Kernels<T>& kernels_of_columns(index_t columns);
template <>
inline const Kernels<float>& kernels_of_columns<float>(index_t columns) {
    return kernels_of_rows(columns * static_cast<index_t>(sizeof(float))).float32;
}
template <>
inline const Kernels<double>& kernels_of_columns<double>(index_t columns) {
    return kernels_of_rows(columns * static_cast<index_t>(sizeof(double))).float64;
}

template <class T>
const ElementKernels<T>& element_kernels();
template <>
inline const ElementKernels<float>& element_kernels<float>() {
    return current_elements().float32;
}
template <>
inline const ElementKernels<double>& element_kernels<double>() {
    return current_elements().float64;
}

}  // namespace fastconv

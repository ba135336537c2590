// The activations that layers may end with.
#pragma once

namespace fastconv {

enum class ActivationKind : int { kNone, kRelu, kRelu6, kLeakyRelu, kSigmoid, kTanh, kSilu, kHardswish, kGelu };

}  // namespace fastconv

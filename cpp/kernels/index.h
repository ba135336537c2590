// The one integer type for sizes, strides and positions: signed, 64 bits wide, so that no product
// of two extents that fit in memory overflows and no subtraction wraps.
#pragma once

#include <cstddef>
#include <cstdint>

namespace fastconv {

using index_t = std::int64_t;

}  // namespace fastconv

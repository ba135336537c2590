// What inference keeps of a weight from call to call: its transform, as long as the weight stays the same.
//
// A weight is memory that anybody may write to at any time, so it is recognized by its values: a checksum of all of
// them, which costs as much as reading them once. A change of one word always changes it; of several, it goes
// unnoticed with a probability of 2^-64.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>

#include "kernels/index.h"

namespace fastconv {

std::uint64_t checksum_of(const void* data, std::size_t bytes);

// Calls from several threads are safe.
class KeptWeight {
  public:
    // The checksum, and everything that the layout depends on.
    using Key = std::array<std::uint64_t, 12>;

    // Null where something else is kept.
    std::shared_ptr<void> find(const Key& key) const;
    void keep(const Key& key, std::shared_ptr<void> buffer, std::size_t bytes);
    std::size_t bytes() const;

  private:
    mutable std::mutex mutex_;
    Key key_{};
    std::shared_ptr<void> buffer_;
    std::size_t bytes_ = 0;
};

}  // namespace fastconv

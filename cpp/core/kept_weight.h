// What inference keeps of a weight from call to call: its transform, or its packed panels, as long as it stays the
// same.
//
// A weight is memory that anybody may write to at any time, so it is recognized by its values: a checksum of all of
// them, which costs as much as reading them once. A change of one word always changes it; of several, it goes
// unnoticed with a probability of 2^-64. Whoever has one that nobody can write to says so: its values go without
// saying.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "core/memory.h"

namespace fastconv {

std::uint64_t checksum_of(const void* data, std::size_t bytes);

// Calls from several threads are safe.
class KeptWeight {
  public:
    // What stands for the values, and everything that the layout depends on: one at a time is kept.
    using Key = std::vector<std::uint64_t>;

    // Where `constant`, all calls have the same weight, which never changes.
    explicit KeptWeight(bool constant) : constant_(constant) {}
    bool constant() const { return constant_; }

    // What is kept under the key; where that is something else, a new buffer, which fill(buffer) has to fill. It is
    // alive until the caller lets go of it, whatever others keep meanwhile.
    template <class Fill>
    std::shared_ptr<void> obtain(const Key& key, std::size_t bytes, const Fill& fill) {
        std::shared_ptr<void> buffer = find(key);
        if (buffer == nullptr) {
            buffer.reset(take_buffer(bytes, true), give_back_buffer);
            fill(buffer.get());
            keep(key, buffer, bytes);
        }
        return buffer;
    }

    std::size_t bytes() const;

  private:
    std::shared_ptr<void> find(const Key& key) const;
    void keep(const Key& key, std::shared_ptr<void> buffer, std::size_t bytes);

    const bool constant_;
    mutable std::mutex mutex_;
    Key key_;
    std::shared_ptr<void> buffer_;
    std::size_t bytes_ = 0;
};

}  // namespace fastconv

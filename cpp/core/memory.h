// Memory: aligned buffers that come from a bounded cache, and an arena that carves a workspace.
//
// Fresh pages cost more than many kernels (each one is zeroed by the system on first touch), so buffers
// of outputs and workspaces are kept when they die, and handed out again.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <string>

#include "kernels/index.h"

namespace fastconv {

constexpr std::size_t kAlignment = 64;  // a cache line, and the widest vector

class OutOfMemory : public std::bad_alloc {
  public:
    explicit OutOfMemory(std::size_t bytes) : text_("cannot allocate " + std::to_string(bytes) + " bytes") {}
    const char* what() const noexcept override;

  private:
    std::string text_;
};

// A buffer of at least `bytes`, aligned to kAlignment, its contents unspecified; of little more, where it lasts. Throws
// OutOfMemory.
void* take_buffer(std::size_t bytes, bool lasts = false);
void give_back_buffer(void* buffer) noexcept;

void empty_buffer_cache() noexcept;
std::size_t cached_bytes() noexcept;

struct GiveBack {
    void operator()(void* buffer) const noexcept { give_back_buffer(buffer); }
};
using Buffer = std::unique_ptr<void, GiveBack>;

// Hands out aligned pieces of one block. Over a null block it hands out null pointers and counts: the
// function that carves a workspace also sizes it.
class Arena {
  public:
    explicit Arena(void* block = nullptr) : block_(static_cast<char*>(block)) {}

    template <class T>
    T* take(index_t count) {
        char* piece = block_ == nullptr ? nullptr : block_ + used_;
        const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(T);
        used_ += (bytes + kAlignment - 1) / kAlignment * kAlignment;
        return reinterpret_cast<T*>(piece);
    }

    std::size_t used() const { return used_; }

  private:
    char* block_;
    std::size_t used_ = 0;
};

// Carves twice: over an empty arena for the size, then over a buffer of that size. Returns what carve returns.
template <class Carve>
auto carve_buffer(Buffer& buffer, const Carve& carve) {
    Arena sizes;
    carve(sizes);
    buffer.reset(take_buffer(sizes.used()));
    Arena arena(buffer.get());
    return carve(arena);
}

}  // namespace fastconv
